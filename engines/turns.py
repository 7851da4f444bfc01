"""Turns: parts of a rotation."""

from __future__ import annotations

import math

import numpy as np


def part_of_turn(turn: np.ndarray, share: float) -> np.ndarray:
    """[3, 3]: `turn` about the same axis by `share` of its angle (Rodrigues' formula)."""
    axis = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = np.linalg.norm(axis) / 2
    angle = np.arctan2(sine, (np.trace(turn) - 1) / 2) * share
    if sine < 1e-7:
        return np.eye(3)
    x, y, z = axis / (2 * sine)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def least_turn(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[3, 3]: the smallest turn that takes the direction `begin` [3] to `end` [3], less than half a turn away (Rodrigues' formula)."""
    begin, end = begin / np.linalg.norm(begin), end / np.linalg.norm(end)
    x, y, z = np.cross(begin, end)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + begin @ end)


def limited(turn: np.ndarray, share: float, free: np.ndarray, most: np.ndarray) -> np.ndarray:
    """[3, 3]: `turn` of a head as yaw about y, pitch about x, roll about z, this `share` of each; one to one up to `free` and never
    beyond `most`, [3] radians."""
    yaw = math.atan2(turn[0, 2], turn[2, 2])
    pitch = math.asin(float(np.clip(-turn[1, 2], -1, 1)))
    roll = math.atan2(turn[1, 0], turn[1, 1])
    yaw, pitch, roll = share * np.array(list(map(_soft, (yaw, pitch, roll), free, most)))
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


def _soft(angle: float, free: float, most: float) -> float:
    beyond = abs(angle) - free
    if beyond <= 0:
        return angle
    room = most - free
    return math.copysign(free + room * math.tanh(beyond / room), angle)
