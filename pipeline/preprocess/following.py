"""Following: which face is the caller's, and whether it is there. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
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
    """0..1 as time goes by: 1 while the face that is followed is seen."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._level = 0.0
        self._seen: tuple[float, float] | None = None
        "When the face was seen first and last; None before there was one."
        self._now: float | None = None
        self.waiting = False
        "Whether the face that was followed is still waited for. If not, another may be taken up."

    def update(self, seen: bool, now: float) -> float:
        """The presence at `now`, in seconds, where a face is seen or not."""
        step = 0.0 if self._now is None else max(0.0, now - self._now)
        self._now = now if self._now is None else max(now, self._now)
        if seen:
            first = self._seen[0] if self._seen is not None and self.waiting else self._now
            self._seen, self.waiting = (first, self._now), True
            self._level = min(1.0, self._level + step / self._patience.rise)
        elif self._seen is not None:
            first, last = self._seen
            falling = min(step, self._now - last - self._patience.hold)
            self._level = max(0.0, self._level - max(0.0, falling) / self._patience.fall)
            # a face that was there for two frames only, a poster or a mistake, is not worth waiting for
            self.waiting = self._now - last < min(last - first, self._patience.hold + self._patience.fall)
        return self._level


@dataclass(frozen=True)
class Place:
    """Where a face stands in a picture."""

    x: float
    y: float
    "Its middle, in widths of the picture, so that a camera may change its resolution."
    size: float
    "Picture widths: the mean of its width and height, as far as they can be seen."

    @classmethod
    def of(cls, points: np.ndarray) -> Place:
        """Of landmarks [478, 3] in picture widths."""
        low, high = points[:468, :2].min(axis=0), points[:468, :2].max(axis=0)
        x, y = (low + high) / 2
        return cls(float(x), float(y), float((high - low).mean()))

    def away_from(self, other: Place) -> float:
        """Distance between the middles, in sizes of the larger face."""
        return float(np.hypot(self.x - other.x, self.y - other.y) / max(self.size, other.size))

    def could_have_come_from(self, before: Place, unseen: float = 0.0) -> bool:
        """Whether a face moves so far in `unseen` seconds. If not it is another one, or a cut in a film.

        A size is 15..20 cm, so 0.6 of it in 40 ms would be 2.5 m/s. A neighbour's face is more than one size away.
        """
        return self.away_from(before) < 0.6 + 0.8 * unseen and max(self.size, before.size) < 1.6 * min(
            self.size, before.size
        )


def the_same(before: Place, places: Sequence[Place], unseen: float = 0.0) -> int | None:
    """Which of `places` is the face that stood at `before`, `unseen` seconds ago; None if none can be."""
    possible = [index for index, place in enumerate(places) if place.could_have_come_from(before, unseen)]
    return min(possible, key=lambda index: places[index].away_from(before), default=None)


def most_prominent(places: Sequence[Place]) -> int | None:
    """Which of `places` to follow where nobody is followed yet: the largest, who sits nearest to the camera."""
    return max(range(len(places)), key=lambda index: places[index].size, default=None)
