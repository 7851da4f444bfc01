"""Media: what comes from a call's seats, looked at several times a second: whose channel is there, how it goes. Event loop only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from server.calls import events as of
from server.calls.events import Event
from server.calls.faring import Faring
from server.calls.rules import Call
from server.channels.channel import Channel
from server.channels.lobby import Lobby
from server.provenance.statement import UNCOMPARED

STALLED_SECONDS = 2.5
"Without a picture."


class Media:
    def __init__(
        self,
        rules: Call,
        lobby: Lobby,
        channel: Callable[[int], str],
        happen: Callable[[Event], None],
        tell: Callable[[int, dict[str, Any]], None],
        arrived: Callable[[int, Channel], None],
        departed: Callable[[int], None],
    ) -> None:
        """`channel`: a seat's name there; `tell` sends its page a message; `arrived` and `departed` hear whose channel comes and goes."""
        self._rules, self._lobby, self._channel = rules, lobby, channel
        self._happen, self._tell, self._arrived, self._departed = happen, tell, arrived, departed
        self.there: dict[int, Channel] = {}
        "Of seats whose session is made, in the order in which they came."
        self._faring = Faring()
        self._likeness: dict[int, str] = {}
        "What each seat's page was told last of its caller and its portrait; of those that were told."

    def look(self, number: int) -> None:
        """At one seat's."""
        channel = self._lobby.channels.get(self._channel(number))
        if channel is not None and not channel.life.live:
            return  # its session is being made
        self._see_channel(number, channel)
        self._see_likeness(number, channel.likeness if channel is not None else UNCOMPARED)
        if channel is None or channel.caller is None:
            if channel is None or channel.successor is None:  # one who is coming back is connecting
                self._happen(of.MediaLost(number))
        elif channel.caller.connected:
            self._see_pictures(number, channel)

    def likeness(self, number: int) -> str:
        """What its page was told last."""
        return self._likeness.get(number, UNCOMPARED)

    def mute(self, number: int, muted: bool) -> None:
        channel = self.there.get(number)
        if channel is not None and channel.voice is not None:
            channel.voice.muted = muted

    def forget(self, number: int) -> None:
        self._faring.forget(number)
        self._likeness.pop(number, None)
        self._see_channel(number, None)

    def _see_channel(self, number: int, channel: Channel | None) -> None:
        before = self.there.get(number)
        if before is channel:
            return
        if before is not None:
            del self.there[number]
            self._departed(number)
        if channel is not None:
            self.there[number] = channel
            self._arrived(number, channel)

    def _see_likeness(self, number: int, found: str) -> None:
        """Whether a caller looks like the portrait is told to that seat alone."""
        if found != self.likeness(number):
            self._likeness[number] = found
            self._tell(number, {"t": "likeness", "found": found})

    def _see_pictures(self, number: int, channel: Channel) -> None:
        now = time.monotonic()
        decoded = channel.ingest.report().last_decoded if channel.ingest is not None else None
        said = self._faring.see(number, self._rules.seats[number].socket, channel.course.at(now))
        if said is not None:
            self._tell(number, said)
        if decoded is not None:
            self._happen(of.MediaLive(number) if now - decoded < STALLED_SECONDS else of.MediaStalled(number))
