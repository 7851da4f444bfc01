"""Speaking: who speaks, and who is loudest, by how loud each is from packet to packet. Told the time, knows no clock.

Levels are -dBov, 0..127, as RFC 6464 counts them: 0 is as loud as can be.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

AUDIBLE = 40.0
"-dBov up to which a packet holds speech."
WINDOW, SHARE = 0.4, 0.4
"Seconds, and the share of them that has to be audible, for somebody to speak."
HOLD = 0.8
"Seconds without as much until somebody speaks no more: words have gaps."
LOUDER, PATIENCE = 6.0, 2.0
"Another is the loudest when louder by so many dB, or after being louder for so many seconds."
EVERY = 0.25
"Seconds between two tellings."
FOLLOWED = 0.05
"Of each packet's level by which the average moves: two windows' worth."
SILENT = 127.0


def level(block: np.ndarray) -> float:
    """-dBov of [N] float32 samples with full scale 1.0."""
    power = float(np.mean(np.square(block))) if len(block) else 0.0
    return min(SILENT, -10 * math.log10(power)) if power > 1e-12 else SILENT


@dataclass
class _Seat:
    levels: deque[tuple[float, float]] = field(default_factory=deque)
    "(when, level) of WINDOW."
    spoke: float = float("-inf")
    "When it last did."
    average: float = SILENT


@dataclass(frozen=True)
class Speakers:
    seats: tuple[int, ...] = ()
    loudest: int | None = None


class Speaking:
    """Of one call."""

    def __init__(self) -> None:
        self._seats: dict[int, _Seat] = {}
        self._loudest: int | None = None
        self._rival: tuple[int, float] | None = None
        "Who is louder than the loudest, and since when."
        self._told, self._at = Speakers(), float("-inf")

    def hear(self, seat: int, level: float, now: float) -> None:
        """A packet of 20 ms or so of `seat`."""
        one = self._seats.setdefault(seat, _Seat())
        one.levels.append((now, level))
        self._age(one, now)
        one.average += (level - one.average) * FOLLOWED

    def forget(self, seat: int) -> None:
        self._seats.pop(seat, None)

    def news(self, now: float) -> Speakers | None:
        """Who speaks now, where that is another answer than the last one, and that one was EVERY ago."""
        if now - self._at < EVERY:
            return None
        for one in self._seats.values():
            self._age(one, now)
        seats = tuple(sorted(seat for seat, one in self._seats.items() if now - one.spoke < HOLD))
        found = Speakers(seats, self._choose(seats, now))
        if found == self._told:
            return None
        self._told, self._at = found, now
        return found

    def _age(self, one: _Seat, now: float) -> None:
        while one.levels and one.levels[0][0] <= now - WINDOW:
            one.levels.popleft()
        if one.levels:
            audible = [loud for _, loud in one.levels if loud <= AUDIBLE]
            if 0.02 * len(audible) >= SHARE * WINDOW:
                one.spoke = now
        else:
            one.average = SILENT

    def _choose(self, seats: tuple[int, ...], now: float) -> int | None:
        if not seats:
            return self._loudest if self._loudest in self._seats else None
        best = min(seats, key=lambda seat: self._seats[seat].average)
        if self._loudest not in seats:
            self._loudest, self._rival = best, None
        elif best != self._loudest:
            since = self._rival[1] if self._rival is not None and self._rival[0] == best else now
            self._rival = best, since
            ahead = self._seats[self._loudest].average - self._seats[best].average
            if ahead >= LOUDER or now - since >= PATIENCE:
                self._loudest, self._rival = best, None
        else:
            self._rival = None
        return self._loudest
