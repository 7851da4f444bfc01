"""Rig: an avatar with the fitted head's facial actions, each as the engine itself would show it: lids slide, lips meet, teeth follow."""

from __future__ import annotations

import numpy as np

from engines.contract import FaceObservation
from engines.geometry.rigged import Rig
from engines.morphable.model import load
from engines.relief.avatar import ReliefAvatar
from engines.relief.drive import drive
from engines.relief.topology import EYES

METRES = 0.01 / 21.94
"Of a crop pixel (pipeline/preprocess/framing.py)."
FLIP = np.array([1.0, -1.0, -1.0], np.float32)
OUT = np.array([0.0, 9.0, -38.0], np.float32)
"Crop pixels by which a tongue that is shown comes down and out."


def rig(avatar: ReliefAvatar) -> Rig:
    """`avatar` at rest about its axis, with 52 actions by ARKit's names."""
    head, mesh = load(), avatar.mesh
    height, width = avatar.atlas.shape[:2]
    at_rest = _doing(avatar, np.zeros((478, 3), np.float32))
    actions = {
        name: _doing(avatar, _whole(avatar, name, moves)) - at_rest
        for name, moves in zip(head.action_names, head.points[2], strict=True)
    }
    tongue = np.zeros_like(at_rest)
    tongue[avatar.parts.tongue] = OUT
    actions["tongueOut"] = tongue
    middle = np.array([avatar.axis[0], avatar.axis[0], avatar.axis[1]], np.float32)
    return Rig(
        points=((at_rest - middle) * (METRES / avatar.zoom) * FLIP).astype(np.float32),
        uv=(mesh.uv / [width, height]).astype(np.float32),
        light=mesh.light,
        parts=_parts(avatar),
        actions={
            name: (moves * (METRES / avatar.zoom) * FLIP).astype(np.float32) for name, moves in sorted(actions.items())
        },
        atlas=avatar.atlas,
    )


def _whole(avatar: ReliefAvatar, name: str, moves: np.ndarray) -> np.ndarray:
    """`moves` [478, 3] of an action, such that a blink shuts these eyes, however far they are open."""
    if not name.startswith("eyeBlink"):
        return moves
    eye = EYES[0] if name.endswith("Right") else EYES[1]
    shut = moves.copy()
    shut[eye.lower] = 0.0
    shut[eye.upper] = avatar.shape[eye.lower] - avatar.shape[eye.upper]
    return shut


def _doing(avatar: ReliefAvatar, moves: np.ndarray) -> np.ndarray:
    """[N, 3] crop pixels: where points are while landmarks leave their rest by `moves` [478, 3], canonical centimetres."""
    ahead = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)
    seen = FaceObservation(avatar.landmarks, avatar.shape + moves, avatar.shape, ahead, 1.0)
    return drive(avatar, seen).points


def _parts(avatar: ReliefAvatar) -> dict[str, np.ndarray]:
    """Back of the head, mouth, eyes and skin; counter-clockwise from in front."""
    first, parts = avatar.mesh.triangles[:, 0], avatar.parts
    eyes = np.zeros(len(first), bool)
    for place in (*parts.balls, *parts.irises):
        eyes |= (first >= place.start) & (first < place.stop)
    mouth = (first >= parts.mouth.start) & (first < parts.mouth.stop)
    back = (first >= parts.back.start) & (first < parts.back.stop)
    kinds = {"back": back, "mouth": mouth, "eyes": eyes, "skin": ~(back | mouth | eyes)}
    return {name: np.ascontiguousarray(avatar.mesh.triangles[which, ::-1]) for name, which in kinds.items()}
