"""Live: a real server on a free port and real peers on this machine, for tests of the network. Nothing here is faked."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import httpx
import numpy as np
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import is_rtcp
from aiortc.sdp import SessionDescription
from fastapi import FastAPI

from engines.contract import AnyEngine
from pipeline.avatars import Avatars
from pipeline.devices.placement import Placement, preset
from pipeline.devices.planner import Planned
from pipeline.executors.deployments import Deployments
from server import connections
from server.app import create_app
from server.channels.services import Services
from server.displays.attached import Attached
from server.routes.quotas import Quota
from server.settings import Settings
from tests.painted import PaintedEngine, StillObserver, still_face

CPU = preset("cpu")
SDP = {"Content-Type": "application/sdp"}
GONE_SECONDS = 25.0
"Until a server that works, on a machine however busy, has noticed that a peer has vanished. With aioice's own timing it were 30."
PLENTY = 60.0
"Seconds. Servers, peers and browsers share two cores in CI: only what never comes may fail."


def painted_services(settings: Settings, engine: AnyEngine = PaintedEngine(), placement: Placement = CPU) -> Services:
    """Everything real but the face and the engine, which paint their numbers."""
    return Services(
        Avatars(settings.data_dir, still_face, most=settings.max_avatars),
        Deployments(lambda _: Planned(placement, ())),
        engine=lambda name: engine,
        observer=lambda wants: StillObserver(),
        observe_portrait=lambda frame: still_face(),
    )


def settings_for(data_dir: Path, **more: Any) -> Settings:
    return Settings(data_dir=data_dir, port=0, **more)


@asynccontextmanager
async def serving(
    settings: Settings, services: Callable[[Settings], Services] = painted_services, attached: Attached | None = None
) -> AsyncIterator[tuple[str, FastAPI]]:
    """(address, app) of a warm server, whose services is painted unless another one is given."""
    app = create_app(settings, services, attached)
    server = uvicorn.Server(connections.config(app, "127.0.0.1", 0))
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started and app.state.lobby is not None, 180)  # kernels may have to be compiled
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", app
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """The address of any app, on a free port."""
    server = uvicorn.Server(connections.config(app, "127.0.0.1", 0))
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def without_quotas(app: FastAPI) -> None:
    """Whoever asks may ask as often as a test does."""
    quotas, endless = app.state.quotas, Quota(1 << 30, 1 << 30, 1)
    named = [name for name, one in vars(quotas).items() if isinstance(one, Quota)]
    vars(quotas).update(dict.fromkeys(named, endless), costly=dict.fromkeys(quotas.costly, endless))


async def until(condition: Callable[[], bool], seconds: float = PLENTY) -> None:
    """Wait for `condition`; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


async def quiet(seen: Sequence[object], seconds: float = 0.5) -> int:
    """Wait until nothing has been added to `seen` for `seconds`, what was under way having come: how many there are."""
    count = -1
    async with asyncio.timeout(PLENTY):
        while len(seen) > count:
            count = len(seen)
            await asyncio.sleep(seconds)
    return count


@asynccontextmanager
async def running(*command: str, **how: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """`command` at work in the checkout, killed if it is still there at the end. `how`: as create_subprocess_exec takes it."""
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[1], **how)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


class Clip(MediaStreamTrack):
    """A camera: 320x240 at 25 fps, a grey that steps with each picture."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    async def recv(self) -> av.VideoFrame:
        if self.readyState != "live":
            raise MediaStreamError
        await asyncio.sleep(0.04)
        frame = av.VideoFrame.from_ndarray(np.full((360, 320), self.sent % 200 + 20, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = self.sent * 3600, Fraction(1, 90_000)
        self.sent += 1
        return frame


class Accidents:
    """A transport on whose way something happens to RTP packets: none, one or several come of each."""

    def __init__(self, transport: Any, happens: Callable[[bytes], list[bytes]]) -> None:
        self._transport, self._happens = transport, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        for packet in [data] if is_rtcp(data) else self._happens(data):
            await self._transport._send_rtp(packet)


def located(answer: httpx.Response) -> str:
    """The path that an answer's Location leads to."""
    return answer.url.join(answer.headers["Location"]).path


class Client:
    """A WHIP caller or a WHEP viewer that aiortc makes."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures: list[av.VideoFrame] = []
        self.sounds: list[av.AudioFrame] = []
        self.answer = ""
        self.session = ""
        self.etag = ""
        self.through: Callable[[str], str] = str
        "By which way: an answer with other addresses in it."
        self._readers: list[asyncio.Task[None]] = []
        self.connection.on("track", self._read)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def publish(self, channel: str = "room", *tracks: MediaStreamTrack, **query: str) -> httpx.Response:
        for track in tracks or (Clip(),):
            self.connection.addTransceiver(track, "sendonly")
        return await self.exchange(f"/whip/{channel}", query)

    async def view(
        self, channel: str = "room", *, audio: bool = False, form: str = "quilt", **query: str
    ) -> httpx.Response:
        self.connection.addTransceiver("video", "recvonly")
        if audio:
            self.connection.addTransceiver("audio", "recvonly")
        return await self.exchange(f"/whep/{channel}", {"as": form, **query})

    @property
    def ufrag(self) -> str:
        ice = SessionDescription.parse(self.connection.localDescription.sdp).media[0].ice
        assert ice is not None
        return ice.usernameFragment or ""

    async def hang_up(self) -> httpx.Response:
        return await self.http.delete(self.session)

    async def vanish(self) -> None:
        """Be gone without a word, as after a crash or a pulled cable."""
        for transceiver in self.connection.getTransceivers():
            transport: Any = transceiver.receiver.transport.transport
            for protocol in transport._connection._protocols:
                protocol.transport.abort()

    async def close(self) -> None:
        await self.connection.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def seen(self, count: int, seconds: float = PLENTY) -> list[av.VideoFrame]:
        """The pictures so far, once there are `count`."""
        await until(lambda: len(self.pictures) >= count, seconds)
        return self.pictures

    def add(self, track: MediaStreamTrack, happens: Callable[[bytes], list[bytes]], codec: str | None = None) -> None:
        """Send `track`, in `codec` ("video/H264") if one is named; `happens` says what becomes of each RTP packet on its way."""
        transceiver = self.connection.addTransceiver(track, "sendonly")
        transceiver.sender.setTransport(Accidents(transceiver.sender.transport, happens))  # type: ignore[arg-type]
        if codec is not None:
            known = RTCRtpSender.getCapabilities(track.kind).codecs
            transceiver.setCodecPreferences([one for one in known if one.mimeType == codec])

    async def publish_added(self, channel: str = "room", mangle: Callable[[str], str] = str) -> httpx.Response:
        """Publish what was added; `mangle` rewrites the offer."""
        return await self.exchange(f"/whip/{channel}", {}, mangle)

    async def exchange(self, path: str, query: dict[str, str], mangle: Callable[[str], str] = str) -> httpx.Response:
        await self.connection.setLocalDescription()
        offer = mangle(self.connection.localDescription.sdp)
        answer = await self.http.post(path, params=query, content=offer, headers=SDP)
        if answer.status_code == 201:
            self.answer, self.etag = answer.text, answer.headers["ETag"]
            self.session = located(answer)
            await self.connection.setRemoteDescription(RTCSessionDescription(self.through(self.answer), "answer"))
        return answer

    def _read(self, track: MediaStreamTrack) -> None:
        kept: Any = self.pictures if track.kind == "video" else self.sounds
        self._readers.append(asyncio.create_task(_keep(track.recv, kept)))


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Any, Client, Any]]:
    """A channel that one sees already: it, who watches, and what the server has of them."""
    async with (
        serving(settings_for(folder)) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
        Client(http) as caller,
        Client(http) as viewer,
    ):
        assert (await caller.publish()).status_code == 201
        assert (await viewer.view()).status_code == 201
        await viewer.seen(3)
        channel = app.state.lobby.channels["room"]
        (watching,) = channel.viewers.values()
        yield channel, viewer, watching


async def _keep(recv: Callable[[], Awaitable[Any]], kept: list[Any]) -> None:
    while True:
        try:
            kept.append(await recv())
        except MediaStreamError:
            return
