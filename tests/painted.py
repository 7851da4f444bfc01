"""PaintedEngine: paints view i with the number i, so that a wrong order, a lost view or a stale frame is visible at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from display.optics import Cameras, orbit
from display.views import ViewSet
from engines.contract import CROP, Abilities, FaceObservation


@dataclass(frozen=True)
class PaintedState:
    tint: int
    "0..255, told by the observation's first landmark: shows which frame was driven."


class PaintedEngine:
    """Flat views: red = 10 x view, green = the tint of the observation, blue = 200."""

    name: ClassVar[str] = "painted"
    abilities: ClassVar[Abilities] = Abilities()
    wants: ClassVar[frozenset[str]] = frozenset()
    noise = False

    def warm_up(self) -> None:
        pass

    def enrol(self, portrait: FaceObservation) -> str:
        return "an avatar"

    def drive(self, avatar: str, seen: FaceObservation) -> PaintedState:
        return PaintedState(int(seen.landmarks[0, 0]) % 256)

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        images = torch.full((len(cameras), cameras.height, cameras.width, 4), 255, dtype=torch.uint8)
        views = torch.arange(cameras.first, cameras.first + len(cameras))
        images[..., 0] = (10 * views % 256).to(torch.uint8)[:, None, None]
        images[..., 1], images[..., 2] = state.tint, 200
        return ViewSet(images, cameras.first)


class StillObserver:
    """Sees the same face in every frame, with the frame's number in its first landmark."""

    def __init__(self) -> None:
        self.closed = False

    def observe(self, frame) -> FaceObservation:
        return still_face(frame.sequence)

    def close(self) -> None:
        self.closed = True


def still_face(number: int = 0) -> FaceObservation:
    points = np.zeros((478, 3), np.float32)
    return FaceObservation(
        landmarks=points + np.array([number, 256, 0], np.float32),
        shape=points,
        neutral=points,
        pose=orbit(0.0),
        confidence=1.0,
        crop=np.full((CROP, CROP, 3), 128, np.uint8),
        matte=np.ones((CROP, CROP), np.float32),
        place=np.array([12, -34, 567], np.float32),
    )
