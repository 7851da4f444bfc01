"""Seats: one person's, camera's or watcher's place in a call, as the rules see it and as others are told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from server.calls.effects import Effect, Tell
from server.calls.events import Being, Grants, Publishing, Shared


@dataclass
class Seat:
    number: int
    name: str
    grants: Grants
    since: float
    "When it came to be as it is."
    being: Being = Being.JOINING
    deadline: float | None = None
    "When it is gone, unless something happens."
    held_until: float = 0.0
    "A plain seat's token ends then; 0: this is no plain one."
    epoch: int = 1
    "How often its place was taken up; tokens of an earlier one are of a page that was replaced."
    socket: int = 0
    "The one that speaks for it; 0: none."
    media: bool = False
    views: bool = False
    publishing: Publishing = Publishing.NONE
    muted: bool = False
    muted_by: str = "self"
    camera: bool = True
    agreed: set[Shared] = field(default_factory=set)
    "To what, now or from the next time on."
    live: bool = False
    "Shown as the camera's own picture."
    drawable: bool = False
    "Who watches may draw it."
    visible: bool = True
    hidden_since: float = 0.0
    shown: bool = True
    "Whether pictures are sent to it."
    renew_at: float | None = None

    @property
    def plain(self) -> bool:
        return self.held_until > 0

    @property
    def member(self) -> bool:
        return self.grants.publish

    @property
    def inside(self) -> bool:
        """Let in, and not gone."""
        return self.being in (Being.JOINING, Being.PRESENT, Being.AWAY)

    @property
    def here(self) -> bool:
        """Has come, and keeps its place."""
        return self.being in (Being.PRESENT, Being.AWAY)

    @property
    def up(self) -> bool:
        return bool(self.socket) or self.media or self.views

    def row(self, host: int, speaking: bool) -> dict[str, Any]:
        """What everybody inside is told of it."""
        role = self.grants.role if self.grants.role != "host" else "host" if host == self.number else "member"
        told = {
            "seat": self.number,
            "name": self.name,
            "role": role,
            "state": self.being,
            "publishing": self.publishing,
        }
        told |= {"muted": self.muted, "camera": self.camera, "speaking": speaking, "live": self.live}
        told["geometry"] = self.drawable
        return told | ({"by": self.muted_by} if self.muted else {}) | ({"plain": True} if self.plain else {})


class Seats(dict[int, Seat]):
    """Those that are not gone, by number; and what they are told."""

    def __init__(self) -> None:
        super().__init__()
        self.host = 0
        "The one that leads; 0: none."
        self.speaking: tuple[int, ...] = ()
        self.loudest: int | None = None

    def listeners(self) -> list[Seat]:
        """Those inside with a socket."""
        return [one for one in self.values() if one.socket and one.inside]

    def tell(self, seat: Seat, message: dict[str, Any]) -> Iterator[Effect]:
        if seat.socket:
            yield Tell(seat.number, message)

    def tell_all(self, message: dict[str, Any]) -> Iterator[Effect]:
        for one in self.listeners():
            yield Tell(one.number, message)

    def tell_of(self, seat: Seat, **changed: Any) -> Iterator[Effect]:
        """What changed of `seat`, to everybody; of one who waits, to those who can let it in."""
        for one in self.listeners():
            if seat.inside or one.grants.host or one is seat:
                yield Tell(one.number, {"t": "seat", "seat": seat.number, **changed})

    def announce(self, seat: Seat) -> Iterator[Effect]:
        """A new one, to everybody else; who waits, to those who can let it in."""
        for one in self.listeners():
            if one is not seat and (seat.inside or one.grants.host):
                yield Tell(one.number, {"t": "seat", **self.row(seat)})

    def row(self, seat: Seat) -> dict[str, Any]:
        return seat.row(self.host, seat.number in self.speaking)

    def rows(self, everybody: bool) -> list[dict[str, Any]]:
        """Of all inside, or `everybody` who waits as well."""
        return [self.row(one) for one in self.values() if everybody or one.inside]
