"""Faces: who is seen, where benchmarks need somebody. Invented ones need nothing but numpy; tracked ones, the puppet or a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from display.optics import orbit
from engines.contract import CROP, FaceObservation
from pipeline.frame import Frame

INVENTED = 8
"Different faces, shown one after another: inputs that never change would be measured from caches."
WIDEST_YAW = 12.0
"Degrees to each side."


def invented(number: int) -> FaceObservation:
    """A face that nobody has: coloured clouds in an oval, turned a little. For engines that look at pictures, not landmarks."""
    draw = np.random.default_rng(number)
    coarse = draw.integers(0, 256, (9, 9, 3)).astype(np.float32)
    at = np.linspace(0, 7.999, CROP)
    whole, part = at.astype(int), (at % 1)[:, None, None]
    rows = coarse[whole] * (1 - part) + coarse[whole + 1] * part
    across = part.reshape(1, CROP, 1)
    crop = rows[:, whole] * (1 - across) + rows[:, whole + 1] * across
    x, y = np.meshgrid(np.linspace(-1, 1, CROP), np.linspace(-1, 1, CROP))
    oval = np.clip(8 * (1 - np.hypot(x / 0.7, y / 0.9)), 0, 1).astype(np.float32)
    points = draw.uniform(0, CROP, (478, 3)).astype(np.float32)
    yaw = WIDEST_YAW * math.sin(2 * math.pi * number / INVENTED)
    return FaceObservation(points, points, points, orbit(yaw), confidence=1.0, crop=crop.astype(np.uint8), matte=oval)


class Inventing:
    """An observer that tracks nothing: frame after frame the next of INVENTED faces."""

    def __init__(self) -> None:
        self._faces = [invented(number) for number in range(INVENTED)]

    def observe(self, frame: Frame) -> FaceObservation:
        return self._faces[frame.sequence % INVENTED]

    def close(self) -> None:
        pass


def blank_frames(count: int) -> Sequence[Frame]:
    """Frames without a picture, for an observer that looks at none."""
    pixels = np.zeros((1, 1, 3), np.uint8)
    return [Frame(pixels, captured=0.0, sequence=number) for number in range(count)]
