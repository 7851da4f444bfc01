"""Rounds: every live channel is looked after, several times a second: how it goes, what stands still, what is to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

import structlog

from server.channels.channel import Channel
from server.channels.condition import State
from server.channels.viewer import Viewer
from server.settings import Settings
from server.tally import Tally

log = structlog.get_logger(__name__)

LOOK_EVERY = 0.25
"Seconds."
REPEAT_AFTER = 0.5
"""Seconds without a frame after which watched channels are made again from the newest one, so that whoever comes late or lost a
picture has one soon, and a player does not take the source's rest for a broken connection. Two of 25 frames' work."""


class Rounds:
    def __init__(
        self,
        settings: Settings,
        channels: Mapping[str, Channel],
        failing: Callable[[Channel], str],
        overdue: Callable[[Channel, str], None],
        measure: Callable[[], None],
        liken: Callable[[Channel], None],
    ) -> None:
        """`failing` says which of a channel's devices fail; `overdue` is told why a channel has to end; `measure` belongs to each round;
        `liken` compares a caller with the portrait."""
        self._settings, self._channels, self._failing, self._overdue = settings, channels, failing, overdue
        self._measure, self._liken = measure, liken
        self._told = Tally(log)
        self._going = asyncio.create_task(self._go())

    async def close(self) -> None:
        self._going.cancel()
        await asyncio.gather(self._going, return_exceptions=True)

    async def _go(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._tried(self._measure)
            for channel in [one for one in self._channels.values() if one.life.live]:
                self._tried(partial(self._look_after, channel, time.monotonic()), channel=channel.name)

    def _tried(self, work: Callable[[], None], channel: str = "") -> None:
        """One channel's trouble must not leave the others alone."""
        try:
            work()
        except Exception as failure:
            self._told.count("a round could not be made", channel=channel, error=repr(failure))

    def _look_after(self, channel: Channel, now: float) -> None:
        assert channel.session is not None
        if self._settings.adapt and not channel.gathered and channel.adapt(now):
            detail = channel.ladder.report()
            log.info("a channel's detail changes", channel=channel.name, **asdict(detail))
        for viewer in channel.viewers.values():
            if isinstance(viewer, Viewer) and viewer.look(now):
                facts = viewer.link.facts()
                log.info("a viewer's link changes what it is sent", channel=channel.name, **facts)
        if channel.course.update(channel.facts(self._failing(channel)), now):
            told = channel.course.at(now)
            if told.state not in (State.CONNECTING, State.LIVE):
                self._told.count(f"a channel is {told.state}", channel=channel.name, why=told.why)
        channel.session.repeat(REPEAT_AFTER)
        self._liken(channel)
        why = channel.course.overdue(now, self._settings.undecoded_seconds, self._settings.still_seconds)
        if why:
            self._overdue(channel, why)
