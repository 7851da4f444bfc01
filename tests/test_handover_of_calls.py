"""A call that goes out through a real SFU for a minute: how many of its table's pictures arrive, and whether lips and sound still
go together. `pytest -m soak -s tests/test_handover_of_calls.py` prints the figures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack

from benchmarks.glass_to_glass import Camera
from benchmarks.lip_sync import Microphone, Viewer
from benchmarks.live import barcode, chirp
from benchmarks.live.offsets import Aged, ages, offsets, summary
from benchmarks.live.witnessed_server import WitnessedServices
from display.seating import SEAT_WIDTH, seated
from pipeline.puppet import Puppet
from server.channels.services import Services
from server.settings import Settings
from server.webrtc.backlog import Limits
from server.webrtc.client import PictureTrack, playing
from server.webrtc.live_video import LiveVideo
from tests.conversing import Call
from tests.janus import janus, whip
from tests.live import Client, painted_services, serving, settings_for, until
from tests.relay import pion

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]
SECONDS = 60.0
RATE, STILL_RATE = 15.0, 5.0
"Pictures a second of who talks and of who listens: two callers, a server and a viewer share this process."
MOST_PIXELS = 8_000_000


def witnessed(settings: Settings) -> Services:
    """An engine that paints, and the number of the caller's picture in what is made of it."""
    painted = painted_services(settings)
    return WitnessedServices(
        painted.avatars, painted.deployments, painted.engine, painted.observer, painted.observe_portrait
    )


class Audience(Viewer):
    """Whoever watches at the SFU; reads what the first seat's picture carries, which lies across tiles of the table."""

    def __init__(self) -> None:
        super().__init__()
        seating = seated([1, 2])
        place, whole = seating.places[0], seating.screen()
        seat = seating.seat(place)
        top = (seat.rows - 1) * seat.columns  # the view at the top left of the seat's own quilt
        corners = [whole.tile_origin(top + column) for column in range(-(-barcode.WIDTH // SEAT_WIDTH))]
        self._corners = [(x + place.left, y + place.top) for x, y in corners]
        self.decoded = 0

    async def watch(self, video: MediaStreamTrack) -> None:
        assert isinstance(video, LiveVideo)
        while True:
            frame, rtp = await video.take()
            now = asyncio.get_running_loop().time()
            self.decoded += 1
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            parts = [luma[y : y + barcode.HEIGHT, x : x + SEAT_WIDTH] for x, y in self._corners]
            code = np.hstack(parts)[:, : barcode.WIDTH]
            if code.shape[1] == barcode.WIDTH and (number := barcode.read(code)):  # a dark tile reads as none, too
                self.pictures.append((now, rtp, number))


def carried(source: int, rtp: int, arrived: float) -> float:
    return rtp / 90_000


@asynccontextmanager
async def from_pion(stack: AsyncExitStack, tmp_path: Any, hand: Callable[..., Any]) -> AsyncIterator[Audience]:
    relay = await stack.enter_async_context(pion(tmp_path))
    viewer, _ = await hand(f"{relay}/whip/room", ""), await asyncio.sleep(2)
    url = f"{relay}/whep/room"
    async with playing(url, "video", "audio", captured=carried, opened=viewer.opened) as tracks:
        watching = asyncio.create_task(viewer.watch(tracks["video"]))
        yield viewer
        watching.cancel()


@asynccontextmanager
async def from_janus(stack: AsyncExitStack, tmp_path: Any, hand: Callable[..., Any]) -> AsyncIterator[Audience]:
    room = await stack.enter_async_context(janus(tmp_path))
    url, _ = await stack.enter_async_context(whip(room.publish, room.unpublish, "its-token"))
    viewer = await hand(url, "its-token")

    class Subscriber(Client):
        """Takes packets as they come: aiortc's own buffers would make sound and pictures late, each in its way."""

        def _read(self, track: MediaStreamTrack) -> None:
            (receiver,) = [one.receiver for one in self.connection.getTransceivers() if one.receiver.track is track]
            if track.kind == "video":
                video = LiveVideo(receiver, Limits(MOST_PIXELS), captured=carried)
                viewer.opened("video", receiver)
                self._readers.append(asyncio.create_task(viewer.watch(video)))
            else:
                viewer.opened("audio", receiver)

    async with room.watching(Subscriber):
        yield viewer


@asynccontextmanager
async def going_out(stack: AsyncExitStack, tmp_path: Any) -> AsyncIterator[SimpleNamespace]:
    """A call of two, the first of whom talks."""
    settings = settings_for(tmp_path / "data", handover_hosts="127.0.0.0/8", adapt=False)
    base, app = await stack.enter_async_context(serving(settings, witnessed))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=60))
    call = await Call.make(http, title="Tea")
    stack.push_async_callback(call.close)
    members = [await call.join("Ana", "host"), await call.join("Bo")]
    shown = [cv2.resize(frame.pixels, (320, 240)) for frame in islice(Puppet().frames(), 50)]
    taking = Camera(shown)
    camera, microphone = PictureTrack(taking.take, RATE), Microphone()
    still = PictureTrack(lambda number: shown[0], STILL_RATE)
    for (seat, _), tracks in zip(members, ((camera, microphone), (still, AudioStreamTrack())), strict=True):
        headers = {"Authorization": f"Bearer {seat['token']}"}
        asking = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
        caller = await stack.enter_async_context(Client(asking))
        assert (await caller.publish(f"{call.name}.{seat['seat']}", *tracks)).status_code == 201
    (_, hers), (_, his) = members
    await hers.hears("seat", seat=2, publishing="live")

    async def hand(url: str, token: str) -> Audience:
        path, host = f"/api/channels/{call.name}/handover", {"Authorization": f"Bearer {call.host}"}
        assert (await http.post(path, json={"url": url, "token": token}, headers=host)).status_code == 409
        for socket in (hers, his):
            await socket.say(t="agree", handover=True)
        await his.hears("handover", to="127.0.0.1")
        await until(lambda: (table := app.state.lobby.channels.get(call.name)) is not None and bool(table.watching), 60)
        await until(lambda: any(len(one.get("seats", ())) == 2 for one in hers.told if one.get("as") == "table"))
        return Audience()

    facts = {"camera": camera, "took": taking.captured, "microphone": microphone}
    yield SimpleNamespace(hand=hand, table=lambda: app.state.lobby.live(call.name), **facts)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers as wide as the two tiles of a seat that lie beside each other."""
    monkeypatch.setattr(barcode, "BLOCK", 12)
    monkeypatch.setattr(barcode, "HEIGHT", 12)
    monkeypatch.setattr(barcode, "WIDTH", 12 * (barcode.BITS + barcode.CHECK_BITS))


@pytest.mark.parametrize("sfu", [from_janus, from_pion])
async def test_a_minute_of_a_call_arrives_at_an_sfus_audience_with_its_sound_in_step(sfu, tmp_path):
    async with AsyncExitStack() as stack:
        call = await stack.enter_async_context(going_out(stack, tmp_path))
        async with sfu(stack, tmp_path, call.hand) as audience:
            await until(lambda: len(audience.pictures) > 25 and len(audience.sounds) > 50, 60)
            presenter = call.table().presenter
            before, sent = audience.decoded, presenter.reports()[0].pictures
            await asyncio.sleep(SECONDS)
            arrived, sent = audience.decoded - before, presenter.reports()[0].pictures - sent
    at, _, numbers = (np.array(one) for one in zip(*audience.pictures, strict=True))
    heard, _, told = (np.array(one) for one in zip(*audience.sounds, strict=True))
    due = call.camera.begun + numbers / RATE
    late = float(np.median([call.took[number] for number in numbers] - due))
    seen = Aged(at, at - due)
    said = ages(heard + chirp.BLOCK / chirp.RATE / 2, told, call.microphone.begun)
    found = summary(*offsets(seen, said, at[0]))
    name = sfu.__name__.removeprefix("from_")
    print(
        f"\n{name}: {arrived} of {sent} pictures; the camera {1e3 * late:.0f} ms late; sound later than picture, ms: {found}"
    )
    assert late < 0.5, "this machine is too busy to be a camera"
    assert arrived >= 0.95 * sent
    assert abs(found["median_ms"]) <= 60
