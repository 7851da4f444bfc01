"""Part: what a call may have besides seats and channels: sound for many, a table, whatever else; and what it may tell.

conference.happen(Spoke(seats, loudest))   who speaks; told on at most as often as it changes
conference.look(seat, x=, y=, z=, seen=, at=)   where a member's head is: to its own page, newest wins
conference.happen(CapacityLost(detail)), happen(CapacityBack())
conference.happen(Formed(tiling))
"""

from __future__ import annotations

from collections.abc import Sequence

from display.screen import Screen
from server.channels.channel import Channel
from server.webrtc.audio import Listen


class Part:
    """Does nothing. One is made for each call, with its conference (app.py lists the classes). No method may raise or wait."""

    def arrived(self, seat: int, channel: Channel) -> None:
        """A seat's channel is there, with its session. After a resume it is the same channel."""

    def departed(self, seat: int) -> None:
        """A seat's channel is gone."""

    def gathered(self, seats: Sequence[int]) -> None:
        """Who is present and publishes, each time that changes."""

    def muted(self, seat: int, muted: bool) -> None:
        """By itself or by the host. Packets of Channel.voice are dropped already (Voice.muted)."""

    def make_table(self) -> None:
        """The rules want a table; what is really sent is told by Formed(tiling)."""

    def drop_table(self) -> None: ...

    def reform(self, form: str) -> None:
        """The host wishes auto, pair or table."""

    def shown(self, seat: int, pictures: bool) -> None:
        """A seat's page is seen by nobody for 5 s, or again: stop and resume what this part sends to it."""

    def sent(self, seat: int, age: float) -> None:
        """A table's picture leaves in which the seat is so many seconds old."""

    def source(self, seat: int) -> str | None:
        """The channel that /whep/CALL shows to a seat; None: not this part's to say."""
        return None

    def hears(self, seat: int) -> Listen | None:
        """What makes the sound that goes with it; None: that channel's own."""
        return None

    def screen(self, channel: str, single: bool) -> Screen | None:
        """What is sent of a channel of its own, all views or one; None: it is not this part's."""
        return None

    def ended(self) -> None:
        """Let go of everything."""
