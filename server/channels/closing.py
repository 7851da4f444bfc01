"""Closing: many things at once, each whatever becomes of the others, and none that hangs is waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger(__name__)

PATIENCE = 15.0
"Seconds for one thing: a recording's disk is given ten of them (server/recordings/recording.py), a frame that hangs five."

_left_behind: set[asyncio.Task[None]] = set()
"What hung; held here, since a task that nobody holds may vanish."


class Closing:
    """What one channel has opened, on its way out. Event loop only."""

    def __init__(self, channel: str, patience: float = PATIENCE) -> None:
        self._channel, self._patience = channel, patience
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def begin(self, part: str, close: Callable[[], Awaitable[object]], after: str = "") -> None:
        """Close `part`, once `after` is closed or given up where that is under way. What it raises or leaves undone is logged."""
        assert part not in self._under_way, part
        task = asyncio.create_task(self._close(part, close, self._under_way.get(after)))
        self._under_way[part] = task
        task.add_done_callback(lambda _: self._under_way.pop(part, None))

    async def finished(self) -> None:
        """Once nothing is under way. Never raises."""
        while self._under_way:
            await asyncio.wait(self._under_way.values())

    async def _close(self, part: str, close: Callable[[], Awaitable[object]], after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.wait([after])
        task = asyncio.create_task(self._tried(part, close))
        _left_behind.add(task)
        task.add_done_callback(_left_behind.discard)
        _, hanging = await asyncio.wait([task], timeout=self._patience)
        if hanging:
            log.error("what does not close is left behind", channel=self._channel, part=part, seconds=self._patience)
            task.cancel()

    async def _tried(self, part: str, close: Callable[[], Awaitable[object]]) -> None:
        try:
            await close()
        except Exception as failure:  # whatever it is, the others are closed all the same
            log.error("something could not be closed", channel=self._channel, part=part, exc_info=failure)
