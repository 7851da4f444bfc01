"""Rehearsals: how somebody who is about to join would be shown, for a while, to that somebody alone. Event loop only.

Each is a channel of the call under a number that no seat has. It needs room as a seat does, and takes none that a seat was promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.calls.rules import MOST_NUMBERS
from server.channels.lobby import Lobby
from server.problems import busy

FIRST, LAST = MOST_NUMBERS + 1, 9999
MOST, SECONDS = 4, 120.0
"At once in one call, and for how long each."


@dataclass(frozen=True)
class Taken:
    """What a seat was taken with, or is rehearsed with."""

    avatar: str
    engine: str


class Rehearsals:
    """Of one call."""

    def __init__(self, lobby: Lobby, call: str) -> None:
        self._lobby, self._call = lobby, call
        self._until: dict[int, float] = {}
        self._taken: dict[int, Taken] = {}
        self._next = FIRST

    def begin(self, taken: Taken, forms: Sequence[int], now: float) -> int:
        """Its number. Raises Problem 503 where there is no room."""
        if len(self._until) >= MOST:
            raise busy("too-many-callers", f"{MOST} people look at themselves just now; ask again, or join", 10)
        number, self._next = self._next, self._next + 1 if self._next < LAST else FIRST
        self._lobby.hold(self.channel(number), taken.engine, (), forms)
        self._until[number], self._taken[number] = now + SECONDS, taken
        return number

    def get(self, number: int) -> Taken | None:
        """With what it is rehearsed; None where there is no such rehearsal."""
        return self._taken.get(number)

    def has(self, channel: str) -> bool:
        """Whether `channel` is one, which is nobody else's business."""
        call, _, number = channel.partition(".")
        return call == self._call and number.isdecimal() and int(number) in self._taken

    def channel(self, number: int) -> str:
        return f"{self._call}.{number}"

    def look(self, now: float) -> None:
        for number in [one for one, until in self._until.items() if now >= until]:
            self.end(number)

    def end(self, number: int) -> None:
        if self._until.pop(number, None) is not None:
            del self._taken[number]
            self._lobby.release(self.channel(number))

    def close(self) -> None:
        for number in list(self._until):
            self.end(number)
