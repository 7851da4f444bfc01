"""Lag: how late the event loop's timers are, which is how long anything that comes in has to wait for its turn."""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.clock import Percentiles, percentiles

EVERY = 0.05
"Seconds between two looks."
KEPT = 600
"Looks that are remembered: half a minute."


class LoopLag:
    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """In the event loop."""
        self._again(asyncio.get_running_loop())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def report(self) -> Percentiles:
        return percentiles(self._late)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + EVERY
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._late.append(loop.time() - due)
        self._again(loop)
