"""A viewer whose link is narrow is sent what it carries, in one session, and one whose page is hidden no picture: real peers, and a
relay of datagrams between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from benchmarks.live.network import Conditions
from display.screen import screen
from display.views import ViewSet
from server.settings import Settings
from tests.live import Client, painted_services, quiet, serving, settings_for, until, watched
from tests.narrow import Distant, distant
from tests.painted import PaintedEngine

QUILT = screen("telequilt")
MEGABIT = 1e6
pytestmark = pytest.mark.timeout(180)


class Noisy(PaintedEngine):
    """Pictures that take all the bits they may."""

    def __init__(self) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (2, 24, 64, 64, 4), np.uint8)
        self._noise = torch.from_numpy(noise.repeat(4, axis=2).repeat(4, axis=3))
        self._drawn = 0

    def render(self, state, cameras) -> ViewSet:
        self._drawn += 1
        views = self._noise[self._drawn % 2, cameras.first : cameras.first + len(cameras)]
        return ViewSet(views[:, : cameras.height, : cameras.width].contiguous(), cameras.first)


def noisy(settings: Settings):
    return painted_services(settings, Noisy())


@asynccontextmanager
async def narrowed(folder: Path) -> AsyncIterator[tuple[Distant, list[Any]]]:
    """A viewer whose link has been found to be narrow, and the screens that it is told."""
    settings = settings_for(folder, bitrate=16_000_000, adapt=True)
    async with (
        serving(settings, noisy) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
        Client(http) as caller,
        distant(http, down=Conditions(bits=5 * MEGABIT)) as viewer,
    ):
        assert (await caller.publish()).status_code == 201
        await until(lambda: "room" in app.state.lobby.channels)
        channel = app.state.lobby.channels["room"]
        await until(lambda: channel.life.live and channel.session.report().frames > 0)
        channel.adapt = lambda now: False  # a busy machine is another matter
        assert (await viewer.view(views="24")).status_code == 201
        (watching,) = channel.viewers.values()
        told = []
        watching.told = told.append

        def planned() -> float:
            """Bits a second of what is being sent."""
            return max((channel.presenter.bits(form) for form in watching.track.screens), default=0.0)

        await until(lambda: 0 < planned() <= 5 * MEGABIT)
        there = len(viewer.pictures)
        await viewer.seen(there + 5)
        yield viewer, told


async def test_a_narrow_link_is_sent_what_it_carries_in_one_session(tmp_path: Path):
    async with narrowed(tmp_path) as (viewer, told):

        def as_told() -> bool:
            newest = viewer.pictures[-1]
            return (newest.width, newest.height) == (told[-1].quilt_width, told[-1].quilt_height)

        await until(as_told)
        assert viewer.connection.connectionState == "connected", "in the same session"
        times = [picture.pts or 0 for picture in viewer.pictures]
        assert times == sorted(set(times)), "time goes on"


@pytest.mark.soak
async def test_what_a_narrow_link_is_sent_comes_without_a_freeze(tmp_path: Path):
    async with narrowed(tmp_path) as (viewer, _):
        loop = asyncio.get_running_loop()
        since = before = loop.time()
        seen, longest = len(viewer.pictures), 0.0
        while loop.time() < since + 5:
            await asyncio.sleep(0.02)
            if len(viewer.pictures) > seen:
                seen = len(viewer.pictures)
                longest, before = max(longest, loop.time() - before), loop.time()
        assert max(longest, loop.time() - before) < 1.5, "it goes on without a freeze"
        assert viewer.down.bits(since, loop.time()) <= 5 * MEGABIT


async def test_a_hidden_page_is_sent_no_picture_and_a_keyframe_on_return(tmp_path: Path):
    async with watched(tmp_path) as (channel, viewer, watching):
        told = []
        watching.told = told.append
        watching.hide(True)
        await until(lambda: told == [None])
        await until(lambda: channel.session.watched == ())  # nothing is rendered for nobody
        seen = await quiet(viewer.pictures)
        watching.hide(False)
        await viewer.seen(seen + 3)
        assert told[-1] == QUILT
        assert (await viewer.hang_up()).status_code == 200
        await until(lambda: not channel.viewers)


@pytest.mark.parametrize(("views", "size"), [("12", (1024, 768)), ("8", (1024, 512))])
async def test_a_viewer_gets_as_many_views_as_it_asks_for(tmp_path: Path, views: str, size: tuple[int, int]):
    async with (
        serving(settings_for(tmp_path)) as (base, _),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view(views=views)).status_code == 201
        assert {(picture.width, picture.height) for picture in await viewer.seen(3)} == {size}
        for form, refused in (("quilt", "25"), ("quilt", "0"), ("view", "8")):
            async with Client(http) as other:
                assert (await other.view(form=form, views=refused)).status_code == 400
