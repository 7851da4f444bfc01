"""A table: one video that holds everybody in every view, so that each page decodes one, however many sit there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from display.colour import Layout
from display.screen import Screen
from display.seating import MOST, VIEWS, Seating, largest
from pipeline.stages import Picture
from pipeline.table import Table
from server.calls import events as of
from server.calls.conference import Conference
from server.calls.forms import table_form
from server.calls.part import Part
from server.channels.channel import Channel

MOST_A_SECOND = 25.0
"Pictures: more than a face needs costs everybody."


class TablePart(Part):
    """A call's table, while its rules want one. Seats are rendered for it only while somebody watches it."""

    def __init__(self, conference: Conference) -> None:
        self.conference = conference
        self._there: dict[int, Channel] = {}
        self._seats: dict[int, tuple[Screen, Callable[[Picture], None]]] = {}
        "What is rendered of each seat, and where it goes."
        self._seating: Seating | None = None
        self._table: Table | None = None
        self._whole = largest(conference.rules.limit)
        self._watched = False

    def arrived(self, seat: int, channel: Channel) -> None:
        self._there[seat] = channel
        self._seat()

    def departed(self, seat: int) -> None:
        self._leave(seat)
        self._there.pop(seat, None)
        self._seat()

    def make_table(self) -> None:
        if self._table is None:
            self.conference.lobby.gather(self.conference.name, self._make, self._members)
            self._seat()

    def drop_table(self) -> None:
        if self._table is None:
            return
        for seat in list(self._seats):
            self._leave(seat)
        self._table, self._watched = None, False
        self.conference.lobby.drop(self.conference.name, "the table is given up")
        self.conference.happen(of.Formed(self.conference.seats_form()))

    def source(self, seat: int) -> str | None:
        return self.conference.name if self._table is not None else None

    def screen(self, channel: str, single: bool) -> Screen | None:
        if channel != self.conference.name or self._table is None:
            return None
        return self._whole.thinned(1) if single else self._whole

    def ended(self) -> None:
        for seat in list(self._seats):
            self._leave(seat)
        if self._table is not None:
            self._table = None
            self.conference.lobby.drop(self.conference.name, "the call has ended")

    def _make(self, present: Callable[[Picture], None], layout: Layout) -> Table:
        loop, rate = asyncio.get_running_loop(), self.conference.settings.frames_per_second
        sent = partial(loop.call_soon_threadsafe, self.conference.sent)
        self._table = Table(self._whole, present, layout, self._wanted, sent, min(rate, MOST_A_SECOND))
        return self._table

    def _members(self) -> list[Channel]:
        return list(self._there.values())

    def _wanted(self, watched: bool) -> None:
        self._watched = watched
        self._serve()

    def _seat(self) -> None:
        """Everybody to their places."""
        if self._table is None or not self._there:
            return
        self._seating = self._table.seat(sorted(self._there)[:MOST])
        self.conference.lobby.keep([self.conference.channel(seat) for seat in self._there], (VIEWS,))
        self._serve()
        self.conference.happen(of.Formed(table_form(self._seating)))

    def _serve(self) -> None:
        """Have rendered what the table shows, and nothing else."""
        wanted: dict[int, Screen] = {}
        if self._watched and self._seating is not None:
            wanted = {place.seat: self._seating.seat(place) for place in self._seating.places}
        for seat in list(self._seats):
            if wanted.get(seat) != self._seats[seat][0]:
                self._leave(seat)
        for seat, screen in wanted.items():
            if seat not in self._seats and seat in self._there:
                self._render(seat, screen)

    def _render(self, seat: int, screen: Screen) -> None:
        channel = self._there[seat]
        if self._table is None or channel.session is None:
            return
        take = partial(self._table.offer, seat)
        channel.presenter.tap(screen, take)
        channel.session.watch(screen)
        channel.session.repeat(0.1)
        self._seats[seat] = screen, take

    def _leave(self, seat: int) -> None:
        if seat in self._seats:
            screen, take = self._seats.pop(seat)
            channel = self._there[seat]
            channel.presenter.untap(screen, take)
            if channel.session is not None:
                channel.session.unwatch(screen)
