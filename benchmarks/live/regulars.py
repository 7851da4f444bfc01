"""Regulars: callers with a viewer each, who come and go, and how old their pictures are meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from benchmarks.live import barcode
from server.webrtc.client import PictureTrack, playing, publishing
from server.webrtc.patches.ice import ice_of

UNHEARD = 6.0
"Seconds until a server has noticed that a peer has vanished (webrtc/peers.py)."
NUMBERS = 1 << barcode.BITS


def vanish(*transceivers: Any) -> None:
    """Be gone without a word, as after a crash or a pulled cable: `transceivers`, or receivers."""
    for one in transceivers:
        receiver = getattr(one, "receiver", one)
        ice: Any = ice_of(SimpleNamespace(receiver=receiver))
        if ice._query_consent_task is not None:
            ice._query_consent_task.cancel()
        for protocol in ice._protocols:
            protocol.transport.abort()
            protocol.send_stun, protocol.send_data = _nothing, _nothing_later  # aioice goes on for a while


def _nothing(*_: object) -> None: ...


async def _nothing_later(*_: object) -> None: ...


class Regular:
    """One channel's caller and viewer."""

    def __init__(self, base: str, channel: str, pictures: list[np.ndarray], rate: float) -> None:
        self.base, self.channel, self._pictures, self._rate = base, channel, pictures, rate
        self.watched = base
        "Where its viewer meets the server."
        self.seen: deque[tuple[float, float]] = deque(maxlen=500_000)
        "When each picture was decoded, time.monotonic(), and how old it was, seconds."
        self.there = False
        "Its pictures have come, and it does not leave yet."
        self.ended: list[str] = []
        "What ended for another reason than that it left."
        self._captured: dict[int, float] = {}
        self._offset = 0

    async def stay(self, seconds: float, abrupt: bool = False) -> None:
        """Come, stay, and leave: politely, or `abrupt`."""
        track = PictureTrack(self._take, self._rate)
        receivers: list[Any] = []
        opened: Callable[[str, Any], None] = lambda kind, receiver: receivers.append(receiver)  # noqa: E731
        async with (
            publishing(f"{self.base}/whip/{self.channel}?avatar=sample", track) as connection,
            playing(f"{self.watched}/whep/{self.channel}?as=quilt", opened=opened) as tracks,
        ):
            watching = asyncio.create_task(self._watch(tracks["video"]))
            try:
                await asyncio.sleep(seconds)
                if watching.done():
                    self.ended.append(repr(watching.exception()))
            finally:
                self.there = False
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            if abrupt:
                vanish(*connection.getTransceivers(), *receivers)
                await asyncio.sleep(UNHEARD)
        self._offset += 1000  # no number of the stay before is taken for one of the next

    def _take(self, number: int) -> np.ndarray:
        number = (number + self._offset) % NUMBERS
        self._captured[number] = time.monotonic()
        pixels = self._pictures[number % len(self._pictures)].copy()
        barcode.draw(pixels, number)
        return pixels

    async def _watch(self, track: MediaStreamTrack) -> None:
        last = -1
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                raise RuntimeError(f"the picture of {self.channel} ended") from None
            assert isinstance(frame, av.VideoFrame)
            now = time.monotonic()
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            number = barcode.read(luma[: barcode.HEIGHT, : barcode.WIDTH])
            if number is not None and number != last and number in self._captured:
                last, self.there = number, True
                self.seen.append((now, now - self._captured[number]))


async def holdings(http: httpx.AsyncClient, collect: bool = False, trim: bool = False) -> dict[str, float]:
    """What the witnessed server holds; `trim`: once memory that is free has been given back, `collect`: once all garbage is gone, too."""
    answer = await http.get("/witness", params={"collect": int(collect), "trim": int(trim)})
    answer.raise_for_status()
    held: dict[str, float] = answer.json()
    return held


async def settled(http: httpx.AsyncClient, before: dict[str, float], seconds: float = 45.0) -> dict[str, float]:
    """What the server holds once that is no more than `before` of anything but memory, or after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        held = await holdings(http, collect=True)
        if all(held[name] <= before[name] for name in held if name != "rss_mib") or time.monotonic() > until:
            return held
        await asyncio.sleep(0.5)
