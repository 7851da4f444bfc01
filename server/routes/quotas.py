"""Quotas: how often each address may do something, told the time: a leaky bucket each."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from server.problems import Problem

REMEMBERED = 4096
"Whose bucket is remembered; the oldest are forgotten."


class Quota:
    """So many at once, and so many more a second."""

    def __init__(self, most: float, per_second: float) -> None:
        self._most, self._per_second = most, per_second
        self._of: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, who: str, now: float) -> float:
        """Seconds until `who` may do it again; 0 for at once."""
        return max(0.0, self._level(who, now) - self._most + 1) / self._per_second

    def count(self, who: str, now: float) -> None:
        """`who` has done it."""
        self._of[who] = (self._level(who, now) + 1, now)
        self._of.move_to_end(who)
        while len(self._of) > REMEMBERED:
            self._of.popitem(last=False)

    def take(self, who: str, now: float, what: str) -> None:
        """`who` does it once more. Raises Problem 429 where that is too often; `what`, in the plural, for people."""
        if wait := self.wait(who, now):
            seconds = str(max(1, round(wait)))
            raise Problem(429, "too-many-requests", f"too many {what}; ask again later", {"Retry-After": seconds})
        self.count(who, now)

    def _level(self, who: str, now: float) -> float:
        level, at = self._of.get(who, (0.0, now))
        return max(0.0, level - (now - at) * self._per_second)


@dataclass(frozen=True)
class Quotas:
    """Of calls, by address, or by call where that is said."""

    calls: Quota = field(default_factory=lambda: Quota(10, 10 / 3600))
    invitations: Quota = field(default_factory=lambda: Quota(30, 30 / 60))
    "By call."
    joins: Quota = field(default_factory=lambda: Quota(20, 20 / 60))
    joins_of_a_call: Quota = field(default_factory=lambda: Quota(60, 60 / 60))
    "By call: whoever has many addresses has one call."
    guesses: Quota = field(default_factory=lambda: Quota(5, 5 / 60))
    "Tokens that do not verify."
