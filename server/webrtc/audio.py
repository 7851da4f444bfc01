"""Audio: a caller's Opus packets to every viewer, unchanged: never decoded here, never encoded again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from server.media.rates import SOUND_CLOCK

WAITING = 10
"Packets that may wait for a slow viewer: 200 ms of sound. The oldest goes first."
HALF_RANGE = 1 << 31
Heard = Callable[[bytes, int], None]
"Takes a packet, and where it is in the caller's sound, in samples."


class Voice:
    """A caller's sound and who listens. Event loop only."""

    def __init__(self, track: MediaStreamTrack) -> None:
        self._listeners: set[Heard] = set()
        self._last: int | None = None
        self._position = 0
        # aiortc decodes every track and keeps the result until someone reads it
        self._drain = asyncio.create_task(_drain(track))

    def taken(self, packet: Any) -> None:
        """Pass on one RTP packet. What arrives out of order is left out: its place is already past."""
        if self._last is not None:
            ahead = (packet.timestamp - self._last) % (1 << 32)
            if not 0 < ahead < HALF_RANGE:
                return
            self._position += ahead
        self._last = packet.timestamp
        for heard in self._listeners:
            heard(packet.payload, self._position)

    def listen(self) -> VoiceTrack:
        track = VoiceTrack(self)
        self.join(track.put)
        return track

    def join(self, heard: Heard) -> None:
        self._listeners.add(heard)

    def leave(self, heard: Heard) -> None:
        self._listeners.discard(heard)

    async def close(self) -> None:
        self._drain.cancel()
        await asyncio.gather(self._drain, return_exceptions=True)


class VoiceTrack(MediaStreamTrack):
    """What one viewer's sender reads."""

    kind = "audio"

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._packets: deque[tuple[bytes, int]] = deque(maxlen=WAITING)
        self._came = asyncio.Event()

    def put(self, payload: bytes, position: int) -> None:
        self._packets.append((payload, position))
        self._came.set()

    async def recv(self) -> Any:
        while not self._packets:
            self._came.clear()
            await self._came.wait()
        payload, position = self._packets.popleft()
        packet = av.Packet(payload)
        packet.pts, packet.time_base = position, SOUND_CLOCK
        return packet

    def stop(self) -> None:
        self._voice.leave(self.put)
        super().stop()


async def _drain(track: MediaStreamTrack) -> None:
    while True:
        try:
            await track.recv()
        except MediaStreamError:
            return
