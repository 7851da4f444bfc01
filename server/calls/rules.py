"""Rules: what follows from whatever happens in a call. Told events and the time; no asyncio, no clock, no sockets, no pictures.

    seat  waiting > joining > present <> away > gone          call  empty > open <> closing > ended

A seat's number is never given twice. Who is gone is told nothing more. Each effect is to be carried out in the order given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from server.calls import effects as do
from server.calls import events as of
from server.calls import permits
from server.calls.agreement import Agreements
from server.calls.effects import Effect, Refuse, Tell
from server.calls.events import Being, Event, Publishing, Shared, State
from server.calls.saying import Sayings
from server.calls.seats import Seat, Seats

EMPTY_SECONDS, CLOSING_SECONDS = 300.0, 20.0
"How long a call waits for its first member, and for one to come back after the last."
WAITING_SECONDS, JOINING_SECONDS, AWAY_SECONDS = 120.0, 30.0, 30.0
"How long a seat waits for the host, for its page, and for it to come back."
RENEW_SECONDS = 300.0
"Half a seat token's life."
HIDDEN_SECONDS = 5.0
"A page that nobody sees is sent no pictures after so long."
TABLE_FROM = 3
"Members from whom on a call with the form `auto` has a table."
MOST_NUMBERS = 8999
"Seats of one call, those that are gone included. Numbers beyond are of rehearsals."
MALFORMED, TOKEN, GRANT, REPLACED, OVER, TOO_FAST, DONE = 4400, 4401, 4403, 4409, 4410, 4429, 1000
"Close codes of a socket."


class Call:
    """One call. on() says what is to be done."""

    def __init__(self, now: float, *, seats: int = 8, watchers: int = 16, title: str = "", form: str = "auto",
                 approve: bool = False, tiling: dict[str, Any] | None = None) -> None:  # fmt: skip
        """`seats` members and `watchers` besides; `tiling`: how a seat's channel is sent, as in the message `form`."""
        self.limit, self.watchers, self.title, self.approve = seats, watchers, title, approve
        self.wanted, self.tiling = form, dict(tiling or {"as": "seat"})
        self.state, self.deadline = State.EMPTY, now + EMPTY_SECONDS
        self.locked = self.table = False
        self.seats = Seats()
        self.agreements, self.sayings = Agreements(self.seats), Sayings(self.seats)
        self.why = ""
        "It has ended."
        self.strained = ""
        "What is given up for lack of capacity, for people."
        self.rejoins = self._numbers = 0

    @property
    def host(self) -> int:
        """The seat that leads; 0: none."""
        return self.seats.host

    @property
    def recording(self) -> float | None:
        """Since when."""
        return self.agreements[Shared.RECORDING].since

    @property
    def handover(self) -> float | None:
        """Since when it goes out to another server."""
        return self.agreements[Shared.HANDOVER].since

    @property
    def next(self) -> int:
        """The number of the seat that is taken next."""
        return self._numbers + 1

    def on(self, event: Event, now: float) -> list[Effect]:
        """Of a seat that is gone, and after the end, nothing follows."""
        if self.state is State.ENDED:
            return []
        seat = self.seats.get(getattr(event, "seat", 0))
        if seat is None and hasattr(event, "seat"):
            return []
        told = list(self._handlers[type(event)](self, *([seat] if seat is not None else []), event, now))
        return told + list(self._settle(now))

    def snapshot(self, host: bool) -> dict[str, Any]:
        """The call as its people are shown it; a host sees who waits, too."""
        return {
            "title": self.title, "state": self.state, "locked": self.locked, "approve": self.approve, "limit": self.limit,
            "seats": self.seats.rows(everybody=host), "form": self.form_of(0), "wanted": self.wanted, **self.agreements.told(),
        }  # fmt: skip

    def form_of(self, seat: int) -> dict[str, Any]:
        """How others are sent to `seat`: the message `form` without its word."""
        others = [one.number for one in self.seats.values() if one.member and one.here and one.number != seat]
        if self.tiling.get("as") != "seat":
            return dict(self.tiling)
        return self.tiling | {"of": others[0] if others else None, "seats": others}

    def seats_at_table(self, more: int = 0) -> bool:
        """Whether there is a table, were there so many `more` members."""
        here = more + sum(one.member and one.here for one in self.seats.values())
        return self.wanted == "table" or (self.wanted == "auto" and here >= TABLE_FROM) or self.handover is not None

    def check_publish(self, number: int, epoch: int | None) -> Refuse | None:
        """Why `number` may not publish now with a token of `epoch` (None: with the server's own)."""
        return permits.publish(self.seats.get(number), epoch, self.agreements)

    def check_view(self, number: int) -> Refuse | None:
        """Why `number` may not watch now."""
        return permits.view(self.seats.get(number), self.agreements)

    def recall(self, seats: Iterable[Seat], numbers: int, now: float) -> None:
        """Begin with whoever was there when what had the call died: all are away, and come back as after a lost line. `numbers` were
        given."""
        for seat in seats:
            self.seats[seat.number] = seat
            self._become(seat, Being.AWAY, now)
        self._numbers = max(numbers, *self.seats, 0)

    # Coming ---------------------------------------------------------------------------------------------------------------

    def _seated(self, event: of.Seated, now: float) -> Iterator[Effect]:
        if (refusal := self._no_seat(event)) is not None:
            yield refusal
            return
        self._numbers += 1
        waits = self.approve and not event.grants.host and not event.lasts
        seat = Seat(
            self._numbers, event.name, event.grants, now, muted=event.muted, agreed=set(event.agrees), live=event.live
        )
        seat.held_until = now + event.lasts if event.lasts else 0.0
        self.seats[seat.number] = seat
        self._become(seat, Being.WAITING if waits else Being.JOINING, now)
        yield do.Take(seat.number)
        yield from self.seats.announce(seat)

    def _no_seat(self, event: of.Seated) -> Refuse | None:
        beside = sum(one.member == event.grants.publish for one in self.seats.values())
        most = self.limit if event.grants.publish else self.watchers
        return permits.sit(event, beside if self._numbers < MOST_NUMBERS else most, most, self.locked, self.agreements)

    def _approved(self, seat: Seat, event: of.Approved, now: float) -> Iterator[Effect]:
        if seat.being is not Being.WAITING:
            return
        self._become(seat, Being.JOINING, now)
        yield from self._welcome(seat)
        yield from self.seats.announce(seat)
        yield from self._being_of(seat, now)

    def _denied(self, seat: Seat, event: of.Denied, now: float) -> Iterator[Effect]:
        if seat.being is Being.WAITING:
            yield from self._gone(seat, "denied", GRANT, now)

    def _connected(self, seat: Seat, event: of.Connected, now: float) -> Iterator[Effect]:
        if event.resume and event.epoch < seat.epoch and seat.socket:  # replaced, and not a person's wish: no ping-pong
            yield do.Close(seat.number, event.socket, REPLACED, _bye("replaced", "never"))
            return
        if seat.socket:
            yield do.Close(seat.number, seat.socket, REPLACED, _bye("replaced", "never"))
        if seat.socket or seat.being is Being.AWAY:
            seat.epoch += 1
            self.rejoins += 1
        seat.socket, seat.visible, seat.hidden_since = event.socket, True, now
        seat.renew_at = now + RENEW_SECONDS
        # before anything is done with the one that it came with, which is of the page before
        yield do.Renew(seat.number)
        yield from self._welcome(seat)
        yield from self.sayings.shows(seat)
        yield from self._being_of(seat, now)

    def _welcome(self, seat: Seat) -> Iterator[Effect]:
        if not seat.socket:
            return
        waits = seat.being is Being.WAITING
        rows = [self.seats.row(seat)] if waits else self.seats.rows(everybody=seat.grants.host)
        told = {"t": "welcome", "seat": seat.number, "seats": rows, "title": self.title, "locked": self.locked}
        yield Tell(
            seat.number,
            told | {"form": self.form_of(seat.number)} | (dict.fromkeys(Shared) if waits else self.agreements.told()),
        )
        if not waits:
            yield from self.agreements.remind(seat)

    def _disconnected(self, seat: Seat, event: of.Disconnected, now: float) -> Iterator[Effect]:
        if seat.socket == event.socket:
            seat.socket, seat.renew_at, seat.visible = 0, None, True
            yield from self._being_of(seat, now)

    # Media ----------------------------------------------------------------------------------------------------------------

    def _publish_started(self, seat: Seat, event: of.PublishStarted, now: float) -> Iterator[Effect]:
        if seat.publishing is Publishing.NONE and seat.inside and self.check_publish(seat.number, None) is None:
            yield from self._publishes(seat, Publishing.CONNECTING, now)

    def _media_live(self, seat: Seat, event: of.MediaLive, now: float) -> Iterator[Effect]:
        """Also after none: a session that takes the place of a lost one may be announced before that one's loss is seen."""
        unasked = bool(self.agreements.lacking(seat.agreed))
        if seat.publishing is Publishing.LIVE or not seat.inside or (seat.publishing is Publishing.NONE and unasked):
            return
        seat.media = True
        yield from self._publishes(seat, Publishing.LIVE, now)

    def _media_stalled(self, seat: Seat, event: of.MediaStalled, now: float) -> Iterator[Effect]:
        if seat.publishing is Publishing.LIVE:
            yield from self._publishes(seat, Publishing.STALLED, now)

    def _media_lost(self, seat: Seat, event: of.MediaLost, now: float) -> Iterator[Effect]:
        if seat.publishing is not Publishing.NONE:
            seat.media = False
            yield from self._publishes(seat, Publishing.NONE, now)

    def _publishes(self, seat: Seat, how: Publishing, now: float) -> Iterator[Effect]:
        seat.publishing = how
        yield from self.seats.tell_of(seat, publishing=how)
        yield from self._being_of(seat, now)

    def _drawable(self, seat: Seat, event: of.Drawable, now: float) -> Iterator[Effect]:
        if event.drawable != seat.drawable:
            seat.drawable = event.drawable
            yield from self.seats.tell_of(seat, geometry=seat.drawable)

    def _view_started(self, seat: Seat, event: of.ViewStarted, now: float) -> Iterator[Effect]:
        if seat.inside:
            seat.views = True
            yield from self._being_of(seat, now)

    def _view_ended(self, seat: Seat, event: of.ViewEnded, now: float) -> Iterator[Effect]:
        seat.views = False
        yield from self._being_of(seat, now)

    def _being_of(self, seat: Seat, now: float) -> Iterator[Effect]:
        """Present or away, by what is up of it."""
        before = seat.being
        if seat.up and before in (Being.JOINING, Being.AWAY):
            self._become(seat, Being.PRESENT, now)
        elif not seat.up and before is Being.PRESENT:
            self._become(seat, Being.AWAY, now)
        if seat.being is not before:
            yield from self.seats.tell_of(seat, state=seat.being)

    # What seats say, and agree to ---------------------------------------------------------------------------------------

    def _said(self, *what: Any) -> Iterator[Effect]:
        yield from self.sayings.on(*what)

    def _asked(self, event: of.Asked, now: float) -> Iterator[Effect]:
        yield from self.agreements[event.what].ask(event.by, now, event.to)

    def _agreed(self, seat: Seat, event: of.Agreed, now: float) -> Iterator[Effect]:
        yield from self.agreements[event.what].say(seat, event.yes, now)

    def _stopped(self, event: of.Stopped, now: float) -> Iterator[Effect]:
        yield from self.agreements[event.what].end(event.why)

    # Going ----------------------------------------------------------------------------------------------------------------

    def _left(self, seat: Seat, event: of.Left, now: float) -> Iterator[Effect]:
        yield from self._gone(seat, "left", DONE, now)

    def _removed(self, seat: Seat, event: of.Removed, now: float) -> Iterator[Effect]:
        yield from self._gone(seat, event.why, GRANT, now)

    def _gone(self, seat: Seat, why: str, code: int, now: float) -> Iterator[Effect]:
        waited = seat.being is Being.WAITING
        del self.seats[seat.number]
        seat.being = Being.GONE
        if seat.socket:
            yield do.Close(seat.number, seat.socket, code, _bye(why, "rejoin" if why in _COME_BACK else "never"))
        yield do.StopPublishing(seat.number)
        yield do.StopViewing(seat.number)
        yield do.Forget(seat.number)
        for one in self.seats.listeners():
            if not waited or one.grants.host:
                yield Tell(one.number, {"t": "gone", "seat": seat.number, "why": why})
        if seat.number in self.seats.speaking:
            left = tuple(one for one in self.seats.speaking if one != seat.number)
            yield from self.sayings.spoke(
                of.Spoke(left, self.seats.loudest if self.seats.loudest in left else None), now
            )
        yield from self.agreements.look(now)

    # The call -------------------------------------------------------------------------------------------------------------

    def _changed(self, event: of.Changed, now: float) -> Iterator[Effect]:
        told: dict[str, Any] = {}
        for name, value in (("locked", event.locked), ("title", event.title)):
            if value is not None and value != getattr(self, name):
                setattr(self, name, value)
                told[name] = value
        if event.form is not None and event.form != self.wanted:
            self.wanted = event.form
            yield do.Reform(event.form)
        if told:
            yield from self.seats.tell_all({"t": "call", **told})

    def _formed(self, event: of.Formed, now: float) -> Iterator[Effect]:
        self.tiling = dict(event.tiling)
        for one in self.seats.listeners():
            yield Tell(one.number, {"t": "form", **self.form_of(one.number)})

    def _capacity_lost(self, event: of.CapacityLost, now: float) -> Iterator[Effect]:
        self.strained = event.detail
        yield from self.seats.tell_all(
            {"t": "problem", "type": "urn:telequilt:problem:capacity-lost", "detail": event.detail}
        )

    def _capacity_back(self, event: of.CapacityBack, now: float) -> Iterator[Effect]:
        if self.strained:
            self.strained = ""
            yield from self.seats.tell_all(
                {"t": "problem", "type": "urn:telequilt:problem:capacity-back", "detail": ""}
            )

    def _ended(self, event: of.Ended, now: float) -> Iterator[Effect]:
        yield from self._end(event.why)

    def _end(self, why: str) -> Iterator[Effect]:
        """Last of all: nothing follows any more."""
        yield from self.agreements.over(why)
        if self.table:
            yield do.DropTable()
        for seat in self.seats.values():
            if seat.socket:
                yield do.Close(seat.number, seat.socket, OVER, _bye(why, "never"))
            yield do.StopPublishing(seat.number)
            yield do.StopViewing(seat.number)
            yield do.Forget(seat.number)
        self.seats.clear()
        self.why = why
        self.seats.host, self.table = 0, False
        self.state = State.ENDED

    def _tick(self, event: of.Tick, now: float) -> Iterator[Effect]:
        for seat in list(self.seats.values()):
            if seat.deadline is not None and now >= seat.deadline:
                yield from self._gone(seat, "unanswered" if seat.being is Being.WAITING else "lost", GRANT, now)
                continue
            if seat.renew_at is not None and now >= seat.renew_at:
                seat.renew_at = now + RENEW_SECONDS
                yield do.Renew(seat.number)
            if seat.shown and not seat.visible and now - seat.hidden_since >= HIDDEN_SECONDS:
                seat.shown = False
                yield do.Show(seat.number, False)
        yield from self.agreements.look(now)

    def _settle(self, now: float) -> Iterator[Effect]:
        """What belongs to the call as a whole, after whatever happened."""
        if self.state is State.ENDED:
            return
        if any(one.member and (one.being is Being.PRESENT or not one.plain) for one in self.seats.values()):
            self.state = State.OPEN
        elif self.state is State.OPEN:
            self.state, self.deadline = State.CLOSING, now + CLOSING_SECONDS
        elif now >= self.deadline:
            yield from self._end("nobody is here any more" if self.state is State.CLOSING else "nobody came")
            return
        yield from self._pass_on()
        table = self.seats_at_table()
        if table != self.table:
            self.table = table
            yield do.MakeTable() if table else do.DropTable()

    def _pass_on(self) -> Iterator[Effect]:
        """Somebody leads whose grant allows it, the longest present one, if anybody may."""
        if self.host in self.seats:
            return
        able = [one for one in self.seats.values() if one.grants.host and one.being is Being.PRESENT]
        self.seats.host = min(able, key=lambda one: one.since).number if able else 0
        if self.host:
            yield from self.seats.tell_of(self.seats[self.host], role="host")

    def _become(self, seat: Seat, being: Being, now: float) -> None:
        seat.being, seat.since = being, now
        seconds = {Being.WAITING: WAITING_SECONDS, Being.JOINING: JOINING_SECONDS, Being.AWAY: AWAY_SECONDS}
        if seat.plain:
            seat.deadline = None if being is Being.PRESENT else seat.held_until
        else:
            seat.deadline = now + seconds[being] if being in seconds else None

    _handlers: ClassVar[dict[type, Callable[..., Iterator[Effect]]]] = {
        of.Seated: _seated, of.Approved: _approved, of.Denied: _denied, of.Connected: _connected,
        of.Disconnected: _disconnected, of.PublishStarted: _publish_started, of.MediaLive: _media_live,
        of.MediaStalled: _media_stalled, of.MediaLost: _media_lost, of.Drawable: _drawable,
        of.ViewStarted: _view_started, of.ViewEnded: _view_ended,
        **dict.fromkeys(Sayings.handlers, _said), of.Asked: _asked, of.Agreed: _agreed, of.Stopped: _stopped,
        of.Left: _left, of.Removed: _removed, of.Changed: _changed, of.Formed: _formed,
        of.CapacityLost: _capacity_lost, of.CapacityBack: _capacity_back, of.Ended: _ended, of.Tick: _tick,
    }  # fmt: skip


_COME_BACK = ("lost", "unanswered")
"Reasons for being gone after which an invitation may be used again."


def _bye(why: str, again: str) -> dict[str, Any]:
    return {"t": "bye", "why": why, "again": again}
