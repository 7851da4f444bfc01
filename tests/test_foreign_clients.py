"""Clients that nobody here wrote: FFmpeg's WHIP muxer, and npm's whip-whep in Chromium on a page of another origin.

The server is the real one with the relief engine, it asks for a token, and there is a face for it to follow. It is also to be
found below a path of another address, behind a proxy that strips the path and does not say so.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from display.screen import PRODUCT, screen
from pipeline.puppet import RATE
from server.channels.lobby import Lobby
from server.channels.report import ChannelReport
from server.channels.services import open_services
from server.webrtc import peers
from server.webrtc.live_video import UNDECODABLE
from tests import foreign_page, swaying_face
from tests.foreign_page import Site, Tab
from tests.live import GONE_SECONDS, Client, running, serving, settings_for, until
from tests.stripping_proxy import Proxy, stripping

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDED = {200, 404}
"The package closes its connection and then sends DELETE: the server may have noticed before it is told."
TOKEN = "known-to-clients-only"
PATIENCE = 40.0
"Seconds, for machines that do other things too."


@dataclass(frozen=True)
class Admission:
    """The one channel of the server under test, seen from within and from without."""

    server: str
    "Its address."
    proxy: Proxy
    lobby: Lobby
    http: httpx.AsyncClient

    def report(self) -> ChannelReport:
        return self.lobby.report(self.lobby.live("room"))

    async def live(self) -> None:
        """Wait until a caller is there and a face is followed in its picture."""
        await until(lambda: any(channel.life.live for channel in self.lobby.channels.values()), PATIENCE)
        await until(lambda: self.report().session.presence > 0.9, PATIENCE)

    async def received(self, more: int) -> None:
        """Wait for the caller's next frames."""
        enough = self.report().frames_received + more
        await until(lambda: self.report().frames_received >= enough, PATIENCE)

    async def empty(self) -> None:
        await until(lambda: not self.lobby.channels, PATIENCE)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Admission]:
    settings = settings_for(tmp_path_factory.mktemp("data"), token=TOKEN, allowed_origins=(site.origin,))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        serving(settings, open_services) as (url, app),
        httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http,
        stripping(url) as proxy,
    ):
        yield Admission(url, proxy, app.state.lobby, http)


async def sees_quilts(viewer: Client) -> None:
    """The viewer decodes quilts of the product's size, whose every tile shows something and whose ends differ."""
    product = screen(PRODUCT)
    quilt = (await viewer.seen(len(viewer.pictures) + 10, PATIENCE))[-1].to_ndarray(format="gray")
    assert quilt.shape == (product.quilt_height, product.quilt_width)
    rows = quilt.reshape(product.rows, product.quilt_height // product.rows, product.columns, -1)
    tiles = rows.swapaxes(1, 2).astype(np.float32)
    assert tiles.std(axis=(2, 3)).min() > 10
    assert np.abs(tiles[-1, 0] - tiles[0, -1]).mean() > 2


# --- FFmpeg


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    swaying_face.write_mp4(path)
    return path


@asynccontextmanager
async def ffmpeg(room: Admission, clip: Path, at: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
    """FFmpeg publishing into the room, `at` another address than the server's own. It hangs up when its standard input ends."""
    assert "whip" in av.formats_available
    words = [f"{at or room.server}/whip/room", TOKEN, str(clip), str(clip.parent)]
    command = [sys.executable, "-m", "tests.foreign_muxer", *words]
    async with running(*command, stdin=asyncio.subprocess.PIPE) as process:
        yield process


def hang_up(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()


async def test_ffmpeg_publishes_picture_and_sound_until_it_hangs_up(room, clip):
    room.proxy.passed.clear()
    async with ffmpeg(room, clip, room.proxy.address) as process, Client(room.http) as viewer:
        await room.live()
        assert (await viewer.view(audio=True)).status_code == 201
        # FFmpeg answers no consent check: this is longer than such a peer would last without its media
        await room.received(round(1.5 * peers.SILENT_SECONDS * RATE))
        await sees_quilts(viewer)
        assert np.abs(viewer.sounds[-1].to_ndarray()).max() > 1000
        hang_up(process)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        await room.empty()
    assert room.proxy.passed["POST", 201] == room.proxy.deleted == 1


async def test_ffmpeg_killed_in_the_middle_is_gone_within_five_seconds(room, clip):
    async with ffmpeg(room, clip) as process:
        await room.live()
        await room.received(10)
        caller = room.lobby.live("room").caller
        process.kill()
        await room.empty()
        assert time.monotonic() - caller.heard < GONE_SECONDS


# --- npm's whip-whep in Chromium


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(site: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    site.put_page()
    film = tmp_path_factory.mktemp("film") / "camera.mjpeg"
    swaying_face.write_mjpeg(film)
    async with foreign_page.filming(film) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Browser, room: Admission, site: Site) -> AsyncIterator[Tab]:
    async with foreign_page.tab(browser, site, room.server) as tab:
        yield tab


@pytest.mark.browser
async def test_whip_whep_publishes_from_chromium(room, tab):
    tab.server = room.proxy.address
    await tab.page.evaluate("words => publish(...words)", [f"{tab.server}/whip/room", TOKEN])
    await room.live()
    async with Client(room.http) as viewer:
        assert (await viewer.view(audio=True)).status_code == 201
        await room.received(25)
        await sees_quilts(viewer)
        await until(lambda: bool(viewer.sounds), PATIENCE)
        await tab.page.evaluate("stop()")
        await until(lambda: "DELETE" in tab.answers, PATIENCE)
        await room.empty()
    assert tab.answers["POST"] == {201}
    assert tab.answers["PATCH"] == {204}
    assert tab.answers["DELETE"] <= ENDED
    assert tab.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("left", ["rtx", "rtx|VP8", "rtx|red|ulpfec|flexfec|H264"])
async def test_chromium_publishes_without_retransmissions(room, tab, left):
    """It then probes the link with packets of padding alone, within the stream itself."""
    offer = await tab.page.evaluate("words => publish(...words)", [f"{room.server}/whip/room", TOKEN, left])
    assert " rtx/" not in offer
    await room.live()
    await room.received(75)
    taking = room.lobby.live("room").ingest.report()
    assert UNDECODABLE not in taking.lost
    assert taking.codec == ("H264" if "VP8" in left else "VP8")
    await tab.page.evaluate("stop()")
    await room.empty()


@pytest.mark.browser
async def test_whip_whep_plays_in_chromium(room, tab, clip):
    async with ffmpeg(room, clip) as process:
        await room.live()
        await tab.page.evaluate("words => view(...words)", [f"{room.server}/whep/room", TOKEN])
        await tab.page.wait_for_function("() => played() >= 10", timeout=1000 * PATIENCE)
        product, picture = screen(PRODUCT), await tab.page.evaluate("look()")
        assert (picture["width"], picture["height"]) == (product.quilt_width, product.quilt_height)
        assert picture["deviation"] > 10
        await tab.page.evaluate("stop()")
        await until(lambda: "DELETE" in tab.answers, PATIENCE)
        await until(lambda: room.report().viewers == 0, PATIENCE)
        hang_up(process)
        await room.empty()
    assert tab.answers["POST"] == {201}
    # when it plays, the package trickles without If-Match: 428 is RFC 9725's answer, and it can do without trickling
    assert tab.answers.get("PATCH", set()) <= {428}
    assert all("428" in error for error in tab.errors)
    assert tab.answers["DELETE"] <= ENDED
