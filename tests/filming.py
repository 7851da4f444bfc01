"""Recording: a server that keeps films, and how a test records there, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from server.settings import Settings
from tests.live import serving, settings_for, until

RECORDING, CHANNEL = "/api/channels/room/recording", "/api/channels/room"


@asynccontextmanager
async def calling(settings: Settings, **headers: str) -> AsyncIterator[tuple[httpx.AsyncClient, FastAPI]]:
    async with serving(settings) as (base, app), httpx.AsyncClient(timeout=30, headers=headers) as http:
        http.base_url = base
        yield http, app


async def live_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    """For pytest_asyncio.fixture: a server that keeps films."""
    data = tmp_path_factory.mktemp("data")
    async with calling(settings_for(data, min_free_bytes=0)) as (http, app):
        yield SimpleNamespace(http=http, app=app, films=data / "recordings")


async def http_of(live: SimpleNamespace) -> AsyncIterator[httpx.AsyncClient]:
    """For pytest_asyncio.fixture: its client, until nobody is on air any more."""
    yield live.http
    await until(lambda: not live.app.state.lobby.channels)


async def recorded_for(http: httpx.AsyncClient, seconds: float) -> dict[str, Any]:
    """Once it has gone on for so long: what the recording says of itself."""
    deadline = time.monotonic() + 30
    while True:
        state = (await http.get(RECORDING)).json()["recording"]
        if state is not None and state["seconds"] >= seconds:
            return state
        assert time.monotonic() < deadline, "it never came that far"
        await asyncio.sleep(0.05)


async def fetched(http: httpx.AsyncClient, name: str, to: Path) -> Path:
    to.write_bytes((await http.get(f"/api/recordings/{name}")).content)
    return to
