"""The puppet as a film for pages, and as a caller from the command line against a real server."""

import asyncio
import io

import av
import httpx
import numpy as np

from pipeline.puppet import PERIOD, RATE
from server.commands.puppet import play
from server.routes.puppet import film
from tests.live import serving, settings_for, until


def test_the_film_loops_without_a_jump():
    with av.open(io.BytesIO(film()), "r") as container:
        pictures = [frame.to_ndarray(format="gray").astype(int) for frame in container.decode(video=0)]
    assert len(pictures) == PERIOD * RATE
    steps = [np.abs(a - b).mean() for a, b in zip(pictures, pictures[1:] + pictures[:1], strict=True)]
    assert steps[-1] <= 1.5 * max(steps[:-1])
    assert max(steps) > 0.5, "the puppet does not move"


async def test_the_puppet_calls_a_server_and_hangs_up(tmp_path):
    told: list[str] = []
    async with serving(settings_for(tmp_path)) as (address, app):
        call = asyncio.create_task(play(address, "stage", "sample", None, None, told.append))
        await until(
            lambda: "stage" in app.state.lobby.channels and app.state.lobby.channels["stage"].ingest is not None
        )
        ingest = app.state.lobby.channels["stage"].ingest
        await until(lambda: ingest.received > 5)
        assert told == [f"{address}/view/stage"]
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            assert (await http.get(told[0])).status_code == 200
        lobby, first = app.state.lobby, app.state.lobby.channels["stage"]
        lobby._endings.overdue(first, "a test ends it")
        await until(lambda: lobby.channels.get("stage") not in (None, first), 30)
        await until(lambda: told == 2 * [f"{address}/view/stage"])
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until(lambda: "stage" not in app.state.lobby.channels)
