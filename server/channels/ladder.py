"""Ladder: how much detail a call can afford, stepped down as soon as it is too much and up again with patience.

Told what is known and the time; no asyncio, no clock. `fitting` says what a machine can do, `Ladder` what follows: whoever knows
what a narrow link can carry tells the same ladder.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from display.detail import FULL, Detail

LOWEST_FPS, OLDEST = 20.0, 0.150
"What is held: pictures a second of a camera that sends 25, and the seconds of the age's 95th percentile."
LOWEST_SHARE = LOWEST_FPS / 25.0
"Of a slower camera's pictures."
AIM, CALM = 0.120, 0.100
"Seconds of age that a step down aims at, and below which a machine has something to spare."
CALM_SHARE = 0.9
"Of the camera's pictures that are made where a machine has something to spare."
WINDOW = 2.0
"Seconds over which it is seen how a call goes. As long nothing is made of what is seen after a change."
STRAINED_FOR = 0.75
"Seconds that it must be too much in a row: a hiccup costs no detail."
PATIENCE, LONGEST_PATIENCE = 15.0, 600.0
"Seconds of calm before more is tried; after a try that failed it takes FAILED times as long, up to the longest."
FAILED = 3.0
PROVEN = 30.0
"Seconds that more detail must hold until it counts as afforded: a step down before is a failed try."
LEAST_ARRIVING = 5.0
"Pictures a second below which a source tells nothing of what a machine can do."


@dataclass(frozen=True)
class Rung:
    detail: Detail
    work: float
    "Of one frame's work at full detail, everything from preprocessing to encoding."


RUNGS = (
    Rung(FULL, 1.00),
    Rung(Detail(0.75, 1), 0.71),
    Rung(Detail(0.75, 2), 0.64),
    Rung(Detail(0.5, 2), 0.45),
    Rung(Detail(0.5, 4), 0.42),
)
"""From the top. Work: processor time of a frame of relief's telequilt quilt (28.9 ms; two cores, machine alone). 10 ms of it find the face
and move the avatar whatever is drawn. Engines whose views cost alike at any size gain by the shared tiles instead."""


@dataclass(frozen=True)
class Seen:
    """What a call has come to."""

    arrived: int
    "Pictures that came from the caller so far."
    made: int
    "Of which so many were finished."
    age: float
    "Seconds, of the 95th percentile over the last WINDOW."
    held: bool = False
    "Full detail is wanted whatever it takes, as by a recording; or nothing is made."


@dataclass(frozen=True)
class DetailReport:
    """How much detail a call is made with."""

    rung: int
    "0 is full detail."
    rungs: int
    scale: float
    "Of a tile's sides."
    share: int
    "Neighbouring tiles that show one view."
    work: float
    "Of a frame's work at full detail, about."
    steps: dict[str, int]
    "Taken so far: down, up."


def fitting(arriving: float, making: float, age: float) -> float:
    """The share of the present work that would fit: below 1 it is too much, above 1 there is something to spare.

    `arriving` and `making` pictures a second, of an `age` in seconds. Between the bounds of too much and too little lies a band
    where all is well as it is: exactly 1.
    """
    wanted = min(arriving, 25.0)
    if age > OLDEST or making < LOWEST_SHARE * wanted:
        return min(AIM / max(age, AIM), making / wanted, 0.95)
    if age < CALM and making >= CALM_SHARE * wanted:
        return OLDEST / max(age, 1e-3)
    return 1.0


class Ladder:
    """One call's rung as it goes on."""

    def __init__(self) -> None:
        self.rung = 0
        self.steps: Counter[str] = Counter()
        "Taken so far: down, up."
        self._history: deque[tuple[float, int, int]] = deque()
        self._changed = float("-inf")
        self._strained: float | None = None
        self._calm: float | None = None
        self._patience = [PATIENCE] * len(RUNGS)
        "With which each rung is tried."
        self._climbed: float | None = None

    @property
    def detail(self) -> Detail:
        return RUNGS[self.rung].detail

    def report(self) -> DetailReport:
        detail = self.detail
        return DetailReport(self.rung, len(RUNGS), detail.scale, detail.share, RUNGS[self.rung].work, dict(self.steps))

    def look(self, seen: Seen, now: float) -> bool:
        """Whether it is another rung than before."""
        if seen.held:
            self._forget(now)
            self._climbed = None
            return self._go(0, now)
        self._history.append((now, seen.arrived, seen.made))
        while now - self._history[0][0] > WINDOW:
            self._history.popleft()
        begun, arrived, made = self._history[0]
        lasted = now - begun
        if now - self._changed < 1.25 * WINDOW or lasted < 0.75 * WINDOW:
            return False
        arriving, making = (seen.arrived - arrived) / lasted, (seen.made - made) / lasted
        if arriving < LEAST_ARRIVING:
            self._forget(now)
            return False
        return self.judge(fitting(arriving, making, seen.age), now)

    def judge(self, fits: float, now: float) -> bool:
        """Told the share of the present work that would fit. Whether it is another rung than before."""
        if self._climbed is not None and now - self._climbed >= PROVEN:
            self._patience[self.rung], self._climbed = PATIENCE, None
        self._strained = (now if self._strained is None else self._strained) if fits < 1 else None
        self._calm = (now if self._calm is None else self._calm) if fits > 1 else None
        if self._strained is not None and now - self._strained >= STRAINED_FOR:
            return self._down(fits, now)
        if self._calm is not None and now - self._calm >= self._patience[max(self.rung - 1, 0)]:
            return self._up(fits, now)
        return False

    def _down(self, fits: float, now: float) -> bool:
        """To the first rung whose work would fit, or to the last; after a try that failed, back to where it was made from."""
        if self._climbed is not None:
            self._patience[self.rung] = min(FAILED * self._patience[self.rung], LONGEST_PATIENCE)
            self._climbed = None
            return self._go(self.rung + 1, now)
        below = range(self.rung + 1, len(RUNGS))
        fit = (one for one in below if RUNGS[one].work <= fits * RUNGS[self.rung].work)
        return self._go(next(fit, len(RUNGS) - 1), now)

    def _up(self, fits: float, now: float) -> bool:
        """By one, where that would fit."""
        above = max(self.rung - 1, 0)
        if RUNGS[above].work > fits * RUNGS[self.rung].work:
            return False
        if above != self.rung:
            self._climbed = now
        return self._go(above, now)

    def _go(self, rung: int, now: float) -> bool:
        if rung == self.rung:
            return False
        self.steps["down" if rung > self.rung else "up"] += 1
        self.rung = rung
        self._forget(now)
        return True

    def _forget(self, now: float) -> None:
        """What was seen is of another work than what comes now."""
        self._changed, self._strained, self._calm = now, None, None
        self._history.clear()
