"""Views: the WHEP sessions of a call's seats: who watches which of its channels. Event loop only."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from display.screen import Screen
from server.calls import refusals
from server.calls.forms import seat_form, sent_form
from server.calls.permits import NO_SEAT
from server.calls.rules import Call
from server.channels.lifecycle import Viewing
from server.channels.lobby import Accepted, Lobby
from server.webrtc.audio import Listen

SEAT_GONE = "its seat is gone"


class Views:
    def __init__(self, lobby: Lobby, rules: Call, tell: Callable[[int, dict[str, Any]], None]) -> None:
        """`tell` sends a seat's page a message."""
        self._lobby, self._rules, self._tell = lobby, rules, tell
        self._of: dict[int, dict[str, str]] = {}
        "Seat -> its sessions: peer -> channel."

    async def view(
        self, seat: int, channel: str, sdp: str, screen: Screen, views: int | None, listen: Listen | None
    ) -> Accepted:
        """As Lobby.view, of a seat whose page is told the form. Raises Problem."""
        accepted = await self._lobby.view(channel, sdp, screen, views, listen)
        await self._add(seat, channel, accepted)
        if (viewer := self._lobby.live(channel).viewers.get(accepted.peer.id)) is not None:
            viewer.told = partial(self._tell_form, seat, channel, accepted.peer.id)
        return accepted

    async def draw(self, seat: int, channel: str, sdp: str) -> Accepted:
        """As Lobby.draw, of a seat. Raises Problem."""
        accepted = await self._lobby.draw(channel, sdp)
        await self._add(seat, channel, accepted)
        return accepted

    def watching(self, seat: int) -> bool:
        """Whether one of them is connected; those that are gone are forgotten."""
        views = self._of.get(seat, {})
        for peer, name in list(views.items()):
            channel = self._lobby.channels.get(name)
            if channel is None or peer not in channel.viewers:
                del views[peer]
        return any(self._lobby.channels[name].life.of(peer) is Viewing.WATCHING for peer, name in views.items())

    def show(self, seat: int, pictures: bool) -> None:
        """Send pictures to them, or none for a while; sound goes on."""
        for peer, name in self._of.get(seat, {}).items():
            if (channel := self._lobby.channels.get(name)) is not None:
                channel.show(peer, pictures)

    def stop(self, seat: int) -> None:
        for peer, name in self._of.pop(seat, {}).items():
            channel = self._lobby.channels.get(name)
            if channel is not None and peer in channel.viewers:
                self._lobby.see_to(self._lobby.leave(name, channel.viewers[peer].peer, SEAT_GONE))

    async def _add(self, seat: int, channel: str, accepted: Accepted) -> None:
        """Raises Problem where it has left meanwhile."""
        if seat not in self._rules.seats:
            await self._lobby.leave(channel, accepted.peer, SEAT_GONE)
            raise refusals.problem(NO_SEAT)
        self._of.setdefault(seat, {})[accepted.peer.id] = channel

    def _tell_form(self, seat: int, channel: str, peer: str, screen: Screen | None) -> None:
        """What a seat's page is sent from now on of `channel`, as its link carries it; None: nothing but sound. A page that
        was replaced still has a session for a moment: what becomes of that is nothing to the page that has taken over."""
        if self._newest(seat, channel) != peer:
            return
        shown = int(channel.partition(".")[2] or 0)
        told = seat_form(screen) | {"of": shown} if shown else sent_form(screen, self._rules.tiling)
        self._tell(seat, {"t": "form", **told})

    def _newest(self, seat: int, channel: str) -> str:
        """The peer by which it began to watch `channel` last: of two windows, the one that has taken the seat over."""
        return next((peer for peer, name in reversed(self._of.get(seat, {}).items()) if name == channel), "")
