"""A stand-in for an engine that takes a millisecond: pictures that are drawn already. For what many members cost besides rendering."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation

TAKES = 0.001
"Seconds that rendering takes."
DRAWN = 8
"Pictures that follow each other, so that an encoder has something to do."


class StandIn:
    """Not in the catalogue: it shows nobody."""

    name: ClassVar[str] = "stand-in"
    abilities: ClassVar[Abilities] = Abilities(parallel=True)
    wants: ClassVar[frozenset[str]] = frozenset()
    noise = True

    def __init__(self) -> None:
        self._drawn: dict[tuple[int, int, int], torch.Tensor] = {}

    def warm_up(self) -> None:
        pass

    def enrol(self, portrait: FaceObservation) -> str:
        return "nobody"

    def drive(self, avatar: str, seen: FaceObservation) -> int:
        return int(abs(seen.landmarks[0, 0])) % DRAWN

    def render(self, state: int, cameras: Cameras) -> ViewSet:
        ends = time.perf_counter() + TAKES
        key = len(cameras), cameras.height, cameras.width
        if key not in self._drawn:
            self._drawn[key] = drawn(*key)
        time.sleep(max(0.0, ends - time.perf_counter()))
        return ViewSet(self._drawn[key][state], cameras.first)


def drawn(views: int, height: int, width: int) -> torch.Tensor:
    """[DRAWN, views, height, width, 4] uint8: soft shapes that move, about as hard to code as faces."""
    y, x = np.mgrid[0:height, 0:width] / height
    made = np.empty((DRAWN, views, height, width, 4), np.uint8)
    for step in range(DRAWN):
        for view in range(views):
            beside = 0.5 * width / height + 0.04 * np.sin(2 * np.pi * step / DRAWN) + 0.01 * view
            face = np.clip(8 * (0.35 - np.hypot(x - beside, (y - 0.5) / 1.3)), 0, 1)
            texture = 0.8 + 0.2 * np.sin(60 * (x - beside)) * np.sin(50 * y)
            made[step, view] = (255 * (face * texture)[..., None] * np.array([0.9, 0.7, 0.6, 1.0])).astype(np.uint8)
    return torch.from_numpy(made)


def seen(number: Any) -> FaceObservation:
    """An observation that tells a picture's number."""
    points = np.full((478, 3), float(number), np.float32)
    return FaceObservation(points, points, points, np.eye(4, dtype=np.float32), confidence=1.0)
