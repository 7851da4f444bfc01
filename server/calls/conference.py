"""Conference: one call at work: what its rules say, carried out; what happens to its sockets and media, told to them.

Event loop only. What a call has besides seats and channels is in its parts (part.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from display.screen import Screen
from display.screen import screen as named
from display.seating import VIEWS
from server.calls import effects as do
from server.calls import events as of
from server.calls import refusals
from server.calls.effects import Effect, Refuse
from server.calls.events import Event, Grants, Publishing, Shared
from server.calls.films import Films
from server.calls.forms import seat_form
from server.calls.invitations import Invitations
from server.calls.media import Media
from server.calls.memory import remembered
from server.calls.outgoing import Outgoing
from server.calls.part import Part
from server.calls.permits import NO_SEAT
from server.calls.rehearsals import SECONDS, Rehearsals, Taken
from server.calls.rules import Call
from server.calls.sparing import Sparing
from server.calls.talk import Talk
from server.calls.tokens import PLAIN_SECONDS, SEAT_SECONDS, Claims, Tokens
from server.calls.views import Views
from server.channels.channel import Channel
from server.channels.gate import KEPT
from server.channels.lobby import Accepted, Lobby
from server.problems import Problem
from server.settings import Settings
from server.webrtc.audio import Listen

log = structlog.get_logger(__name__)

MOST_AGES = 60


class Conference:
    def __init__(
        self,
        name: str,
        rules: Call,
        lobby: Lobby,
        settings: Settings,
        tokens: Tokens,
        ice_servers: Callable[[str], list[dict[str, Any]]],
        parts: Sequence[Callable[[Conference], Part]] = (),
    ) -> None:
        """`ice_servers`: for a seat by its channel's name, as browsers take them."""
        self.name, self.rules, self.lobby, self.settings, self.tokens = name, rules, lobby, settings, tokens
        self.invitations = Invitations()
        self.films, self.outgoing = Films(lobby, settings), Outgoing(lobby, settings, name)
        self.rehearsals = Rehearsals(lobby, name)
        self._views = Views(lobby, rules, self._tell)
        self._sparing = Sparing(rules, settings.adapt, self.happen)
        self._media = Media(rules, lobby, self.channel, self.happen, self._tell, self._arrived, self._departed)
        self.taken: dict[int, Taken] = {}
        self._ice_servers = ice_servers
        self._talks: dict[int, Talk] = {}
        "Sockets that have said hello, by number."
        self._gathered: tuple[int, ...] = ()
        self.look_ages: deque[float] = deque(maxlen=MOST_AGES)
        "Seconds: how old `look` was when it came, as pages tell. Whose, is not kept."
        self.parts = [make(self) for make in parts]

    # What may be asked ----------------------------------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        """Let the rules decide, and carry it out. Raises Problem where they refuse."""
        effects = self.rules.on(event, _now())
        if isinstance(event, of.Spoke):
            self._sparing.hear(event.seats, self._there, _now())
        refused = [self._carry_out(effect) for effect in effects]
        for problem in refused:
            if problem is not None:
                raise problem

    def seat(self, event: of.Seated, avatar: str, engine: str) -> int:
        """Take a seat; what it will cost is kept free from now on. Raises Problem."""
        number = self.rules.next
        if event.grants.publish:
            forms = (VIEWS,) if self.rules.seats_at_table(1) else KEPT
            self.lobby.hold(self.channel(number), engine, self._seated, forms)
        try:
            self.happen(event)
        except Problem:
            self.lobby.release(self.channel(number))
            raise
        self.taken[number] = Taken(avatar, engine)
        log.info("seat taken", role=event.grants.role, plain=bool(event.lasts), seats=len(self.rules.seats))
        return number

    def remembered(self) -> dict[str, Any]:
        """What it takes for the call to go on after this process has died (memory.py)."""
        return remembered(self.rules, self.taken, self.invitations, _now())

    def take_up(self, taken: Mapping[int, Taken], invitations: Invitations) -> None:
        """Go on with a call that died elsewhere, whose seats the rules have recalled. Raises Problem where there is no room for them."""
        self.invitations, self.taken, held = invitations, dict(taken), list[str]()
        forms = (VIEWS,) if self.rules.seats_at_table(0) else KEPT
        for number, one in taken.items():
            if self.rules.seats[number].grants.publish:
                self.lobby.hold(self.channel(number), one.engine, held, forms)
                held.append(self.channel(number))

    def channel(self, seat: int) -> str:
        return f"{self.name}.{seat}"

    def token_of(self, number: int) -> tuple[str, float]:
        """A fresh token of a seat, and when it expires."""
        seat = self.rules.seats[number]
        seconds = PLAIN_SECONDS if seat.plain else SEAT_SECONDS
        return self.tokens.seat(self.name, number, seat.epoch, seat.grants, seat.name, seconds)

    def seats_form(self) -> dict[str, Any]:
        """The form of what is sent of one seat."""
        return seat_form(named(self.settings.screen))

    def form_of(self, number: int) -> dict[str, Any]:
        """How others are sent to a seat, in as many views as there is room for."""
        told, whole, most = (
            self.rules.form_of(number),
            named(self.settings.screen),
            self.lobby.kept(self.channel(number)),
        )
        if told["as"] != "seat" or not 0 < most < whole.views:
            return told
        return told | seat_form(whole.thinned(most))

    def ice_servers(self, seat: int) -> list[dict[str, Any]]:
        return self._ice_servers(self.channel(seat))

    def rehearse(self, avatar: str, engine: str) -> tuple[int, str]:
        """Show somebody who is about to join how that would be: its number, and a token for it. Raises Problem 503."""
        number = self.rehearsals.begin(Taken(avatar, engine), KEPT, _now())
        token, _ = self.tokens.seat(self.name, number, 1, Grants(publish=True), "", SECONDS)
        return number, token

    async def publish(self, number: int, epoch: int | None, sdp: str, driver: str | None = None) -> Accepted:
        """Let a seat's caller in, or in again: then the one before is closed once the new one is connected. `driver`: what moves its
        avatar, if it says so. Raises Problem."""
        if (rehearsed := self.rehearsals.get(number)) is not None:
            return await self.lobby.publish(self.channel(number), sdp, rehearsed.avatar, rehearsed.engine, driver)
        self._unless(self.rules.check_publish(number, epoch))
        taken = self.taken[number]
        self.happen(of.PublishStarted(number))
        return await self.lobby.publish(self.channel(number), sdp, taken.avatar, taken.engine, driver)

    async def view(
        self,
        number: int,
        channel: str,
        sdp: str,
        screen: Screen,
        views: int | None = None,
        listen: Listen | None = None,
    ) -> Accepted:
        """Let a seat watch `channel` of this call, in at most so many views, and hear what `listen` gives, or else whom it
        watches. Raises Problem."""
        if self.rehearsals.has(channel):
            self._unless(None if channel == self.channel(number) else NO_SEAT)
            return await self.lobby.view(channel, sdp, screen, views)
        self._unless(self.rules.check_view(number))
        if views is None and screen.views > 1 and self.rules.seats[number].socket:  # whose page is told the form
            views = self._fitting(channel, screen)
        return await self._views.view(number, channel, sdp, screen, views, listen)

    async def draw(self, number: int, channel: str, sdp: str) -> Accepted:
        """Let a seat watch `channel` of this call by drawing it itself. Raises Problem."""
        if self.rehearsals.has(channel):
            self._unless(None if channel == self.channel(number) else NO_SEAT)
            return await self.lobby.draw(channel, sdp)
        self._unless(self.rules.check_view(number))
        return await self._views.draw(number, channel, sdp)

    @property
    def _shared(self) -> dict[Shared, Films | Outgoing]:
        return {Shared.RECORDING: self.films, Shared.HANDOVER: self.outgoing}

    def _table(self) -> tuple[Screen, Listen | None]:
        """What goes out: all of it, and the sound of all."""
        return self.screen(self.name, named(self.settings.screen)), self.hears(0)

    def _fitting(self, channel: str, screen: Screen) -> int:
        """In how many views this machine can show seats, one by one, to each other. A table has as many as it has."""
        return screen.views if channel == self.name else self.lobby.keep(self._seated, KEPT, channel) or screen.views

    @property
    def _there(self) -> dict[int, Channel]:
        return self._media.there

    @property
    def _seated(self) -> list[str]:
        """The channels of its members."""
        return [self.channel(seat.number) for seat in self.rules.seats.values() if seat.member]

    def screen(self, channel: str, screen: Screen) -> Screen:
        """What is sent of `channel` to whoever asks for `screen`."""
        for part in self.parts:
            screen = part.screen(channel, screen.views == 1) or screen
        return screen

    def source(self, number: int) -> str:
        """The channel that /whep/CALL shows to a seat: the table, or else whoever has been live longest."""
        for part in self.parts:
            if (name := part.source(number)) is not None:
                return name
        live = [seat for seat in self._there if seat != number]
        return self.channel(live[0]) if live else self.name

    def hears(self, number: int) -> Listen | None:
        """What makes the sound of /whep/CALL for a seat, 0: who runs the server; None: its channel's own."""
        return next((listen for part in self.parts if (listen := part.hears(number)) is not None), None)

    def hand_over(self, by: int, url: str, token: str) -> None:
        """Ask everybody whether the table may go out to another server; it does once all agree. Raises Problem."""
        agreement = self.rules.agreements[Shared.HANDOVER]
        to = self.outgoing.plan(url, token) if agreement.idle else agreement.to
        self.happen(of.Asked(Shared.HANDOVER, by, to))

    def change_avatar(self, seat: int, avatar: str, engine: str) -> None:
        """From its next WHIP session on; one that there is ends."""
        self.taken[seat] = replace(self.taken[seat], avatar=avatar, engine=engine)
        self.lobby.drop(self.channel(seat), "its avatar is another one")

    def sent(self, ages: Mapping[int, float]) -> None:
        """A table's picture leaves in which seats are so old, in seconds."""
        for seat, age in ages.items():
            self._tell_parts(partial(_sent, seat, age))

    def look(self, seat: int, **look: float) -> None:
        """Where a member's head is: x, y, z in mm, seen 0..1, at on the server's clock."""
        self.happen(of.LookedFrom(seat, look))

    def connect(self, seat: int, talk: Talk, epoch: int, resume: bool) -> None:
        self._talks[talk.id] = talk
        self.happen(of.Connected(seat, talk.id, epoch, resume))

    def disconnect(self, seat: int, talk: Talk) -> None:
        self._talks.pop(talk.id, None)
        self.happen(of.Disconnected(seat, talk.id))

    def knows(self, claims: Claims) -> bool:
        """Whether these are of somebody who is here or may come."""
        return claims.seat in self.rules.seats or self.invitations.usable(claims.invitation)

    def let_go(self) -> None:
        """It has ended."""
        self.rehearsals.close()
        self._tell_parts(lambda part: part.ended())

    @property
    def sockets(self) -> int:
        return len(self._talks)

    @property
    def ended(self) -> bool:
        return self.rules.state is of.State.ENDED

    # What is looked after -------------------------------------------------------------------------------------------------

    def look_after(self) -> None:
        """Several times a second: time passes, media comes and goes."""
        for number in list(self.rules.seats):
            self._media.look(number)
            self._see_views(number)
        for what, shared in self._shared.items():
            if self.rules.agreements[what].since is not None and (why := shared.failure()):
                self.happen(of.Stopped(what, why))
        self.happen(of.Tick())
        self.films.see_agreed(self.rules, self._there)
        self.rehearsals.look(_now())
        self._see_gathered()
        self._sparing.look(self._there, _now())

    def _arrived(self, number: int, channel: Channel) -> None:
        self.happen(of.Drawable(number, channel.drawing is not None and not channel.drawing.preview))
        self._media.mute(number, self.rules.seats[number].muted)
        if self.rules.recording is not None:
            self.films.begin([channel])
        self._tell_parts(lambda part: part.arrived(number, channel))

    def _departed(self, number: int) -> None:
        self._tell_parts(lambda part: part.departed(number))

    def _see_views(self, number: int) -> None:
        watching = self._views.watching(number)
        if watching != self.rules.seats[number].views:
            self.happen(of.ViewStarted(number) if watching else of.ViewEnded(number))

    def _see_gathered(self) -> None:
        live = (Publishing.LIVE, Publishing.STALLED)
        seats = tuple(
            one.number for one in self.rules.seats.values() if one.publishing in live and one.number in self._there
        )
        if seats != self._gathered:
            self._gathered = seats
            self._tell_parts(lambda part: part.gathered(seats))

    # What is to be done ---------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> Problem | None:
        match effect:
            case do.Tell(number, message):
                self._tell(number, message)
            case do.Renew(number):
                token, expires = self.token_of(number)
                self._tell(number, {"t": "token", "token": token, "expires": expires})
            case do.Close(_, socket, code, bye):
                if (talk := self._talks.pop(socket, None)) is not None:
                    talk.end(code, bye)
            case do.StopViewing(number):
                self._views.stop(number)
            case do.Forget(number):
                self._forget(number)
            case do.Mute(number, muted):
                self._media.mute(number, muted)
                self._tell_parts(lambda part: part.muted(number, muted))
            case do.Show(number, pictures):
                self._views.show(number, pictures)
                self._tell_parts(lambda part: part.shown(number, pictures))
            case do.Start(Shared.RECORDING):
                self.films.see_agreed(self.rules, self._there)
                self.films.begin(self._there.values())
            case do.Start(Shared.HANDOVER):
                self.outgoing.begin(self._table)
            case do.Stop(what, why):
                self._shared[what].end(why)
            case do.MakeTable():
                self._tell_parts(lambda part: part.make_table())
            case do.DropTable():
                self._tell_parts(lambda part: part.drop_table())
            case do.Reform(form):
                self._tell_parts(lambda part: part.reform(form))
            case Refuse():
                return refusals.problem(effect)
            case _:
                pass  # a seat that is taken or stops publishing is seen to by who asked, and by Forget
        return None

    def _tell(self, number: int, message: dict[str, Any]) -> None:
        seat = self.rules.seats.get(number)
        talk = self._talks.get(seat.socket) if seat is not None else None
        if seat is None or talk is None:
            return
        if message["t"] == "welcome":
            message = {"t": "welcome", "call": self.name, **message, "ice_servers": self.ice_servers(number)}
            message["likeness"] = self._media.likeness(number)
            if seat.grants.host:
                message |= {"handover_hosts": self.settings.handover_hosts}
        talk.put(message)

    def _forget(self, number: int) -> None:
        self.taken.pop(number, None)
        self._sparing.forget(number)
        self._media.forget(number)
        self.lobby.release(self.channel(number))

    def _tell_parts(self, what: Callable[[Part], None]) -> None:
        for part in self.parts:
            try:
                what(part)
            except Exception:
                log.exception("a part of a call failed", part=type(part).__name__)

    def _unless(self, refusal: Refuse | None) -> None:
        if refusal is not None:
            raise refusals.problem(refusal)


def _sent(seat: int, age: float, part: Part) -> None:
    part.sent(seat, age)


def _now() -> float:
    return time.monotonic()
