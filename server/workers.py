"""Workers: the threads that the event loop hands work to: few for what is live, others for what may take its time.

A picture of a call must never queue behind an enrolment, an upload or a session that closes (asyncio.to_thread has one
pool for all of that, of six threads on two cores).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import structlog

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

_LIVE = ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0))), thread_name_prefix="live")
_SLOW = ThreadPoolExecutor(32, thread_name_prefix="slow")


async def live(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """`work` of milliseconds that a picture waits for, in a thread. It never waits for a lock, a disk or a network."""
    return await asyncio.get_running_loop().run_in_executor(_LIVE, lambda: work(*given, **named))


async def slow(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """`work` that may take seconds or minutes, in a thread: sessions that open and close, photos, disks."""
    return await asyncio.get_running_loop().run_in_executor(_SLOW, lambda: work(*given, **named))


def later(work: Callable[P, object], *given: P.args, **named: P.kwargs) -> None:
    """As slow(), where nobody waits for it. What it raises is logged."""

    def told() -> None:
        try:
            work(*given, **named)
        except Exception:
            log.exception("work that nobody waits for failed")

    _SLOW.submit(told)
