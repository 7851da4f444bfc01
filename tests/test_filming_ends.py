"""How a recording ends: the caller leaves, the server stops or is killed, its time is over."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.recordings.archive import CUT_SHORT, Archive
from server.recordings.film import FRAGMENT_SECONDS
from tests.filming import RECORDING, calling, http_of, live_server, recorded_for
from tests.films import playable, probed
from tests.live import Client, free_port, running, serving, settings_for, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
live = pytest_asyncio.fixture(scope="module", loop_scope="module")(live_server)
http = pytest_asyncio.fixture(loop_scope="module")(http_of)


@pytest.mark.parametrize("leave", [Client.hang_up, Client.vanish], ids=["hangs up", "vanishes"])
async def test_when_the_caller_leaves_the_film_is_finished(live, http, leave: Callable[[Client], Any]):
    async with Client(http) as caller:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.4)
        await leave(caller)
        await until(lambda: not live.app.state.lobby.channels)
        await until(lambda: live.app.state.archive.get(name).ended is not None)
    facts = live.app.state.archive.get(name)
    assert facts.ended == "the caller left"
    assert facts.lost == 0
    assert playable(live.films / name) == facts.frames > 0


async def test_when_the_server_stops_the_film_is_finished(tmp_path):
    server = serving(settings_for(tmp_path, min_free_bytes=0))
    async with httpx.AsyncClient(timeout=30) as http, Client(http) as caller, server as (base, app):
        http.base_url = base
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        await recorded_for(http, 0.4)
    films = Archive(app.state.archive.folder)
    assert films.get(name).ended == "the server stops"
    assert playable(films.film(name)) == films.get(name).frames > 0


SERVER = """
import sys
from pathlib import Path
import uvicorn
from server.app import create_app
from tests.live import painted_services, settings_for
settings = settings_for(Path(sys.argv[1]), min_free_bytes=0)
uvicorn.run(create_app(settings, painted_services), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
"""


@asynccontextmanager
async def another_process(data: Path) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.subprocess.Process]]:
    """A client of a warm server that can be killed, and the server."""
    port = str(free_port())
    async with (
        running(sys.executable, "-c", SERVER, str(data), port) as server,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        deadline = time.monotonic() + 120
        while not await ready(http):
            assert server.returncode is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        yield http, server


async def ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def test_of_a_server_that_is_killed_a_film_remains_that_plays(tmp_path):
    films = Archive(tmp_path / "recordings")
    async with another_process(tmp_path) as (http, server), Client(http) as caller:
        await caller.publish()
        name = (await http.post(RECORDING)).json()["name"]
        reached = (await recorded_for(http, 2.4))["seconds"]
        assert films.get(name).ended is None, "a server that lives is not meddled with"
        server.send_signal(signal.SIGKILL)
        await server.wait()
    assert playable(films.folder / name) > 0, "as it lies there"
    facts = films.get(name)
    assert (facts.ended, facts.lost) == (CUT_SHORT, 0)
    assert facts.seconds > reached - 2 * FRAGMENT_SECONDS
    told = probed(films.film(name))
    assert (told["codec_name"], told["width"], told["height"]) == ("h264", 1536, 1024)
    assert int(told["nb_read_frames"]) == facts.frames > 0


async def test_it_ends_by_itself_when_its_time_is_over(tmp_path):
    settings = settings_for(tmp_path, min_free_bytes=0, max_recording_seconds=0.5)
    async with calling(settings) as (http, app), Client(http) as caller:
        await caller.publish()
        await http.post(RECORDING)
        recording = app.state.lobby.channels["room"].recording
        await until(lambda: not recording.under_way)
        state = (await http.get(RECORDING)).json()
        assert state["recorded"]["ended"] == "the time limit was reached"
        assert state["recording"] is None
        assert (await http.post(RECORDING)).status_code == 201, "and another may begin"
        await caller.hang_up()
