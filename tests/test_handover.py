"""Handing a channel over: to a real SFU (Debian's Janus), to another of our servers, and where it is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc.mediastreams import AudioStreamTrack

from server.problems import Problem
from server.webrtc.destinations import Destinations
from server.webrtc.outlet import Sparing
from tests.janus import janus, whip
from tests.live import Client, Clip, free_port, serving, settings_for, until
from tests.test_whip import problem

HERE = "127.0.0.0/8"
API = "/api/channels/room/handover"


async def handed(http: httpx.AsyncClient) -> dict[str, Any] | None:
    return (await http.get("/api/channels/room")).json()["handover"]


async def test_janus_passes_on_what_is_handed_over_to_it(tmp_path):
    async with AsyncExitStack() as stack:
        room = await stack.enter_async_context(janus(tmp_path))
        url, asked = await stack.enter_async_context(whip(room.publish, room.unpublish, "its-token"))
        base, _ = await stack.enter_async_context(serving(settings_for(tmp_path / "data", handover_hosts=HERE)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish()
        begun = await http.post(API, json={"url": url, "token": "its-token"})
        assert begun.status_code == 201, begun.text
        assert [request.url.path for request in asked] == ["/whip/front", "/whip/behind"] * 2  # 307, 503, 307, 201
        while not (told := await handed(http) or {})["connected"]:
            await asyncio.sleep(0.1)
        async with room.watching() as viewer:
            before = len(await viewer.seen(5, 60))
            (stream,) = (await http.get("/api/channels/room")).json()["streams"]
            await viewer.seen(before + 25, 60)
            (then,) = (await http.get("/api/channels/room")).json()["streams"]
            seen, sent = len(viewer.pictures) - before, then["pictures"] - stream["pictures"]
            assert seen >= 0.8 * sent
        assert told["host"] == "127.0.0.1"
        assert "its-token" not in (await http.get("/api/channels")).text
        problem(await http.post(API, json={"url": url}), 409, "already-handed-over")
        assert (await http.delete(API)).status_code == 204
        await until(lambda: asked[-1].method == "DELETE")
        assert await handed(http) is None
        problem(await http.delete(API), 404, "not-handed-over")


async def test_another_of_our_servers_takes_a_channel_with_its_sound_and_hears_of_its_end(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path / "one", handover_hosts=HERE)
        base, _ = await stack.enter_async_context(serving(settings))
        there, taking = await stack.enter_async_context(serving(settings_for(tmp_path / "two")))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish("room", Clip(), AudioStreamTrack())
        assert (await http.post(API, json={"url": f"{there}/whip/taken"})).status_code == 201
        taken = taking.state.lobby.channels["taken"]
        await until(lambda: taken.ingest.received >= 10, 60)
        assert taken.voice is not None
        await caller.hang_up()
        await until(lambda: not taking.state.lobby.channels)


async def test_what_the_other_server_says_is_told(tmp_path):
    async with AsyncExitStack() as stack:
        settings = settings_for(tmp_path, handover_hosts=f"{HERE},sfu.example", connect_seconds=2)
        base, app = await stack.enter_async_context(serving(settings))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        problem(await http.post(API, json={"url": "https://sfu.example/whip"}), 404, "not-live")
        caller = await stack.enter_async_context(Client(http))
        await caller.publish()
        url, _ = await stack.enter_async_context(whip(_never, asyncio.Event().wait, "right"))
        refused = problem(await http.post(API, json={"url": url, "token": "wrong"}), 502, "handover-failed")
        assert refused["answered"] == 401
        silent = f"http://127.0.0.1:{free_port()}/whip"
        problem(await http.post(API, json={"url": silent}), 502, "handover-failed")
        problem(await http.post(API, json={"url": "https://elsewhere.example/whip"}), 403, "handover-not-allowed")
        assert await handed(http) is None
        assert not app.state.lobby.channels["room"].viewers


async def _never(sdp: str) -> str:
    raise AssertionError("it was asked to publish")


PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"


@pytest.mark.parametrize(
    ("listed", "url", "found", "answer"),
    [
        (["sfu.example"], "https://sfu.example/whip", [PUBLIC], PUBLIC),
        (["SFU.example."], "https://sfu.example./whip", [PRIVATE, PUBLIC], PUBLIC),
        (["sfu.example"], "https://sfu.example/whip", [PRIVATE], 403),
        (["sfu.example", "10.0.0.0/8"], "https://sfu.example/whip", [PRIVATE], PRIVATE),
        (["sfu.example", "10.0.0.0/8"], "http://sfu.example/whip", [PRIVATE], PRIVATE),
        (["sfu.example"], "http://sfu.example/whip", [PUBLIC], 403),
        (["sfu.example"], "https://sfu.example/whip", ["::ffff:127.0.0.1"], 403),
        (["sfu.example"], "https://sfu.example/whip", ["169.254.169.254"], 403),
        (["sfu.example"], "https://sfu.example/whip", [], 403),
        (["sfu.example"], "https://evil.example/whip", [PUBLIC], 403),
        (["10.0.0.0/8"], f"https://{PUBLIC}/whip", [PUBLIC], 403),
        (["::1"], "http://[::1]:8000/whip", ["::1"], "::1"),
        ([], "https://sfu.example/whip", [PUBLIC], 403),
        (["sfu.example"], "https://me@sfu.example/whip", [PUBLIC], 400),
        (["sfu.example"], "file:///etc/passwd", [], 400),
        (["sfu.example"], "https://sfu.example:99999/", [], 400),
    ],
)
def test_only_what_the_operator_lists_is_asked_and_no_private_address_unless_listed(listed, url, found, answer):
    assert asked_address(Destinations(listed), url, found) == answer


def asked_address(destinations: Destinations, url: str, found: list[str]) -> str | int:
    """Which address is asked, or the status of the refusal."""
    try:
        destinations.host(url)
        return destinations.address(url, found)
    except Problem as refused:
        return refused.status


async def test_keyframes_are_asked_for_once_in_a_while_and_none_is_forgotten():
    asked: list[float] = []
    loop = asyncio.get_running_loop()
    sparing = Sparing(lambda: asked.append(loop.time()), 0.2)
    for _ in range(20):
        sparing()
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    assert 2 <= len(asked) <= 4
    assert all(after - before >= 0.199 for before, after in pairwise(asked))
    assert asked[-1] - asked[0] >= 0.38  # the last request is made up for


@pytest.mark.soak
async def test_pion_passes_on_what_is_handed_over_to_it(tmp_path):
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(pion(tmp_path))
        base, app = await stack.enter_async_context(serving(settings_for(tmp_path / "data", handover_hosts=HERE)))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
        caller = await stack.enter_async_context(Client(http))
        await caller.publish("room", Clip(), AudioStreamTrack())
        assert (await http.post(API, json={"url": f"{relay}/whip/room"})).status_code == 201
        there = await stack.enter_async_context(httpx.AsyncClient(base_url=relay, timeout=60))
        viewer = await stack.enter_async_context(Client(there))
        presenter = app.state.lobby.channels["room"].presenter
        await until(lambda: sum(stream.pictures for stream in presenter.reports()) >= 10)
        assert (await viewer.view(audio=True)).status_code == 201
        await viewer.seen(5, 60)
        before, first = len(viewer.pictures), presenter.reports()[0]
        await asyncio.sleep(8)
        last = presenter.reports()[0]
        assert len(viewer.pictures) - before >= 0.9 * (last.pictures - first.pictures)
        assert last.keyframes - first.keyframes <= 5  # of the 16 that it asked for
        assert len(viewer.sounds) > 200


@asynccontextmanager
async def pion(folder: Path) -> AsyncIterator[str]:
    """The address of the relay in tests/pion, built here. Skips the test in one line where Go or Pion is missing."""
    packages = Path("/usr/share/gocode")
    if not shutil.which("go") or not (packages / "src/github.com/pion/webrtc").is_dir():
        pytest.skip("no Pion: apt-get install golang-go golang-github-pion-webrtc.v3-dev")
    there = folder / "src" / "relay"
    shutil.copytree(Path(__file__).parent / "pion", there)
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": f"{folder}:{packages}"}
    subprocess.run(["go", "build", "-o", "relay"], cwd=there, env=environment, check=True, timeout=280)
    process = subprocess.Popen([there / "relay"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://{(await asyncio.to_thread(process.stdout.readline)).strip()}"
    finally:
        process.kill()
        process.wait()
