"""Tasks: the task group of the channels: work that goes on though nobody waits for it any more, and that a stopping server waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """Event loop only."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    def see_to(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that finished() waits for; a task that nobody holds may vanish."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # told to whoever waits, if anybody
        return task

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. It goes on to its end even where whoever waits for it is cancelled."""
        return await asyncio.shield(self.see_to(work))

    async def finished(self, patience: float) -> int:
        """Once all are done, those that come meanwhile too. How many hang, where none ends for `patience` seconds."""
        while self._under_way:
            _, hanging = await asyncio.wait(self._under_way, timeout=patience)
            if hanging:
                return len(hanging)
        return 0
