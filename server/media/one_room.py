"""One room: which two of those who speak are heard by each other's microphones: two devices of one call beside each other, which echo.

By how loud each is from packet to packet, -dBov, at the moments when that was captured. Told the time, knows no clock.
"""

from __future__ import annotations

from collections import deque
from itertools import combinations

import numpy as np

BIN, BINS = 0.060, 160
"Seconds that are one point of a curve of loudness, and how many are compared: ten seconds of sound."
SHIFTS = 2
"Bins by which the clocks of two devices may be apart: what comes back from a loudspeaker far away is later than that."
ALIKE = 0.9
"Correlation of both curves from which they are of one sound."
LIVELY, AUDIBLE, SHARE = 6.0, 45.0, 0.2
"dB of standard deviation, and the share of points that is at least so loud (-dBov), without which a curve says nothing."
LOUDEST, QUIETEST = 20.0, 70.0
"-dBov between which loudness counts: rooms differ in what they make of silence."


class OneRoom:
    """Of one call."""

    def __init__(self) -> None:
        self._curves: dict[int, deque[tuple[int, float]]] = {}
        self._told: set[tuple[int, int]] = set()

    def hear(self, seat: int, level: float, captured: float) -> None:
        """A packet of `seat`."""
        curve, at = self._curves.setdefault(seat, deque(maxlen=BINS)), int(captured / BIN)
        level = min(max(level, LOUDEST), QUIETEST)
        if curve and curve[-1][0] == at:
            curve[-1] = at, min(level, curve[-1][1])
        elif not curve or curve[-1][0] < at:
            curve.append((at, level))

    def forget(self, seat: int) -> None:
        self._curves.pop(seat, None)
        self._told = {pair for pair in self._told if seat not in pair}

    def news(self) -> list[tuple[int, int]]:
        """Pairs of whom it has come out now that they are in one room."""
        said = {seat: points for seat, curve in self._curves.items() if (points := _lively(curve))}
        found = {pair for pair in combinations(sorted(said), 2) if _alike(said[pair[0]], said[pair[1]])}
        new = sorted(found - self._told)
        self._told |= found
        return new


def _lively(curve: deque[tuple[int, float]]) -> dict[int, float]:
    """Its points, where they say something."""
    levels = np.array([level for _, level in curve])
    enough = len(curve) == BINS and levels.std() >= LIVELY and np.mean(levels <= AUDIBLE) >= SHARE
    return dict(curve) if enough else {}


def _alike(one: dict[int, float], other: dict[int, float]) -> bool:
    return max(_correlation(one, other, shift) for shift in range(-SHIFTS, SHIFTS + 1)) > ALIKE


def _correlation(one: dict[int, float], other: dict[int, float], shift: int) -> float:
    both = [(level, other[at + shift]) for at, level in one.items() if at + shift in other]
    if len(both) < BINS / 2:
        return 0.0
    first, second = np.array(both).T
    spread = float(first.std() * second.std())
    return float(np.mean((first - first.mean()) * (second - second.mean()))) / spread if spread > 0 else 0.0
