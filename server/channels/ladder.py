"""Ladder: how much detail a channel can afford, stepped down as soon as it is too much and up again with patience.

Told what is known and the time; no asyncio, no clock. `fitting` says what a machine can do, `Ladder` what follows. Whoever knows
what a narrow link can carry has a ladder of its own, Ladder(bits), and tells it by judge(): the share of the present bits that fits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from display.detail import FULL, Detail

LOWEST_FPS, OLDEST = 20.0, 0.150
"What a viewer sees: pictures a second of a camera that sends 25, and the seconds of the age's 95th percentile."
LOWEST_SHARE = LOWEST_FPS / 25.0
"Of a slower camera's pictures."
OURS = 0.100
"""Of those seconds what a picture may take from its arrival to a viewer's sender. Camera, network and the viewer's decoder have
the rest."""
AIM, CALM = 0.080, 0.070
"Seconds of our part that a step down aims at, and below which a machine has something to spare."
CALM_SHARE = 0.9
"Of the camera's pictures that are made where a machine has something to spare."
WINDOW = 1.0
"Seconds over which it is seen how a channel goes."
SETTLES = 1.25
"Seconds after a change in which nothing is made of what is seen."
STRAINED_FOR = 1.25
"""Seconds that it must be too much in a row, or too much for calm: longer than the window, so that a hiccup, which stays in it for
so long, neither costs detail nor keeps it from coming back."""
HEADROOM = 0.9
"Of what a full machine makes, so that pictures do not wait for each other."
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
    density: float
    "Of the bits that a pixel is coded with."
    frames: float
    "Of the caller's pictures that are made."
    work: float
    "Of the work of a channel at full detail, everything that the server does: decoding, stages, packets."

    @property
    def bits(self) -> float:
        """Of a channel's bits at full detail."""
        return self.detail.scale**2 * self.density * self.frames


RUNGS = (
    Rung(FULL, 1.0, 1.0, 1.00),
    Rung(FULL, 0.5, 1.0, 0.88),
    Rung(Detail(0.75, 1), 0.5, 1.0, 0.64),
    Rung(Detail(0.5, 1), 1.0, 1.0, 0.47),
    Rung(Detail(0.5, 2), 1.0, 1.0, 0.41),
    Rung(Detail(0.5, 4), 1.0, 0.84, 0.34),
    Rung(Detail(0.375, 4), 1.0, 0.84, 0.30),
)
"""From the top, what is seen least first: coding, the size of tiles, the number of views, the rate, and the size once more.

Work: the server's processor time for a picture of a live channel with relief and one viewer, each detail in turn for four seconds of the
same channel, twice over, on a busy machine (35 ms at full detail; 12 of them whatever is drawn: decoding, face, avatar, packets).
Engines whose views cost alike at any size gain by the shared tiles instead."""


def work(rung: Rung) -> float:
    return rung.work


def bits(rung: Rung) -> float:
    return rung.bits


def first_that_fits(share: float, cost: Callable[[Rung], float] = work) -> int | None:
    """The highest rung that costs at most `share` of full detail; None where none does."""
    return next((number for number, rung in enumerate(RUNGS) if cost(rung) <= share), None)


@dataclass(frozen=True)
class Seen:
    """What a channel has come to."""

    arrived: int
    "Pictures that came from the caller so far."
    made: int
    "Of which so many were finished."
    age: float
    "Seconds, of the 95th percentile over the last WINDOW."
    held: bool = False
    "Full detail is wanted whatever it takes, as by a recording."
    idle: bool = False
    "Nothing is made: nobody watches."


@dataclass(frozen=True)
class DetailReport:
    """How much detail a channel is made with."""

    rung: int
    "0 is full detail."
    rungs: int
    scale: float
    "Of a tile's sides."
    share: int
    "Neighbouring tiles that show one view."
    density: float
    "Of the bits that a pixel is coded with."
    frames: float
    "Of the caller's pictures that are made."
    work: float
    "Of the work at full detail, about."
    steps: dict[str, int]
    "Taken so far: down, up."


def fitting(arriving: float, making: float, age: float, frames: float = 1.0) -> float:
    """The share of the present work that would fit: below 1 it is too much, above 1 there is something to spare.

    `arriving` and `making` pictures a second, of an `age` in seconds, where only the share `frames` of them is to be made.
    Between the bounds of too much and too little lies a band where all is well as it is: exactly 1.
    """
    camera = min(arriving, 25.0)
    wanted = frames * camera
    if age > OURS or making < LOWEST_SHARE * camera:
        return min(AIM / max(age, AIM), HEADROOM * making / wanted, 0.95)
    if age < CALM and making >= CALM_SHARE * wanted:
        return OURS / max(age, 1e-3)
    return 1.0


class Ladder:
    """One channel's rung as it goes on."""

    def __init__(self, cost: Callable[[Rung], float] = work) -> None:
        """`cost`: what it is that has to fit."""
        self._cost = cost
        self.rung = 0
        self.shared = False
        "Its rung is what was left for it when what fits was shared out; it has not found that to be too much."
        self.steps: Counter[str] = Counter()
        "Taken so far: down, up."
        self._history: deque[tuple[float, int, int]] = deque()
        self._changed = float("-inf")
        self._strained: float | None = None
        self._calm: float | None = None
        self._uncalm: float | None = None
        self._held = False
        self._patience = [PATIENCE] * len(RUNGS)
        "With which each rung is tried."
        self._climbed: float | None = None

    @property
    def made(self) -> Rung:
        """How much is made now."""
        return RUNGS[self.rung]

    def report(self) -> DetailReport:
        one = self.made
        told = (one.detail.scale, one.detail.share, one.density, one.frames, one.work)
        return DetailReport(self.rung, len(RUNGS), *told, dict(self.steps))

    def share(self, rung: int, now: float) -> bool:
        """Told the rung at which all who are served fit. Whether it is another rung than before.

        Down at once. Up only from where it was sent like this, and that is a try: what fits was reckoned, not seen.
        """
        if self._held or rung == self.rung or (rung < self.rung and not self.shared):
            return False
        self._climbed = now if rung < self.rung else None
        self._go(rung, now)
        self.shared = True
        return True

    def look(self, seen: Seen, now: float) -> bool:
        """Whether it is another rung than before."""
        self._held = seen.held
        if seen.idle and self.shared and not seen.held:  # as much is left for it as before, whenever somebody comes
            self._forget(now)
            return False
        if seen.held or seen.idle:
            self._forget(now)
            self._climbed, self.shared = None, False
            return self._go(0, now)
        self._history.append((now, seen.arrived, seen.made))
        while now - self._history[0][0] > WINDOW:
            self._history.popleft()
        begun, arrived, made = self._history[0]
        lasted = now - begun
        if lasted < 0.75 * WINDOW:
            return False
        arriving, making = (seen.arrived - arrived) / lasted, (seen.made - made) / lasted
        if arriving < LEAST_ARRIVING:
            self._forget(now)
            return False
        return self.judge(fitting(arriving, making, seen.age, self.made.frames), now)

    def judge(self, fits: float, now: float) -> bool:
        """Told, several times a second, the share of its present cost that fits: below 1 too much, 1 as it is, above 1 with room.

        Whether it is another rung than before. Shortly after a step nothing is made of it: it may be of what was made before.
        """
        if now - self._changed < SETTLES:
            return False
        if self._climbed is not None and now - self._climbed >= PROVEN:
            self._patience[self.rung], self._climbed = PATIENCE, None
        self._strained = (now if self._strained is None else self._strained) if fits < 1 else None
        self._calm_down(fits > 1, now)
        if self._strained is not None and now - self._strained >= STRAINED_FOR:
            return self._down(fits, now)
        if fits > 1 and self._calm is not None and now - self._calm >= self._patience[max(self.rung - 1, 0)]:
            return self._up(fits, now)
        return False

    def _calm_down(self, calm: bool, now: float) -> None:
        """How long it has been calm: for as long as nothing but hiccups came between."""
        self._uncalm = None if calm else now if self._uncalm is None else self._uncalm
        if self._uncalm is not None and now - self._uncalm >= STRAINED_FOR:
            self._calm = None
        elif calm and self._calm is None:
            self._calm = now

    def _down(self, fits: float, now: float) -> bool:
        """To the first rung whose cost would fit, or to the last; after a try that failed, back to where it was made from."""
        self.shared = False
        if self._climbed is not None:
            self._patience[self.rung] = min(FAILED * self._patience[self.rung], LONGEST_PATIENCE)
            self._climbed = None
            return self._go(self.rung + 1, now)
        fit = first_that_fits(fits * self._cost(self.made), self._cost)
        lowest = len(RUNGS) - 1
        return self._go(max(self.rung, lowest if fit is None else fit), now)

    def _up(self, fits: float, now: float) -> bool:
        """By one, where that would fit."""
        above = max(self.rung - 1, 0)
        if self._cost(RUNGS[above]) > fits * self._cost(self.made):
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
        self._changed, self._strained, self._calm, self._uncalm = now, None, None, None
        self._history.clear()
