"""Coming and going: after many calls, half of them broken off, the server holds no more than before the first."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from tests.live import Client, Clip, serving, settings_for, until
from tests.test_whep import Tone


def holdings() -> dict[str, int]:
    """What a leak would make grow."""
    gc.collect()
    return {
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "handles": len(os.listdir("/proc/self/fd")),
    }


async def filled() -> None:
    """The loop's own pool has all the threads that it will ever have: it makes them one by one, when asked."""
    loop, most = asyncio.get_running_loop(), min(32, (os.cpu_count() or 1) + 4)  # as ThreadPoolExecutor's
    together = threading.Barrier(most)
    await asyncio.gather(*(loop.run_in_executor(None, together.wait, 20) for _ in range(most)))


async def one_call(http: httpx.AsyncClient, app: FastAPI, number: int) -> None:
    """A caller with sound and a viewer; every second call ends abruptly for one of them or for both."""
    async with Client(http) as caller, Client(http) as viewer:
        assert (await caller.publish("room", Clip(), Tone())).status_code == 201
        assert (await viewer.view(audio=True)).status_code == 201
        await viewer.seen(1)
        match number % 4:
            case 0:
                await viewer.hang_up()
                await caller.hang_up()
            case 1:
                await viewer.vanish()
                await caller.hang_up()
            case 2:
                await caller.hang_up()
            case 3:
                await viewer.vanish()
                await caller.vanish()
        await until(lambda: not app.state.lobby.channels)


def stages() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name.startswith(("stage-", "video-", "audio-"))}


async def come_and_go(data: Path, calls: int) -> None:
    others = stages()  # a test before this one may still be letting go of its own
    async with serving(settings_for(data)) as (base, app):
        limits = httpx.Limits(max_keepalive_connections=0)  # an idle connection would count as a handle
        async with httpx.AsyncClient(base_url=base, timeout=30, limits=limits) as http:
            for number in range(4):
                await one_call(http, app, number)
            await filled()
            await asyncio.sleep(0.5)
            before = holdings()
            for number in range(calls):
                await one_call(http, app, number)
            await settled(before)
    await asyncio.sleep(0.2)
    assert not stages() - others


async def settled(before: dict[str, int]) -> None:
    """Wait until nothing exceeds what there was before."""
    now = holdings()
    for _ in range(600):
        if all(now[name] <= before[name] for name in before):
            return
        await asyncio.sleep(0.1)
        now = holdings()
    raise AssertionError(f"before {before}, after {now}, tasks {[task.get_coro() for task in asyncio.all_tasks()]}")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open handles by Linux's /proc")
async def test_callers_and_viewers_who_came_and_went_leave_nothing_open(tmp_path):
    await come_and_go(tmp_path, calls=8)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open handles by Linux's /proc")
async def test_a_hundred_callers_and_viewers_leave_nothing_open(tmp_path):
    await come_and_go(tmp_path, calls=100)
