"""Turns: parts of a rotation."""

from __future__ import annotations

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
