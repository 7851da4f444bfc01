"""Drive: the avatar as a caller's face moves it: 51 coefficients for the face, the pose for the head. Knows no pictures and no landmarks.

The head turns by moving the cameras the other way about it, which is exact: turning the Gaussians' middles and leaving their shapes
differs by 38 dB at 20 degrees from what is true. It turns about its neck, so that it goes aside as it turns, and who is before it sees
it turned by more, 3 degrees of 30: by so much less it is turned, and the middle view shows it as the caller's camera sees the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from display.optics import Cameras, orbit
from engines.actions import ACTIONS
from engines.contract import FaceObservation
from engines.splats.avatar import SplatAvatar
from engines.turns import least_turn, limited

TURN_FREE, TURN_MOST = np.radians([45.0, 35.0, 35.0]), np.radians([65.0, 45.0, 50.0])
"Yaw, pitch and roll are followed one to one up to the first angle and never beyond the second: the back of these heads is a guess."
PIVOT = np.array([0.0, -0.185, -0.237], np.float32)
"From between the eyes to where a head turns on its neck, world units: LAM's joint `head` of its skeleton."
BEFORE = orbit(0)[:3, 3]
"Where the middle view's camera is, world units."
STEPS = 3
"Each leaves a tenth of what was wrong: 3 degrees, then 0.003."


@dataclass(frozen=True)
class SplatState:
    """The avatar at one moment."""

    avatar: SplatAvatar
    weights: np.ndarray
    "[51] float32 0..1, in the order of engines/actions.py."
    turn: np.ndarray
    "[3, 3] float32: the head's, from its rest,"
    pivot: np.ndarray
    "[3] float32 about this point of the world."


def drive(avatar: SplatAvatar, seen: FaceObservation) -> SplatState:
    """The avatar as `seen` moves it. What is not finite counts as rest; nothing leaves a plausible range."""
    presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
    if not np.isfinite(seen.shape).all() or not seen.posed:
        presence = 0.0
    turn = limited(seen.head_rotation, presence, TURN_FREE, TURN_MOST) if presence else np.eye(3)
    eyes = avatar.eyes.mean(axis=0)
    turn = _seen_so(turn, eyes, eyes + PIVOT)
    return SplatState(avatar, _weights(seen, presence), turn.astype(np.float32), eyes + PIVOT)


def _seen_so(turn: np.ndarray, face: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """[3, 3]: about `pivot` [3] what lets the middle view's camera see what is at `face` [3] turned by `turn` [3, 3] from its rest."""
    found = turn
    for _ in range(STEPS):
        there = pivot + found @ (face - pivot)
        found = least_turn(BEFORE - face, BEFORE - there) @ turn
    return found


def _weights(seen: FaceObservation, presence: float) -> np.ndarray:
    if seen.actions is None:
        return np.zeros(len(ACTIONS), np.float32)
    return (presence * np.clip(np.nan_to_num(seen.actions, posinf=0.0, neginf=0.0), 0.0, 1.0)).astype(np.float32)


def seen_from(state: SplatState, cameras: Cameras) -> Cameras:
    """`cameras` about a head at rest as they stand about this one: what they then see is the head turned."""
    back = state.turn.T
    cam2world = cameras.cam2world.copy()
    cam2world[:, :3, :3] = back @ cameras.cam2world[:, :3, :3]
    cam2world[:, :3, 3] = (cameras.cam2world[:, :3, 3] - state.pivot) @ state.turn + state.pivot
    return replace(cameras, cam2world=cam2world)
