"""Saying: what seats say of themselves, what is heard of them, and what follows for the others. Told the time, as the rules are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from server.calls import effects as do
from server.calls import events as of
from server.calls.effects import Effect, Tell
from server.calls.seats import Seat, Seats


class Sayings:
    """Of all seats of one call."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats

    def on(self, *what: Any) -> Iterator[Effect]:
        """`what`: the seat, if the event is of one, the event, and the time."""
        return self.handlers[type(what[-2])](self, *what)

    def _set(self, seat: Seat, event: of.Set, now: float) -> Iterator[Effect]:
        told: dict[str, Any] = {}
        if event.name is not None and event.name != seat.name:
            seat.name = told["name"] = event.name
        if event.camera is not None and event.camera != seat.camera:
            seat.camera = told["camera"] = event.camera
        if event.muted is not None and event.muted != seat.muted and not (event.by_host and not event.muted):
            seat.muted, seat.muted_by = event.muted, "host" if event.by_host else "self"
            told |= {"muted": event.muted, "by": seat.muted_by}
            yield do.Mute(seat.number, event.muted)
        if told:
            yield from self._seats.tell_of(seat, **told)

    def _watching(self, seat: Seat, event: of.Watching, now: float) -> Iterator[Effect]:
        if seat.visible and not event.visible:
            seat.hidden_since = now
        seat.visible = event.visible
        if event.visible:
            yield from self.shows(seat)

    def shows(self, seat: Seat) -> Iterator[Effect]:
        if not seat.shown:
            seat.shown = True
            yield do.Show(seat.number, True)

    def spoke(self, event: of.Spoke, now: float) -> Iterator[Effect]:
        seats = tuple(one for one in event.seats if one in self._seats)
        loudest = event.loudest if event.loudest in self._seats else None
        if (seats, loudest) == (self._seats.speaking, self._seats.loudest):
            return
        self._seats.speaking, self._seats.loudest = seats, loudest
        yield from self._seats.tell_all({"t": "speaking", "seats": list(seats), "loudest": loudest})

    def _together(self, seat: Seat, event: of.Together, now: float) -> Iterator[Effect]:
        other = self._seats.get(event.other)
        for one, beside in ((seat, other), (other, seat)):
            if one is not None and beside is not None:
                detail = (
                    f"you and {beside.name} are in one room, which echoes: one of you should mute, or wear headphones"
                )
                kind = "urn:telequilt:problem:one-room"
                yield from self._seats.tell(
                    one, {"t": "problem", "type": kind, "detail": detail, "seat": beside.number}
                )

    def _looked(self, seat: Seat, event: of.LookedFrom, now: float) -> Iterator[Effect]:
        if seat.socket and seat.inside:
            yield Tell(seat.number, {"t": "look", **event.look})

    handlers: ClassVar[dict[type, Callable[..., Iterator[Effect]]]] = {
        of.Set: _set, of.Watching: _watching, of.Spoke: spoke, of.Together: _together, of.LookedFrom: _looked,
    }  # fmt: skip
