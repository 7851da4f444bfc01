"""A real call on a machine that is too slow: an engine that takes its time for every pixel; detail goes, rate and age come back."""

from __future__ import annotations

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, ClassVar

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio

from display.optics import Cameras
from display.screen import PRODUCT, screen
from display.views import ViewSet
from server.channels import ladder
from server.channels.link import Link
from tests.filming import CHANNEL, http_of
from tests.live import Client, Clip, painted_services, serving, settings_for, until
from tests.painted import PaintedEngine, PaintedState

pytestmark = pytest.mark.asyncio(loop_scope="module")
SCREEN = screen(PRODUCT)
ROOM = 3
"Times as old as elsewhere pictures may be here, and a camera slower: what others do on this machine meanwhile is no pressure."
TOO_MUCH = 0.480
"Seconds for a whole quilt: two pictures a second, and old ones. The lowest rung has a thirtieth of it to draw."


class SlowCamera(Clip):
    """Eight pictures a second."""

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.04 * (ROOM - 1))
        frame = await super().recv()
        frame.pts = ROOM * (frame.pts or 0)
        return frame


class SlowEngine(PaintedEngine):
    """As on a machine where a whole quilt takes `seconds` to render, and a part of its pixels as much less."""

    name: ClassVar[str] = "slow"
    seconds = 0.0

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        whole = SCREEN.views * SCREEN.tile_width * SCREEN.tile_height
        time.sleep(SlowEngine.seconds * len(cameras) * cameras.width * cameras.height / whole)
        return super().render(state, cameras)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"), adapt=True)
    with pytest.MonkeyPatch.context() as quicker:
        quicker.setattr(ladder, "PATIENCE", 1.0)
        for seconds in ("OURS", "AIM", "CALM"):
            quicker.setattr(ladder, seconds, ROOM * getattr(ladder, seconds))
        quicker.setattr(Link, "look", lambda *_: False)  # what a viewer's link carries is tests/test_narrow_links.py's
        slow = partial(painted_services, engine=SlowEngine())
        async with serving(settings, slow) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
            yield SimpleNamespace(http=http, app=app)
            SlowEngine.seconds = 0.0


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

        SlowEngine.seconds = TOO_MUCH
        await until(lambda: channel.ladder.rung > 0, 30)
        slow = channel.session.lately(ladder.WINDOW).age
        await until(lambda: len(sizes(viewer)) > 1, 30)
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

        await until(lambda: channel.session.lately(ladder.WINDOW).age < slow / 2, 30)
        seen, since = len(viewer.pictures), asyncio.get_running_loop().time()
        await viewer.seen(seen + 20)
        assert 20 / (asyncio.get_running_loop().time() - since) > 3, "against the 2 a second of all detail"

        SlowEngine.seconds = 0.0
        await until(
            lambda: channel.ladder.rung == 0, 120
        )  # others use this machine too: a rung that fails is tried again later
        await until(lambda: sizes(viewer)[-1] == (1536, 1024))
        assert (await told(http))["detail"]["steps"]["up"] >= 1
        assert all((one.pts or 0) < (other.pts or 0) for one, other in pairwise(viewer.pictures))
        await caller.hang_up()


async def test_a_film_that_is_begun_under_pressure_has_all_detail_and_one_size(http, live):
    async with Client(http) as caller, Client(http) as viewer:
        SlowEngine.seconds = TOO_MUCH
        await caller.publish("room", SlowCamera())
        await viewer.view()
        channel = await room(live)
        await until(lambda: channel.ladder.rung > 0, 30)
        await until(lambda: len(sizes(viewer)) > 1, 30)
        assert (await http.post(f"{CHANNEL}/recording")).status_code == 201
        await until(lambda: channel.recording.report().seconds > 1.2, 30)
        assert channel.ladder.rung == 0
        facts = (await http.delete(f"{CHANNEL}/recording")).json()
        assert facts["frames"] > 1
        film = (await http.get(f"/api/recordings/{facts['name']}")).content
        assert film_sizes(film) == {(1536, 1024)}
        SlowEngine.seconds = 0.0
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
