"""Trend: whether a quantity that was looked at again and again grows, beside how well that can be known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Trend:
    """A straight line through points (least squares)."""

    per_hour: float
    noise: float
    "Twice the standard error of `per_hour`: 19 of 20 lines through points without a trend are flatter."
    hours: float
    "From the first point to the last."

    @property
    def grows(self) -> bool:
        """Whether there is a slope beyond its noise."""
        return self.per_hour > self.noise

    @property
    def over_all(self) -> float:
        """By how much the line rises from the first point to the last."""
        return self.per_hour * self.hours


def trend(seconds: ArrayLike, values: ArrayLike) -> Trend:
    """Of `values` at `seconds`, three or more points. Medians of whole minutes are wanted: neighbours of less are no independent looks."""
    at, seen = np.asarray(seconds, float) / 3600, np.asarray(values, float)
    assert len(at) == len(seen) >= 3, len(at)
    away = at - at.mean()
    slope = float((away * (seen - seen.mean())).sum() / (away**2).sum())
    rest = seen - seen.mean() - slope * away
    error = float(np.sqrt((rest**2).sum() / (len(at) - 2) / (away**2).sum()))
    return Trend(round(slope, 3), round(2 * error, 3), round(float(at[-1] - at[0]), 4))
