"""Delay: for how long sound is held back, so that it leaves with the picture of its moment. Told the time, knows no clock.

What is followed is the age at which pictures of one form are sent: a little more than the median, since people bear sound that
is late better than sound that is early (ITU-R BT.1359-1); of three seconds, since every rise costs more than its own time: a
receiver takes it for a link that delays, and keeps sound back for ten seconds more, and pictures with it (Chromium, seen). Sound
follows slowly, so that no receiver has to skip or to stretch more than it can unheard; in silence at once, since nobody hears a
pause grow.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from statistics import median

PICTURES, SHARE = 75, 0.6
"Newest pictures, three seconds', and the share of them that is no older than what is followed. One late picture moves nothing."
DEAD_BAND = 0.010
"Seconds. Ages tremble by more from picture to picture."
NEAR, SLOWLY, FAST, EAGER = 0.045, 0.010, 0.060, 0.8
"""Seconds of error up to which sound is moved by SLOWLY seconds a second, which receivers take for jitter; beyond, people see it
(ATSC IS-191: 45 ms late), and it is moved FAST, and faster by EAGER a second of each second of error more: 130 ms, by 130 ms a
second."""
LONGEST = 0.5
"Seconds that sound is held back at most."
SUDDEN = 10
"Pictures in a row that are all older than sound by more than NEAR: the age has jumped, and those before tell no more."


class Delay:
    """Of the sound that goes with one form of a caller's pictures."""

    def __init__(self) -> None:
        self._ages: deque[float] = deque(maxlen=PICTURES)
        self._sounds: deque[float] = deque(maxlen=2 * PICTURES)
        self.seconds: float | None = None
        "None until a picture was sent."
        self._at = 0.0

    def picture(self, age: float) -> None:
        """A picture is sent `age` seconds after its capture."""
        self._ages.append(min(max(age, 0.0), LONGEST))
        if self.seconds is None:
            self.seconds = self._ages[0]
        newest = list(islice(reversed(self._ages), SUDDEN))
        if len(newest) == SUDDEN and min(newest) > self.seconds + NEAR:
            self._ages = deque(reversed(newest), PICTURES)

    def sound(self, age: float) -> None:
        """Sound is sent `age` seconds after its capture."""
        self._sounds.append(age)

    @property
    def aim(self) -> float | None:
        """The age of pictures that is followed."""
        if self.seconds is None:
            return None
        return sorted(self._ages)[math.ceil(SHARE * len(self._ages)) - 1]

    def at(self, now: float, silent: bool = False) -> float | None:
        """Seconds for which what is sent next is held back, as of `now`; `silent`: it is nothing that anybody hears."""
        aim = self.aim
        if aim is None or self.seconds is None:
            return None
        passed, self._at = min(max(now - self._at, 0.0), 1.0), now
        error = aim - self.seconds
        if abs(error) > DEAD_BAND:
            step = abs(error) if silent else passed * _rate(abs(error))
            self.seconds += math.copysign(min(step, abs(error)), error)
        return self.seconds

    @property
    def offset(self) -> float | None:
        """Seconds by which sound is sent later than the picture of its moment, lately; negative where earlier."""
        return median(self._sounds) - median(self._ages) if self._sounds and self._ages else None


def _rate(error: float) -> float:
    """Seconds a second by which sound is moved."""
    return SLOWLY if error <= NEAR else FAST + EAGER * (error - NEAR)
