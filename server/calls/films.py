"""Films: the recordings of a call's channels, one each, while everybody agrees. Event loop only."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping

import structlog

from server.calls.events import Shared
from server.calls.rules import Call
from server.channels import filming
from server.channels.channel import Channel
from server.channels.lobby import Lobby
from server.problems import Problem
from server.provenance.statement import Agreed
from server.recordings.recording import Recording
from server.settings import Settings

log = structlog.get_logger(__name__)


class Films:
    def __init__(self, lobby: Lobby, settings: Settings) -> None:
        self._lobby, self._settings = lobby, settings
        self._agreed = Agreed(0, {})
        self._going: dict[Channel, asyncio.Task[Recording]] = {}
        self.names: list[str] = []
        "Of all that were begun in this call."

    def begin(self, channels: Iterable[Channel]) -> None:
        """Record `channels`, those that are not being recorded yet."""
        for channel in channels:
            if channel not in self._going:
                channel.agreed = self.agreed
                self._going[channel] = self._lobby.see_to(self._begun(channel))

    def agreed(self) -> Agreed:
        """To the recording that goes on, or was the last."""
        return self._agreed

    def see_agreed(self, rules: Call, there: Mapping[int, Channel]) -> None:
        """Who has agreed by now, as each film says: how many members, and with what consent they brought portraits."""
        if rules.recording is None:
            return  # what they agreed to is over, and is to be asked for anew
        agreed = [one.number for one in rules.seats.values() if one.member and Shared.RECORDING in one.agreed]
        origins = [there[number].origin for number in agreed if number in there]
        portraits = Counter(one.consent.category for one in origins if one is not None)
        self._agreed = Agreed(len(agreed), dict(portraits))

    def end(self, why: str) -> None:
        """Finish all, each with this reason."""
        for beginning in self._going.values():
            self._lobby.see_to(_finished(beginning, why))
        self._going.clear()

    def failure(self) -> str:
        """Why one of them has ended, or never began, though its channel goes on; empty where none has."""
        for channel, beginning in list(self._going.items()):
            if not beginning.done():
                continue
            if channel.life.over:
                del self._going[channel]
            elif (error := beginning.exception()) is not None:
                return error.detail if isinstance(error, Problem) else "a recording could not begin"
            elif (ended := beginning.result().facts.ended) is not None:
                return ended
        return ""

    async def _begun(self, channel: Channel) -> Recording:
        kept = self._lobby.kept(
            channel.name
        )  # which is what others are shown of it, and costs nothing beside that where two are
        recording = await filming.begin(self._lobby, self._settings, channel, kept)
        self.names.append(recording.facts.name)
        return recording


async def _finished(beginning: asyncio.Task[Recording], why: str) -> None:
    await asyncio.wait([beginning])
    if not beginning.cancelled() and beginning.exception() is None:
        await beginning.result().finish(why)
