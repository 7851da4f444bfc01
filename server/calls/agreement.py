"""Agreement: whether everybody agrees to what leaves a call: asked for each, each time, and taken back by one. Rules as in rules.py."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from server.calls import effects as do
from server.calls.effects import Effect, Refuse
from server.calls.events import Publishing, Shared
from server.calls.seats import Seat, Seats

ASKING_SECONDS = 60.0
"Within which everybody has to answer."
ALREADY = {Shared.RECORDING: "already-recording", Shared.HANDOVER: "already-handed-over"}


class Agreement:
    """Of one call, to `what`."""

    def __init__(self, seats: Seats, what: Shared) -> None:
        self._seats, self.what = seats, what
        self.since: float | None = None
        "It goes on."
        self.to = ""
        "Where it goes, for people: of a handover."
        self.asking: int | None = None
        "Who wants it; 0: who runs the server. None: nobody asks."
        self._by, self._asked_at = 0, 0.0

    @property
    def idle(self) -> bool:
        """It neither goes on nor is asked for."""
        return self.since is None and self.asking is None

    def missing(self) -> list[int]:
        """Whose yes is lacking."""
        there = [
            one for one in self._seats.values() if one.member and (one.here or one.publishing is not Publishing.NONE)
        ]
        return [one.number for one in there if not self.has(one)]

    def has(self, seat: Seat) -> bool:
        """Whether it agrees."""
        return self.what in seat.agreed

    def told(self) -> dict[str, Any] | None:
        return None if self.since is None else {"since": self.since, **self._where}

    def ask(self, by: int, now: float, to: str = "") -> Iterator[Effect]:
        """`by` wants it, and so agrees."""
        if self.since is not None:
            yield Refuse(ALREADY[self.what], self._where)
            return
        if self.asking is None:
            self._by, self.to = by, to
        if (asker := self._seats.get(by)) is not None:
            asker.agreed.add(self.what)
        missing = self.missing()
        if not missing:
            yield from self._begin(now)
            return
        if self.asking is None:
            self.asking, self._asked_at = by, now
            for number in missing:
                yield from self.remind(self._seats[number])
        yield self.refusal()

    def refusal(self) -> Refuse:
        """It cannot be yet."""
        return Refuse("not-everybody-agrees", {"what": self.what, "missing": self.missing()})

    def remind(self, seat: Seat) -> Iterator[Effect]:
        """Ask one who has not answered; also one who came in while it had begun."""
        if (self.asking is not None or self.since is not None) and seat.member and not self.has(seat):
            yield from self._seats.tell(seat, {"t": "asking", "what": self.what, "by": self._by, **self._where})

    def say(self, seat: Seat, yes: bool, now: float) -> Iterator[Effect]:
        if yes:
            seat.agreed.add(self.what)
            yield from self.look(now)
            return
        seat.agreed.discard(self.what)
        if seat.member:
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
        """Of the thing itself, or of asking for it."""
        if self.idle:
            return
        if self.since is not None:
            yield do.Stop(self.what, why)
        self.since = self.asking = None
        for seat in self._seats.values():
            seat.agreed.discard(self.what)
        yield from self._seats.tell_all({"t": self.what, "since": None, "why": why, **self._where})
        for seat in self._seats.values():
            if self.what is Shared.RECORDING and seat.grants.role == "recorder" and seat.views:
                yield do.StopViewing(seat.number)

    def _begin(self, now: float) -> Iterator[Effect]:
        self.since, self.asking = now, None
        yield do.Start(self.what)
        yield from self._seats.tell_all({"t": self.what, "since": now, **self._where})

    @property
    def _where(self) -> dict[str, str]:
        return {"to": self.to} if self.to else {}


class Agreements(dict[Shared, Agreement]):
    """Of one call, to each thing that leaves one."""

    def __init__(self, seats: Seats) -> None:
        super().__init__({what: Agreement(seats, what) for what in Shared})

    def lacking(self, agreed: Collection[Shared]) -> list[Shared]:
        """What goes on and is not among what somebody has `agreed` to."""
        return [what for what, one in self.items() if one.since is not None and what not in agreed]

    def told(self) -> dict[str, Any]:
        """What goes on, as everybody is told."""
        return {what: one.told() for what, one in self.items()}

    def remind(self, seat: Seat) -> Iterator[Effect]:
        for one in self.values():
            yield from one.remind(seat)

    def look(self, now: float) -> Iterator[Effect]:
        for one in self.values():
            yield from one.look(now)

    def over(self, why: str) -> Iterator[Effect]:
        """The call has ended: nobody is told any more."""
        for one in self.values():
            if one.since is not None:
                yield do.Stop(one.what, why)
            one.since = one.asking = None
