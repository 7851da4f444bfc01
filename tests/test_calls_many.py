"""Many who come and go: nothing of them is left, whichever way they went."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable

import httpx
import psutil
import pytest
from fastapi import FastAPI

from server.calls import rules
from tests.conversing import Call
from tests.live import Client, serving, settings_for, until, without_quotas


async def comes_and_goes(http: httpx.AsyncClient, call: Call, number: int) -> None:
    """One member. By turns it leaves, is removed, drops its socket, or is gone with its media without a word."""
    seat = await call.sit(f"Member {number}")
    socket = await call.enter(seat)
    call.sockets.remove(socket)
    headers = {"Authorization": f"Bearer {seat['token']}"}
    async with httpx.AsyncClient(base_url=http.base_url, headers=headers, timeout=60) as asking, Client(asking) as peer:
        if number % 3 == 0:
            assert (await peer.publish(f"{call.name}.{seat['seat']}")).status_code == 201
            await until(lambda: peer.connection.connectionState == "connected")
        match number % 4:
            case 0:
                await socket.say(t="leave")
                assert await socket.closed() == 1000
            case 1:
                await call.ask("DELETE", f"/seats/{seat['seat']}")
                assert await socket.closed() == 4403
            case 2:
                socket.connection.transport.abort()
            case 3:
                socket.connection.transport.abort()
                await peer.vanish()
    await socket.close()


async def many(
    count: int, app: FastAPI, http: httpx.AsyncClient, idle: Callable[[], Awaitable[None]]
) -> tuple[int, int]:
    """Resident bytes after the first fifth of `count` comings and goings, and after all of them. What else is left is checked."""
    without_quotas(app)
    call = await Call.make(http)
    keeper, _ = await call.join("Keeper", "host")
    told: list[tuple[int, int, int, int]] = []
    for number in range(count):
        await until(lambda: len(app.state.lobby._gate.held) < 4, 40)  # who vanished keeps its place for a while
        await comes_and_goes(http, call, number)
        if number in (count // 5, count - 1):
            await idle()
            await until(lambda: list(app.state.calls.conferences[call.name].rules.seats) == [keeper["seat"]], 40)
            await until(lambda: not app.state.lobby.channels, 40)
            before = told[0][1:] if told else None
            await until(lambda before=before: before is None or not more_than(before))  # what ends takes its time
            await asyncio.sleep(1)
            gc.collect()
            told.append((psutil.Process().memory_info().rss, *open_now()))
    conference = app.state.calls.conferences[call.name]
    assert conference.sockets == 1
    assert set(app.state.lobby._gate.held) == {f"{call.name}.{keeper['seat']}"}
    assert set(conference.taken) == {keeper["seat"]}
    assert not any(conference._views._of.values())
    await call.close()
    return told[0][0], told[-1][0]


def open_now() -> tuple[int, int, int]:
    """Tasks, threads, handles."""
    return len(asyncio.all_tasks()), threading.active_count(), psutil.Process().num_fds()


def more_than(before: tuple[int, ...]) -> bool:
    return any(now > early + 2 for early, now in zip(before, open_now(), strict=True))


@pytest.fixture
async def served(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "AWAY_SECONDS", 1.0)
    async with (
        serving(settings_for(tmp_path)) as (address, app),
        httpx.AsyncClient(base_url=address, timeout=60) as http,
    ):
        yield http, app


async def test_of_those_who_came_and_went_nothing_is_left(served):
    http, app = served
    await many(24, app, http, lambda: asyncio.sleep(0))


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_of_five_hundred_who_came_and_went_nothing_is_left(served):
    http, app = served
    before, after = await many(500, app, http, lambda: asyncio.sleep(30))
    assert after < before * 1.05
