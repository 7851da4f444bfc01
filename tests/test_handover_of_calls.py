"""A call that goes out through a real SFU for a minute: how many of its table's pictures arrive at whoever watches there, and that its
sound does. `pytest -m soak -s tests/test_handover_of_calls.py` prints the figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import pytest
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from benchmarks.live.lips_aiortc import Microphone, Viewer
from pipeline.puppet import Puppet
from server.webrtc.backlog import Limits
from server.webrtc.client import PictureTrack, playing
from server.webrtc.live_video import LiveVideo
from tests.conversing import Call
from tests.janus import janus, whip
from tests.live import Client, serving, settings_for, until
from tests.relay import pion

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
SECONDS = 60.0
RATE, STILL_RATE = 15.0, 5.0
"Pictures a second of who talks and of who listens: two callers, a server and a viewer share this process."
MOST_PIXELS = 8_000_000


class Audience(Viewer):
    """Whoever watches at the SFU."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    async def watch(self, video: MediaStreamTrack) -> None:
        assert isinstance(video, LiveVideo)
        while True:
            await video.take()
            self.decoded += 1


def carried(source: int, rtp: int, arrived: float) -> float:
    return rtp / 90_000


@asynccontextmanager
async def from_pion(stack: AsyncExitStack, tmp_path: Any, hand: Callable[..., Any]) -> AsyncIterator[Audience]:
    relay, viewer = await stack.enter_async_context(pion(tmp_path)), Audience()
    await hand(f"{relay}/whip/room", "")
    await asyncio.sleep(2)  # it answers before it has both tracks, and its viewers get those that there are
    url = f"{relay}/whep/room"
    async with playing(url, "video", "audio", captured=carried, opened=viewer.opened) as tracks:
        watching = asyncio.create_task(viewer.watch(tracks["video"]))
        yield viewer
        watching.cancel()


@asynccontextmanager
async def from_janus(stack: AsyncExitStack, tmp_path: Any, hand: Callable[..., Any]) -> AsyncIterator[Audience]:
    room, viewer = await stack.enter_async_context(janus(tmp_path)), Audience()
    url, _ = await stack.enter_async_context(whip(room.publish, room.unpublish, "its-token"))
    await hand(url, "its-token")

    class Subscriber(Client):
        """Takes packets as they come, as a viewer of ours does."""

        def _read(self, track: MediaStreamTrack) -> None:
            (receiver,) = [one.receiver for one in self.connection.getTransceivers() if one.receiver.track is track]
            viewer.opened(track.kind, receiver)
            if track.kind == "video":
                video = LiveVideo(receiver, Limits(MOST_PIXELS), captured=carried)
                self._readers.append(asyncio.create_task(viewer.watch(video)))

    async with room.watching(Subscriber):
        yield viewer


@asynccontextmanager
async def going_out(stack: AsyncExitStack, tmp_path: Any) -> AsyncIterator[SimpleNamespace]:
    """A call of two, the first of whom talks."""
    settings = settings_for(tmp_path / "data", handover_hosts="127.0.0.0/8", adapt=False)
    base, app = await stack.enter_async_context(serving(settings))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
    call = await Call.make(http, title="Tea")
    stack.push_async_callback(call.close)
    (ana, hers), (bo, his) = await call.join("Ana", "host"), await call.join("Bo")
    shown = [cv2.resize(frame.pixels, (320, 240)) for frame in islice(Puppet().frames(), 50)]
    talks = PictureTrack(lambda number: shown[number % len(shown)], RATE), Microphone()
    listens = PictureTrack(lambda number: shown[0], STILL_RATE), AudioStreamTrack()
    for seat, tracks in ((ana, talks), (bo, listens)):
        headers = {"Authorization": f"Bearer {seat['token']}"}
        asking = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
        caller = await stack.enter_async_context(Client(asking))
        assert (await caller.publish(f"{call.name}.{seat['seat']}", *tracks)).status_code == 201
    await hers.hears("seat", seat=bo["seat"], publishing="live")

    async def hand(url: str, token: str) -> None:
        path, host = f"/api/channels/{call.name}/handover", {"Authorization": f"Bearer {call.host}"}
        assert (await http.post(path, json={"url": url, "token": token}, headers=host)).status_code == 409
        for socket in (hers, his):
            await socket.say(t="agree", handover=True)
        await his.hears("handover", to="127.0.0.1")
        await until(lambda: (table := app.state.lobby.channels.get(call.name)) is not None and bool(table.watching), 60)

    yield SimpleNamespace(hand=hand, table=lambda: app.state.lobby.live(call.name))


@pytest.mark.parametrize("sfu", [from_janus, from_pion])
async def test_a_minute_of_a_call_arrives_at_an_sfus_audience(sfu, tmp_path):
    async with AsyncExitStack() as stack:
        call = await stack.enter_async_context(going_out(stack, tmp_path))
        async with sfu(stack, tmp_path, call.hand) as audience:
            await until(lambda: audience.decoded > 25 and len(audience.pcm) > 50, 60)
            presenter, heard = call.table().presenter, len(audience.pcm)
            before, sent = audience.decoded, presenter.reports()[0].pictures
            await asyncio.sleep(SECONDS)
            arrived, sent = audience.decoded - before, presenter.reports()[0].pictures - sent
    print(f"\n{sfu.__name__}: {arrived} of {sent} pictures, {len(audience.pcm) - heard} packets of sound")
    assert arrived >= 0.95 * sent
    assert len(audience.pcm) - heard > 10 * SECONDS
