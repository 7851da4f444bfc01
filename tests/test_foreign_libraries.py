"""WebRTC libraries that nobody here wrote, as callers and as viewers: GStreamer's webrtcbin, and libdatachannel, which OBS is
built on. The server is the real one; what it paints says which view is which."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import av
import httpx
import numpy as np
import pytest
import pytest_asyncio

from tests import npm
from tests.live import Client, running, serving, settings_for, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SYSTEM_PYTHON = "/usr/bin/python3"
NEEDED = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst; Gst.init(None); "
NEEDED += "assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'vp8enc')))"
PACKAGES = (
    "python3-gst-1.0 gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-bad gstreamer1.0-plugins-good"
)
PATIENCE = 40.0
"Seconds, for machines that do other things too."


def lacking(what: str) -> NoReturn:
    if os.environ.get("TELEQUILT_REQUIRE_CLIENTS") == "1":
        pytest.fail(what)
    pytest.skip(what)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    settings = settings_for(tmp_path_factory.mktemp("data"))
    async with serving(settings) as (base, app), httpx.AsyncClient(base_url=base, timeout=30) as http:
        yield SimpleNamespace(base=base, http=http, lobby=app.state.lobby)


@asynccontextmanager
async def foreign(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A client that goes on until its standard input ends."""
    pipe = asyncio.subprocess.PIPE
    async with running(*command, stdin=pipe, stdout=pipe) as process:
        yield process


async def told(process: asyncio.subprocess.Process, least: int) -> None:
    """Wait until the client has decoded so many pictures."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while int(await process.stdout.readline() or b"-1") < least:
            assert process.returncode is None


async def hang_up(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await asyncio.wait_for(process.wait(), PATIENCE)
    assert process.returncode == 0


async def called(live: SimpleNamespace) -> None:
    """Wait until a caller's pictures come out of the session."""
    await until(lambda: "room" in live.lobby.channels and live.lobby.channels["room"].session is not None, PATIENCE)
    await until(lambda: live.lobby.channels["room"].session.report().frames > 25, PATIENCE)


@pytest.fixture(scope="module")
def gstreamer() -> tuple[str, str]:
    """How to start it. Its certificates are RSA, its players offer H.264 without any parameter."""
    probed = (
        subprocess.run([SYSTEM_PYTHON, "-c", NEEDED], capture_output=True) if Path(SYSTEM_PYTHON).exists() else None
    )
    if probed is None or probed.returncode:
        lacking(f"GStreamer's webrtcbin is not here: apt-get install {PACKAGES}")
    return SYSTEM_PYTHON, "tests/foreign_gstreamer.py"


async def test_gstreamer_publishes(live, gstreamer):
    async with foreign(*gstreamer, "publish", f"{live.base}/whip/room") as process, Client(live.http) as viewer:
        await called(live)
        assert (await viewer.view()).status_code == 201
        await viewer.seen(10, PATIENCE)
        await hang_up(process)
        await until(lambda: not live.lobby.channels, PATIENCE)


async def test_gstreamer_plays(live, gstreamer):
    async with Client(live.http) as caller:
        assert (await caller.publish()).status_code == 201
        async with foreign(*gstreamer, "play", f"{live.base}/whep/room?as=view&view=3") as process:
            await told(process, 25)
            await hang_up(process)
        await until(lambda: not live.lobby.channels["room"].viewers, PATIENCE)
        await caller.hang_up()


@pytest.fixture(scope="module")
def datachannel() -> tuple[str, ...]:
    if find_spec("pylibdatachannel") is None:
        lacking("libdatachannel is not here: pip install pylibdatachannel")
    return sys.executable, "-m", "tests.foreign_datachannel"


@pytest.mark.parametrize("certificate", ["ecdsa", "rsa"])
async def test_libdatachannel_connects(live, datachannel, certificate):
    """Its certificates are of X.509's version 2, which cryptography does not parse."""
    async with foreign(*datachannel, f"{live.base}/whip/room", certificate) as process:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"connected\n"
        await until(lambda: live.lobby.channels["room"].caller.connected, PATIENCE)
        await hang_up(process)
        await until(lambda: not live.lobby.channels, PATIENCE)


def coded(pictures: int = 50) -> bytes:
    """As many of growing brightness in H.264, each with its length before it; the first is a keyframe."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.time_base = 320, 240, "yuv420p", Fraction(1, 25)
    context.options = {"profile": "baseline", "tune": "zerolatency", "g": str(pictures)}
    units = []
    for number in range(pictures):
        picture = av.VideoFrame.from_ndarray(np.full((360, 320), 20 + 4 * number, np.uint8), format="yuv420p")
        picture.pts = number
        units.append(b"".join(bytes(packet) for packet in context.encode(picture)))
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


@pytest.fixture(scope="module")
def with_media() -> tuple[str, str, str]:
    """How to start libdatachannel 0.24 as npm brings it, built with SRTP."""
    node = shutil.which("node")
    if node is None:
        lacking("Node.js, which runs libdatachannel with media, is missing: apt-get install npm")
    folder = npm.modules("node-datachannel", "0.33.4", lacking)
    built = subprocess.run([node, "-e", f"require({str(folder / 'node-datachannel')!r})"], capture_output=True)
    if built.returncode:
        lacking("node-datachannel does not run here: its npm package is built for glibc and Node.js 18 or newer")
    return node, "tests/foreign_datachannel.mjs", str(folder)


async def test_libdatachannel_publishes_what_is_seen(live, with_media, tmp_path):
    film = tmp_path / "pictures"
    film.write_bytes(coded())
    command = *with_media, "publish", f"{live.base}/whip/room", str(film)
    async with foreign(*command) as process, Client(live.http) as viewer:
        await called(live)
        report = live.lobby.channels["room"].ingest.report()
        assert (report.codec, report.width, report.height) == ("H264", 320, 240)
        assert (await viewer.view()).status_code == 201
        await viewer.seen(10, PATIENCE)
        await hang_up(process)
        await until(lambda: not live.lobby.channels, PATIENCE)


async def test_libdatachannel_plays(live, with_media):
    async with Client(live.http) as caller:
        assert (await caller.publish()).status_code == 201
        async with foreign(*with_media, "play", f"{live.base}/whep/room?as=view&view=3") as process:
            await told(process, 25)
            await hang_up(process)
        await until(lambda: not live.lobby.channels["room"].viewers, PATIENCE)
        await caller.hang_up()
