"""Agreement: whether everybody agrees to a recording: asked for each, each time, and taken back by one. Rules as in rules.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.calls import effects as do
from server.calls.effects import Effect, Refuse
from server.calls.events import Publishing
from server.calls.seats import Seat, Seats

ASKING_SECONDS = 60.0
"Within which everybody has to answer."


class Agreement:
    """Of one call."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self.since: float | None = None
        "A recording goes on."
        self.asking: int | None = None
        "Who wants one; 0: who runs the server. None: nobody asks."
        self._by, self._asked_at = 0, 0.0

    def missing(self) -> list[int]:
        """Whose yes is lacking."""
        there = [
            one for one in self._seats.values() if one.member and (one.here or one.publishing is not Publishing.NONE)
        ]
        return [one.number for one in there if not one.agreed]

    def told(self) -> dict[str, Any] | None:
        return None if self.since is None else {"since": self.since}

    def ask(self, by: int, now: float) -> Iterator[Effect]:
        """`by` wants a recording, and so agrees."""
        if self.since is not None:
            yield Refuse("already-recording")
            return
        self._by = self._by if self.asking is not None else by
        if (asker := self._seats.get(by)) is not None:
            asker.agreed = True
        missing = self.missing()
        if not missing:
            yield from self._begin(now)
            return
        if self.asking is None:
            self.asking, self._asked_at = by, now
            for number in missing:
                yield from self.remind(self._seats[number])
        yield Refuse("not-everybody-agrees", {"missing": missing})

    def remind(self, seat: Seat) -> Iterator[Effect]:
        """Ask one who has not answered; also one who came in while a recording had begun."""
        if (self.asking is not None or self.since is not None) and seat.member and not seat.agreed:
            yield from self._seats.tell(seat, {"t": "asking", "what": "recording", "by": self._by})

    def say(self, seat: Seat, yes: bool, now: float) -> Iterator[Effect]:
        seat.agreed = yes
        if yes:
            yield from self.look(now)
        elif seat.member:
            yield from self.end(f"{seat.name} does not agree")

    def look(self, now: float) -> Iterator[Effect]:
        """Begin where the last one has agreed, or left; give up where some do not answer."""
        if self.asking is None:
            return
        if not self.missing():
            yield from self._begin(now)
        elif now - self._asked_at >= ASKING_SECONDS:
            yield from self.end("not everybody has answered")

    def end(self, why: str) -> Iterator[Effect]:
        """Of the recording, or of asking for one."""
        if self.since is None and self.asking is None:
            return
        if self.since is not None:
            yield do.StopRecording(why)
        self.since = self.asking = None
        for seat in self._seats.values():
            seat.agreed = False
        yield from self._seats.tell_all({"t": "recording", "since": None, "why": why})
        for seat in self._seats.values():
            if seat.grants.role == "recorder" and seat.views:
                yield do.StopViewing(seat.number)

    def _begin(self, now: float) -> Iterator[Effect]:
        self.since, self.asking = now, None
        yield do.StartRecording()
        yield from self._seats.tell_all({"t": "recording", "since": now})
