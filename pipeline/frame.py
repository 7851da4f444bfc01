"""Frame: one picture of a caller, as the pipeline takes it in. Outside formats stop before this."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    pixels: np.ndarray
    "[H, W, 3] uint8 RGB, top row first."
    captured: float
    "When it was taken in, in seconds of the clock that the pipeline runs by."
    sequence: int = 0
    "Counts up within one source."

    def __post_init__(self) -> None:
        assert self.pixels.dtype == np.uint8, self.pixels.dtype
        assert self.pixels.ndim == 3, self.pixels.shape
        assert self.pixels.shape[2] == 3, self.pixels.shape
