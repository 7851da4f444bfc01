"""Smoothing: the One-Euro filter (Casiez, Roussel, Vogel, CHI 2012): steady at rest, quick when something moves. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Response:
    """How one kind of signal is smoothed."""

    rest_hz: float
    "Cut-off at rest: lower is steadier."
    per_speed: float
    "Cut-off gained, in Hz, for each unit a second that the signal moves: higher lags less."
    speed_hz: float = 2.0
    "Cut-off of the speed estimate itself."


class OneEuro:
    """Filters an array of any shape, each element on its own."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._value: np.ndarray | None = None
        self._speed = np.zeros(())
        self._now = 0.0

    def update(self, value: np.ndarray, now: float) -> np.ndarray:
        """`value` at time `now` in seconds, smoothed. A time that does not move forward changes nothing."""
        before, step = self._value, now - self._now
        if before is None:
            self._value = first = np.array(value, dtype=np.float64)
            self._speed, self._now = np.zeros(first.shape), now
            return first
        if step <= 0:
            return before
        speed = (value - before) / step
        self._speed = self._speed + _gain(self._response.speed_hz, step) * (speed - self._speed)
        cutoff = self._response.rest_hz + self._response.per_speed * np.abs(self._speed)
        self._value = smoothed = before + _gain(cutoff, step) * (value - before)
        self._now = now
        return smoothed


def _gain(cutoff_hz: float | np.ndarray, step: float) -> float | np.ndarray:
    """Share of a new sample in a first-order low-pass sampled every `step` seconds."""
    turn = 2.0 * math.pi * cutoff_hz * step
    return turn / (turn + 1.0)
