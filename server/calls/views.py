"""Views: the WHEP sessions of a call's seats: who watches which of its channels. Event loop only."""

from __future__ import annotations

from server.channels.lifecycle import Viewing
from server.channels.lobby import Accepted, Lobby

SEAT_GONE = "its seat is gone"


class Views:
    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby
        self._of: dict[int, dict[str, str]] = {}
        "Seat -> its sessions: peer -> channel."

    def add(self, seat: int, accepted: Accepted, channel: str) -> None:
        self._of.setdefault(seat, {})[accepted.peer.id] = channel

    def newest(self, seat: int, channel: str) -> str:
        """The peer by which it began to watch `channel` last: of two windows, the one that has taken the seat over."""
        return next((peer for peer, name in reversed(self._of.get(seat, {}).items()) if name == channel), "")

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
