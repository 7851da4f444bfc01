"""A real call on a machine that is too slow: detail goes and comes back. As told to its ladder; in `make soak` an engine takes its
time for every pixel, and rate and age come back too."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio

from server.channels import ladder
from tests.filming import CHANNEL, http_of
from tests.live import Client, Clip, painted_services, serving, settings_for, until
from tests.pressed import ROOM, SCREEN, Slow, SlowEngine, Told, impatient

pytestmark = pytest.mark.asyncio(loop_scope="module")


class SlowCamera(Clip):
    """Eight pictures a second."""

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.04 * (ROOM - 1))
        frame = await super().recv()
        frame.pts = ROOM * (frame.pts or 0)
        return frame


MACHINES = [Told, pytest.param(Slow, marks=pytest.mark.soak)]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=MACHINES, ids=lambda machine: machine.__name__)
async def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SimpleNamespace]:
    settings, machine = settings_for(tmp_path_factory.mktemp("data"), adapt=True), request.param()
    with impatient(machine):
        slow = partial(painted_services, engine=SlowEngine())
        async with serving(settings, slow) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
            yield SimpleNamespace(http=http, app=app, machine=machine)


http = pytest_asyncio.fixture(loop_scope="module")(http_of)


async def told(http: httpx.AsyncClient) -> dict[str, Any]:
    return (await http.get(CHANNEL)).json()


def sizes(viewer: Client) -> list[tuple[int, int]]:
    """Of the pictures that came, each size once in a row."""
    found = [(picture.width, picture.height) for picture in viewer.pictures]
    return [one for number, one in enumerate(found) if number == 0 or one != found[number - 1]]


async def test_detail_goes_under_pressure_and_comes_back_while_a_viewer_goes_on_decoding(http, live):
    async with Client(http) as caller, Client(http) as viewer:
        await caller.publish("room", SlowCamera())
        assert (await viewer.view()).status_code == 201
        await viewer.seen(5)
        channel = live.app.state.lobby.channels["room"]
        assert sizes(viewer) == [(1536, 1024)]
        assert (await told(http))["detail"]["rung"] == 0

        live.machine.press(True)
        await until(lambda: channel.ladder.rung > 0)
        slow = channel.session.lately(ladder.WINDOW).age
        await until(lambda: len(sizes(viewer)) > 1)
        during = await told(http)
        assert during["condition"] | {"seconds": 0} == {
            "state": "slowed-down",
            "why": "this server is busy",
            "seconds": 0,
        }
        metrics = (await http.get("/metrics")).text
        assert 'telequilt_detail_steps_total{channel="room",direction="down"} 1.0' in metrics
        assert re.search(r'telequilt_detail_rung\{channel="room"\} [1-9]', metrics)
        (stream,) = during["streams"]
        assert (stream["width"], stream["height"]) == sizes(viewer)[-1] < (1536, 1024)
        assert_painted(viewer.pictures[-1].to_ndarray(format="rgb24"), channel.ladder.made.detail.share)

        if isinstance(live.machine, Slow):
            await until(lambda: channel.session.lately(ladder.WINDOW).age < slow / 2, 30)
            seen, since = len(viewer.pictures), asyncio.get_running_loop().time()
            await viewer.seen(seen + 20)
            assert 20 / (asyncio.get_running_loop().time() - since) > 3, "against the 2 a second of all detail"

        live.machine.press(False)
        await until(
            lambda: channel.ladder.rung == 0, 120
        )  # others use this machine too: a rung that fails is tried again later
        await until(lambda: sizes(viewer)[-1] == (1536, 1024))
        assert (await told(http))["detail"]["steps"]["up"] >= 1
        assert all((one.pts or 0) < (other.pts or 0) for one, other in pairwise(viewer.pictures))
        await caller.hang_up()


async def test_a_film_that_is_begun_under_pressure_has_all_detail_and_one_size(http, live):
    async with Client(http) as caller, Client(http) as viewer:
        live.machine.press(True)
        await caller.publish("room", SlowCamera())
        await viewer.view()
        channel = await room(live)
        await until(lambda: channel.ladder.rung > 0)
        await until(lambda: len(sizes(viewer)) > 1)
        assert (await http.post(f"{CHANNEL}/recording")).status_code == 201
        await until(lambda: channel.recording.report().seconds > 1.2)
        assert channel.ladder.rung == 0
        facts = (await http.delete(f"{CHANNEL}/recording")).json()
        assert facts["frames"] > 1
        film = (await http.get(f"/api/recordings/{facts['name']}")).content
        assert film_sizes(film) == {(1536, 1024)}
        live.machine.press(False)
        await caller.hang_up()


async def room(live: SimpleNamespace) -> Any:
    await until(lambda: "room" in live.app.state.lobby.channels)
    return live.app.state.lobby.channels["room"]


def film_sizes(film: bytes) -> set[tuple[int, int]]:
    with av.open(io.BytesIO(film), "r") as container:
        return {(frame.width, frame.height) for frame in container.decode(video=0)}


def assert_painted(pixels: np.ndarray, share: int) -> None:
    """Every tile, of whichever size, holds the view that stands there: red = 10 x its number."""
    height, width = pixels.shape[0] // SCREEN.rows, pixels.shape[1] // SCREEN.columns
    for tile in range(SCREEN.views):
        left, top = tile % SCREEN.columns * width, pixels.shape[0] - (tile // SCREEN.columns + 1) * height
        middle = pixels[top + height // 3 : top + height // 2, left + width // 3 : left + width // 2]
        assert abs(float(middle[..., 0].mean()) - 10 * (tile // share)) < 12, tile
