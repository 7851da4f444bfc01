"""Drive: the avatar as a caller's face moves it. Reads landmarks, shape, neutral and pose; knows no pictures.

Expression is the difference between the caller's shape and its neutral, in centimetres of a face freed of pose, so it carries
over to any face. Where a difference is not enough it is a ratio: a closed eye must close any eye, a closed mouth any mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.contract import FaceObservation
from engines.relief.avatar import ReliefAvatar, follow_face, jaw_move
from engines.relief.eyes import gaze
from engines.relief.lips import LIPS_TOUCH, gaps, part
from engines.relief.topology import (
    EYES,
    LOWER_LIP_INNER,
    UPPER_LIP_INNER,
    EyePoints,
)

FURTHEST = 50.0
"Centimetres beyond which no point of a face lies."

LARGEST_MOVE = 3.0
"Centimetres that any point may leave its rest by; a wide yawn moves the chin by about 4, of which this much is shown."

TURN_FREE, TURN_MOST = np.radians([32.0, 32.0, 35.0]), np.radians([58.0, 42.0, 50.0])
"Yaw, pitch and roll are followed one to one up to the first angle and never beyond the second."

SHUT_EYE = 0.36
"MediaPipe sees a shut eye this far open, as a share of the open eye (0.20..0.33 in talk_frontal.mp4)."

WIDEST_EYE = 1.25
GAZE_MOST = np.array([0.24, 0.12])
"How far the iris may leave its rest place, in eye widths, sideways and up or down."


@dataclass(frozen=True)
class ReliefState:
    """The avatar's mesh at one moment."""

    avatar: ReliefAvatar
    points: np.ndarray
    "[N, 3] float32 crop pixels."
    light: np.ndarray
    "[N] float32 that colours are multiplied with."
    moves: Moves | None = None
    "How the points came there from their rest; None where they did in no such way."


@dataclass(frozen=True)
class Moves:
    """What points and light follow, crop pixels."""

    landmarks: np.ndarray
    "[478, 3] float32 by which the landmarks leave their rest."
    irises: np.ndarray
    "[2, 3] float32: likewise."
    jaw: np.ndarray
    "[3] float32: likewise."
    turn: np.ndarray
    "[3, 3] float32: how the head turns about its pivot, afterwards."


def drive(avatar: ReliefAvatar, seen: FaceObservation) -> ReliefState:
    """The avatar as `seen` moves it. What is not finite counts as rest; nothing leaves a plausible range."""
    presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
    shape, neutral = (np.clip(np.nan_to_num(part), -FURTHEST, FURTHEST) for part in (seen.shape, seen.neutral))
    if not np.isfinite(seen.shape).all() or not np.isfinite(seen.pose).all():
        presence = 0.0
    points, light = avatar.mesh.points.copy(), avatar.mesh.light.copy()
    moves = _expression(avatar, shape, neutral, presence)
    jaw = jaw_move(moves)
    jaw[1] = max(jaw[1], 0.0)  # the upper teeth stop it
    follow_face(points, avatar.parts, (avatar.follow, avatar.follow_back), avatar.jaw, moves, jaw)
    irises = _move_irises(avatar, shape, neutral, presence, points)
    _light_mouth(avatar, moves, points, light)
    turn = _turn(seen.head_rotation, presence)
    turned = (points - avatar.pivot) @ turn.T + avatar.pivot
    points += avatar.turning[:, None] * (turned - points)
    return ReliefState(avatar, points, light, Moves(moves, irises, jaw, turn))


def _expression(avatar: ReliefAvatar, shape: np.ndarray, neutral: np.ndarray, presence: float) -> np.ndarray:
    """[478, 3] crop pixels by which the landmarks leave their rest."""
    difference = shape - neutral
    _set_lips(avatar, shape, neutral, difference)
    size = np.linalg.norm(difference, axis=1, keepdims=True)
    difference = difference * (LARGEST_MOVE * np.tanh(size / LARGEST_MOVE) / np.maximum(size, 1e-6))
    moves = (presence * difference) @ avatar.to_crop.T
    for eye in EYES:
        _set_lids(avatar, eye, shape, neutral, presence, moves)
    moves *= avatar.held[:, None]
    return moves.astype(np.float32)


def _set_lips(avatar: ReliefAvatar, shape: np.ndarray, neutral: np.ndarray, difference: np.ndarray) -> None:
    """Correct `difference` (like `shape` and `neutral` [478, 3], in centimetres) so that the lips' distance is the portrait's
    plus what the caller opens, and closed when closed."""
    own, now, rest = gaps(avatar.shape), gaps(shape), gaps(neutral)
    own_raw = avatar.shape[UPPER_LIP_INNER, 1] - avatar.shape[LOWER_LIP_INNER, 1]
    closing = 1.0 - np.clip((rest - now) / np.maximum(rest, 0.3), 0.0, 1.0)
    wanted = (own + np.minimum(own_raw, LIPS_TOUCH)) * closing + np.maximum(now - rest, 0.0)
    if not avatar.mouth_seen:  # a mask that covers it moves with the jaw, and stays whole
        wanted = own_raw
    got = own_raw + difference[UPPER_LIP_INNER, 1] - difference[LOWER_LIP_INNER, 1]
    part(difference, wanted - got)


def _opening(shape: np.ndarray, eye: EyePoints) -> float:
    """How far an eye is open in `shape` [478, 3], as a share of its width."""
    across = np.linalg.norm(shape[eye.upper[0]] - shape[eye.upper[-1]])
    apart = np.linalg.norm(shape[eye.upper[3:6]] - shape[eye.lower[3:6]], axis=1).mean()
    return float(apart / max(across, 1e-3))


def eye_share(shape: np.ndarray, neutral: np.ndarray, eye: EyePoints) -> float:
    """0 shut .. 1 as at rest .. WIDEST_EYE; `shape` and `neutral` [478, 3] as in FaceObservation."""
    ratio = _opening(shape, eye) / max(_opening(neutral, eye), 0.05)
    return float(np.clip((ratio - SHUT_EYE) / (1.0 - SHUT_EYE), 0.0, WIDEST_EYE))


def _set_lids(
    avatar: ReliefAvatar, eye: EyePoints, shape: np.ndarray, neutral: np.ndarray, presence: float, moves: np.ndarray
) -> None:
    """Replace the lids' own movement by the share that the caller's eye is open: they slide over a still eyeball.

    `shape` and `neutral` [478, 3] of the caller; writes to `moves` [478, 3], crop pixels."""
    share = 1.0 - presence * (1.0 - eye_share(shape, neutral, eye))
    upper, lower = avatar.landmarks[eye.upper], avatar.landmarks[eye.lower]
    apart = lower - upper
    shut = 1.0 - share
    forward = np.array([0.0, 0.0, -0.012 * avatar.width * max(shut, 0.0)], np.float32)
    moves[eye.upper] = 0.90 * shut * apart + forward * (np.abs(apart[:, 1:2]) > 0)
    moves[eye.lower] = -0.10 * shut * apart + forward
    moves[eye.upper_fold] = 0.35 * moves[eye.upper_fold] + 0.38 * shut * apart + 0.5 * forward
    moves[eye.lower_fold] = 0.35 * moves[eye.lower_fold] - 0.04 * shut * apart


def _move_irises(
    avatar: ReliefAvatar, shape: np.ndarray, neutral: np.ndarray, presence: float, points: np.ndarray
) -> np.ndarray:
    """Writes to `points` [N, 3] of the figure, crop pixels; `shape` and `neutral` [478, 3] are the caller's. [2, 3] float32: by how
    much each iris moved."""
    looks = np.mean([gaze(shape, eye) - gaze(neutral, eye) for eye in EYES], axis=0)
    looks = presence * GAZE_MOST * np.tanh(looks / GAZE_MOST)
    right, down = avatar.to_crop[:2, 0], -avatar.to_crop[:2, 1]
    moves = np.empty((2, 3), np.float32)
    for eye, iris, slant, move in zip(EYES, avatar.parts.irises, avatar.slants, moves, strict=True):
        across = float(np.linalg.norm(avatar.shape[eye.upper[0]] - avatar.shape[eye.upper[-1]]))
        move[:2] = (looks[0] * right + looks[1] * down) * across
        move[2] = move[:2] @ slant
        points[iris] += move
    return moves


def _light_mouth(avatar: ReliefAvatar, moves: np.ndarray, points: np.ndarray, light: np.ndarray) -> None:
    """More light falls in as the mouth opens.

    `moves` [478, 3] crop pixels; and `points` [N, 3] as they are now; writes to `light` [N]."""
    part = avatar.parts.mouth
    down = -avatar.to_crop[:, 1] / np.dot(avatar.to_crop[:, 1], avatar.to_crop[:, 1])
    lips = avatar.landmarks[[13, 14]] + moves[[13, 14]]
    gap = float((lips[1] - lips[0]) @ down)
    below_lip = (points[part] - lips[0]) @ down
    open_light = (0.62 + 0.38 * min(max(gap, 0.0) / 1.2, 1.0)) * (0.15 + 0.85 * min(max(gap - 0.05, 0.0) / 0.3, 1.0))
    shadow = np.clip(0.62 + 0.55 * below_lip, 0.55, 1.0)
    own = avatar.mouth_depth <= 0.0
    shade = open_light * shadow * np.clip(1.1 - 0.09 * avatar.mouth_depth, 0.6, 1.0)
    light[part] *= np.where(own, 1.0, shade)


def _limited(angle: np.ndarray, free: np.ndarray, most: np.ndarray) -> np.ndarray:
    """The angle itself up to `free`, then ever less, never beyond `most`: three alike, [3] radians."""
    beyond = np.maximum(np.abs(angle) - free, 0.0)
    room = most - free
    return np.sign(angle) * (np.minimum(np.abs(angle), free) + room * np.tanh(beyond / room))


def _turn(rotation: np.ndarray, presence: float) -> np.ndarray:
    """[3, 3] in crop axes: how the avatar's head turns from its rest."""
    if not np.isfinite(rotation).all():
        return np.eye(3, dtype=np.float32)
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(-rotation[1, 2], -1.0, 1.0))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    yaw, pitch, roll = _limited(presence * np.array([yaw, pitch, roll]), TURN_FREE, TURN_MOST)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    flip = np.diag([1.0, -1.0, -1.0])
    return (flip @ about_y @ about_x @ about_z @ flip).astype(np.float32)
