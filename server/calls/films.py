"""Films: the recordings of a call's channels, one each, while everybody agrees. Event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from server.channels import filming
from server.channels.channel import Channel
from server.channels.lobby import Lobby
from server.problems import Problem
from server.provenance.statement import Agreed
from server.recordings.recording import Recording
from server.settings import Settings

log = structlog.get_logger(__name__)


class Films:
    def __init__(self, lobby: Lobby, settings: Settings, agreed: Callable[[], Agreed]) -> None:
        """`agreed`: who has agreed by now, as each film says."""
        self._lobby, self._settings, self._agreed = lobby, settings, agreed
        self._going: dict[Channel, asyncio.Task[Recording]] = {}
        self.names: list[str] = []
        "Of all that were begun in this call."

    def begin(self, channels: Iterable[Channel]) -> None:
        """Record `channels`, those that are not being recorded yet."""
        for channel in channels:
            if channel not in self._going:
                channel.agreed = self._agreed
                self._going[channel] = self._lobby.see_to(self._begun(channel))

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
        kept = self._lobby.kept(channel.name)  # which is what others are shown of it, and costs nothing beside that where two are
        recording = await filming.begin(self._lobby, self._settings, channel, kept)
        self.names.append(recording.facts.name)
        return recording


async def _finished(beginning: asyncio.Task[Recording], why: str) -> None:
    await asyncio.wait([beginning])
    if not beginning.cancelled() and beginning.exception() is None:
        await beginning.result().finish(why)
