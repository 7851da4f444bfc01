"""Delay: for how long sound is held back, so that it leaves with the picture of its moment. Told the time, knows no clock.

What is followed is the age at which pictures of one form are sent: a little more than the median, since people bear sound that
is late better than sound that is early (ITU-R BT.1359-1). Of ten seconds, and slowly, since every rise costs more than its own time: a
receiver takes it for a link that delays, and keeps sound back for half a minute more, and pictures with it. Two Chromiums on two cores
saw each other 230 to 250 ms late where what was followed were three seconds, at 60 ms a second and more, and 160 where it was ten, at
20. That holds while sound is where people bear it. Where it is not beside the newest pictures, one and all, it is led back to the edge of
that as fast as goes unheard, and no further; and in silence at once, since nobody hears a pause grow.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from statistics import median

PICTURES, SHARE = 250, 0.6
"Newest pictures, ten seconds', and the share of them that is no older than what is followed. One late picture moves nothing."
DEAD_BAND = 0.010
"Seconds. Ages tremble by more from picture to picture."
NEAR, SLOWLY, STEADILY = 0.045, 0.010, 0.020
"""Seconds of error up to which sound is moved by SLOWLY seconds a second, which receivers take for jitter; beyond, people see it
(ATSC IS-191: 45 ms late), and it is moved STEADILY."""
NEWEST, EARLY, LATE = 20, 0.070, 0.140
"""Sound is led back where all of so many newest pictures, 0.8 s, are older than it by more than EARLY seconds, or younger by more than
LATE: 90 and 185 ms are acceptable (ITU-R BT.1359-1), and what players add of their own is seen too. Of eight pictures it was led up and
down by every third of a second in which a machine was busy. Within, it falls gently, once it has found its place (PICTURES from the
first): Chromium lets go of its pictures later than of its sound, which was 100 to 125 ms early where it fell at once."""
FEW, GROSSLY = 8, 0.085
"""What is almost all that people bear is not waited with: where so many are older than it by more, it is led back to that after 0.3 s."""
QUICKLY = 0.25
"Seconds a second, meanwhile: a packet of 20 ms leaves after 25 or 15, which players stretch or shrink without a gap."
SUDDEN = 50
"""Pictures in a row that are all older, or all younger, than sound by more than NEAR: the age has jumped, and those before tell no more. A
spell of a second is none: followed, it was seen to cost a browser's pictures 50 ms for the minute after it."""
LONGEST = 0.5
"Seconds that sound is held back at most."


class Delay:
    """Of the sound that goes with one form of a caller's pictures."""

    def __init__(self) -> None:
        self._ages: deque[float] = deque(maxlen=PICTURES)
        self._sounds: deque[float] = deque(maxlen=2 * PICTURES)
        self.seconds: float | None = None
        "None until a picture was sent."
        self._at = 0.0
        self._jumped = False
        self._pictures = 0

    def picture(self, age: float) -> None:
        """A picture is sent `age` seconds after its capture."""
        self._ages.append(min(max(age, 0.0), LONGEST))
        self._pictures += 1
        if self.seconds is None:
            self.seconds = self._ages[0]
        newest = list(islice(reversed(self._ages), SUDDEN))
        if len(newest) == SUDDEN and (min(newest) > self.seconds + NEAR or max(newest) < self.seconds - NEAR):
            self._ages, self._jumped = deque(reversed(newest), PICTURES), True

    def sound(self, age: float) -> None:
        """Sound is sent `age` seconds after its capture."""
        self._sounds.append(age)

    @property
    def aim(self) -> float | None:
        """The age of pictures that is followed."""
        if self.seconds is None:
            return None
        least, most = self._bearable()
        return min(max(sorted(self._ages)[math.ceil(SHARE * len(self._ages)) - 1], least), most)

    def at(self, now: float, silent: bool = False) -> float | None:
        """Seconds for which what is sent next is held back, as of `now`; `silent`: it is nothing that anybody hears."""
        aim = self.aim
        if aim is None or self.seconds is None:
            return None
        passed, self._at = min(max(now - self._at, 0.0), 1.0), now
        error = aim - self.seconds
        self._jumped &= abs(error) > NEAR
        if abs(error) > DEAD_BAND:
            step = abs(error) if silent else passed * self._rate(self.seconds, error)
            self.seconds += math.copysign(min(step, abs(error)), error)
        return self.seconds

    @property
    def offset(self) -> float | None:
        """Seconds by which sound is sent later than the picture of its moment, lately; negative where earlier."""
        return median(self._sounds) - median(self._ages) if self._sounds and self._ages else None

    def _bearable(self) -> tuple[float, float]:
        """Seconds that sound may be held back at least and at most, beside the newest pictures."""
        newest = list(islice(reversed(self._ages), NEWEST))
        if len(newest) < NEWEST:
            return 0.0, LONGEST
        return max(min(newest) - EARLY, min(newest[:FEW]) - GROSSLY), max(newest) + LATE

    def _rate(self, seconds: float, error: float) -> float:
        """Seconds a second by which sound is moved that is held back for `seconds`."""
        least, most = self._bearable()
        quick = self._jumped and (error > NEAR or self._pictures <= PICTURES)
        if quick or not least <= seconds <= most:
            return QUICKLY
        return SLOWLY if abs(error) <= NEAR else STEADILY
