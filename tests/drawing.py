"""Drawing: a viewer who draws an avatar itself, and a server whose avatars move without anybody's face."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from aiortc import RTCDataChannel

from benchmarks.live.network import without_candidates
from engines.contract import AnyEngine, FaceObservation
from engines.geometry import motion
from engines.geometry.motion import Record
from engines.relief.engine import Relief
from pipeline.avatars import Avatars
from pipeline.devices.planner import Planned
from pipeline.executors.deployments import Deployments
from pipeline.frame import Frame
from pipeline.puppet import gesture, scripted
from server.channels.services import Services
from server.settings import Settings
from tests.live import CPU, Client


class Acting:
    """An observer that sees the portrait's person play the puppet's script."""

    def __init__(self, portrait: FaceObservation) -> None:
        self._portrait = portrait

    def observe(self, frame: Frame) -> FaceObservation:
        return scripted(self._portrait, **vars(gesture(frame.sequence / 25)))

    def close(self) -> None:
        pass


def acted_services(portrait: FaceObservation, engine: AnyEngine | None = None) -> Callable[[Settings], Services]:
    """Services of a real engine, whose callers play the puppet's script whatever their cameras show."""
    relief = engine or Relief()

    def services(settings: Settings) -> Services:
        return Services(
            Avatars(settings.data_dir, lambda: portrait, most=settings.max_avatars),
            Deployments(lambda _: Planned(CPU, ())),
            engine=lambda name: relief,
            observer=lambda wants: Acting(portrait),
            observe_portrait=lambda frame: portrait,
        )

    return services


class Cameras:
    """Callers without a page, beside tests that have no event loop: a thread in which they publish, until close()."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._open: list[tuple[Client, httpx.AsyncClient]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="cameras")
        self._thread.start()

    def publish(self, channel: str, token: str = "") -> None:
        self._done(self._publish(channel, token))

    def close(self) -> None:
        for client, http in self._open:
            self._done(client.close())
            self._done(http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _publish(self, channel: str, token: str) -> None:
        http = httpx.AsyncClient(
            base_url=self._address, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=60
        )
        client = Client(http)
        self._open.append((client, http))
        assert (await client.publish(channel)).status_code == 201

    def _done(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


class Drawer(Client):
    """A WHEP viewer who draws: it keeps what comes of motion."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__(http)
        self.records: list[Record] = []
        self.came: list[float] = []
        "When each came, seconds since 1970."
        self.sizes: list[int] = []
        self.line: RTCDataChannel | None = None

    async def __aenter__(self) -> Drawer:
        return self

    async def draw(self, channel: str = "room", *, audio: bool = True, **query: str) -> httpx.Response:
        if audio:
            self.connection.addTransceiver("audio", "recvonly")
        self.line = self.connection.createDataChannel("motion", ordered=False, maxRetransmits=0)
        self.line.on("message", self._take)
        met = str if self.through is str else without_candidates
        return await self.exchange(f"/whep/{channel}", {"as": "geometry", **query}, met)

    async def asset(self, **headers: str) -> httpx.Response:
        return await self.http.get(f"{self.session}/asset", headers=headers)

    def heard(self, first: int, last: int) -> list[tuple[float, Record]]:
        """When they came, and the records after `first` up to `last`."""
        return [(at, one) for at, one in zip(self.came, self.records, strict=True) if first < one.sequence <= last]

    def _take(self, data: bytes) -> None:
        self.sizes.append(len(data))
        self.came.append(time.time())
        self.records.append(motion.unpacked(data))
