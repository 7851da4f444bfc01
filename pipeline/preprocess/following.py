"""Following: whether the caller's face is there, and whether a face is still the same one. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Patience:
    """How long a lost face is waited for, in seconds. The avatar is at rest after hold + fall, which stays below 1."""

    hold: float = 0.25
    "A lost face counts as there for this long: trackers miss single frames."
    fall: float = 0.6
    "Then presence sinks from 1 to 0 in this time."
    rise: float = 0.2
    "A face that appears is fully there after this time."


class Presence:
    """0..1 as time goes by: 1 while a face is seen."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._level = 0.0
        self._last_seen = -np.inf
        self._now: float | None = None

    def update(self, seen: bool, now: float) -> float:
        """The presence at `now`, in seconds, where a face is seen or not."""
        step = 0.0 if self._now is None else max(0.0, now - self._now)
        self._now = now if self._now is None else max(now, self._now)
        if seen:
            self._last_seen = self._now
            self._level = min(1.0, self._level + step / self._patience.rise)
        else:
            falling = min(step, self._now - self._last_seen - self._patience.hold)
            self._level = max(0.0, self._level - max(0.0, falling) / self._patience.fall)
        return self._level

    @property
    def given_up(self) -> bool:
        """Whether the face that was followed is gone for good: another may be followed now."""
        return self._level == 0.0


@dataclass(frozen=True)
class Place:
    """Where a face stands in a picture."""

    centre: np.ndarray
    "[2] pixels."
    size: float
    "Height of the face in pixels."

    @classmethod
    def of(cls, points: np.ndarray) -> Place:
        """Of landmarks [478, 3] in pixels."""
        low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
        return cls((low + high) / 2, float(np.linalg.norm(high - low) / np.sqrt(2)))

    def could_have_come_from(self, before: Place) -> bool:
        """Whether a face moves so far between two pictures. Else it is another face, or a cut in a film."""
        moved = float(np.linalg.norm(self.centre - before.centre))
        larger, smaller = max(self.size, before.size), min(self.size, before.size)
        return moved < 0.9 * larger and larger < 1.7 * smaller
