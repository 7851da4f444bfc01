"""Strain: what a call gives up when its pictures grow old though each is made with as little detail as can be: most pictures of those
who say nothing. Told the time; no clock, no pictures.
"""

from __future__ import annotations

from collections.abc import Iterable

OLD, YOUNG = 0.250, 0.120
"Seconds of the age's 95th percentile: above the one pictures are too old to talk by, below the other there is something to spare."
STRAINED_FOR = 5.0
"Seconds that they must be too old."
PATIENCE, LONGEST = 10.0, 300.0
"Seconds of young pictures until more is tried; twice as long after a try that failed, up to the longest."
PROVEN = 30.0
"Seconds that more must hold until it counts as afforded."
SHARES = (1.0, 0.2, 0.04)
"Of their camera's pictures that are made of those who are quiet, step by step: of 25 a second 5, and then 1."
QUIET_AFTER = 3.0
"Seconds after the last word."


class Strain:
    """Of one call."""

    def __init__(self) -> None:
        self.step = 0
        self._since: float | None = None
        "They are too old."
        self._young: float | None = None
        self._climbed: float | None = None
        self._patience = PATIENCE
        self._spoke: dict[int, float] = {}

    def look(self, age: float, now: float) -> bool:
        """Whether it is another step than before. `age`: of the seat that is worst off, seconds."""
        if self._climbed is not None and now - self._climbed >= PROVEN:
            self._patience, self._climbed = PATIENCE, None
        self._since = (now if self._since is None else self._since) if age > OLD else None
        self._young = (now if self._young is None else self._young) if age < YOUNG else None
        if self._since is not None and now - self._since >= STRAINED_FOR and self.step < len(SHARES) - 1:
            if self._climbed is not None:
                self._patience, self._climbed = min(2 * self._patience, LONGEST), None
            return self._go(self.step + 1)
        if self._young is not None and now - self._young >= self._patience and self.step:
            self._climbed = now
            return self._go(self.step - 1)
        return False

    def hear(self, speaking: Iterable[int], now: float) -> None:
        """Who speaks now."""
        self._spoke |= dict.fromkeys(speaking, now)

    def share(self, seat: int, now: float) -> float:
        """Of its camera's pictures that are to be made."""
        spoken = now - self._spoke.get(seat, float("-inf")) < QUIET_AFTER
        return 1.0 if spoken else SHARES[self.step]

    def forget(self, seat: int) -> None:
        self._spoke.pop(seat, None)

    def _go(self, step: int) -> bool:
        self.step, self._since, self._young = step, None, None
        return True
