"""Drive: the avatar as a caller's face moves it: landmarks' offsets choose among baked shapes, the pose turns the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.contract import FaceObservation
from engines.parametric.enrol import PIVOT, ParametricAvatar
from engines.turns import limited

FURTHEST = 50.0
"Centimetres beyond which no point of a face lies."
LARGEST = 9.0
"Standard deviations of a shape's coefficient that are shown at most: a jaw that hangs as far as it can is 7.1 of the first."
TURN_FREE, TURN_MOST = np.radians([32.0, 32.0, 35.0]), np.radians([58.0, 42.0, 50.0])
"Yaw, pitch and roll are followed one to one up to the first angle and never beyond the second."
CHEEKS = (234, 454)
UNDER_NOSE = 2
"MediaPipe's point where the nose meets the upper lip."


@dataclass(frozen=True)
class ParametricState:
    """The avatar's mesh at one moment."""

    avatar: ParametricAvatar
    points: np.ndarray
    "[N, 3] float32 world."
    coefficients: np.ndarray
    "[n] float32 of the baked shapes."
    turn: np.ndarray
    "[3, 3] in the world: how the head is turned from rest."


def drive(avatar: ParametricAvatar, seen: FaceObservation) -> ParametricState:
    """The avatar as `seen` moves it. What is not finite counts as rest; nothing leaves a plausible range."""
    presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
    if not np.isfinite(seen.shape).all() or not np.isfinite(seen.pose).all() or not np.isfinite(seen.roll):
        presence = 0.0
    found = presence * coefficients(avatar, seen) if presence else np.zeros(len(avatar.baked.shapes), np.float32)
    moved = avatar.vertices + np.tensordot(found, avatar.baked.shapes, 1)
    rest = avatar.to_world(moved)
    turn = limited(seen.head_rotation, presence, TURN_FREE, TURN_MOST) if presence else np.eye(3)
    pivot = avatar.to_world(np.asarray(PIVOT))
    turned = (rest - pivot) @ turn.T.astype(np.float32) + pivot
    return ParametricState(avatar, rest + avatar.turning[:, None] * (turned - rest), found, turn)


def coefficients(avatar: ParametricAvatar, seen: FaceObservation) -> np.ndarray:
    """[n] float32: the most likely shapes behind how far the caller's landmarks are from their rest."""
    chosen = list(avatar.indices)
    shape, rest = (np.clip(np.nan_to_num(part), -FURTHEST, FURTHEST) for part in (seen.shape, seen.neutral))
    width = float(np.linalg.norm(rest[CHEEKS[0]] - rest[CHEEKS[1]]))
    offsets = (shape[chosen] - rest[chosen]) * (avatar.width / max(width, 1.0))
    if not avatar.mouth_seen:  # nothing says what lies under a mask, so nothing below the nose moves
        offsets[rest[chosen, 1] < rest[UNDER_NOSE, 1]] = 0.0
    found = avatar.baked.from_landmarks @ offsets.ravel().astype(np.float32)
    return found.clip(-LARGEST, LARGEST)
