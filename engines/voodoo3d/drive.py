"""Drive: the avatar's planes with a driver's expression, and where the driver's head is turned. Only driver work is done here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from display import optics
from engines.contract import FaceObservation
from engines.turns import part_of_turn
from engines.voodoo3d.enrol import Samples, Voodoo3dAvatar, picture01
from engines.voodoo3d.network import Voodoo3D


@dataclass(frozen=True)
class Voodoo3dState:
    """The avatar at one moment."""

    planes: Tensor
    "[1, 3, 32, 256, 256]."
    pose: np.ndarray
    "[4, 4] float32 cam2world, in the head's own world, of the camera that stands for the display's frontal one."


def drive(network: Voodoo3D, avatar: Voodoo3dAvatar, seen: FaceObservation, samples: Samples) -> Voodoo3dState:
    """One lift, one frontal march and the driver's part of the transfer; nothing while the avatar rests."""
    presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
    known = seen.posed
    pose = eased(rolled(seen.pose, seen.roll), presence) if known else optics.orbit(0)
    if presence == 0 or seen.crop is None or not avatar.mouth_seen:
        return Voodoo3dState(avatar.planes, pose)
    driver01 = network.driver_frontal(network.lift(picture01(seen, network)), samples.coarse, samples.fine)
    expression = network.expression(avatar.source_share.to(network.device), driver01)
    return Voodoo3dState(avatar.planes.to(network.device) + presence * expression, pose)


def rolled(pose: np.ndarray, roll: float) -> np.ndarray:
    """[4, 4]: the camera that sees the head tilted by `roll`, which the upright crop and its pose have lost (radians)."""
    cos, sin = np.cos(roll), np.sin(roll)
    tilted = np.array(pose)
    tilted[:3, :3] = pose[:3, :3] @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    return tilted


def eased(pose: np.ndarray, presence: float) -> np.ndarray:
    """[4, 4]: from the frontal camera (presence 0) to `pose` (1) along the shortest turn, at the same distance from the head."""
    frontal = optics.orbit(0)
    between = np.array(frontal)
    between[:3, :3] = frontal[:3, :3] @ part_of_turn(frontal[:3, :3].T @ pose[:3, :3], presence)
    position = (1 - presence) * frontal[:3, 3] + presence * pose[:3, 3]
    distance = (1 - presence) * np.linalg.norm(frontal[:3, 3]) + presence * np.linalg.norm(pose[:3, 3])
    between[:3, 3] = position * (distance / np.linalg.norm(position))
    return between
