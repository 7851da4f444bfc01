"""Audio: the relay of sound: a caller's Opus packets to every viewer, unchanged: never decoded here, never encoded again."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import av
import structlog
from aiortc.mediastreams import MediaStreamTrack

from server.media.rates import SOUND_CLOCK
from server.tally import Tally
from server.webrtc import patches

WAITING = 10
"Packets that may wait for a slow viewer: 200 ms of sound. The oldest goes first."
JUMP_SECONDS = 2.0
"A timestamp that runs ahead of the clock by more was set anew: no sender is silent into the future."
RESTART = 16
"So many packets in a row from before the newest are no late ones: the sender counts anew."
EMPTY, NOT_OPUS = "empty sound packets left out", "sound packets that are not Opus left out"
_RATE = SOUND_CLOCK.denominator
Heard = Callable[[bytes, int], None]
"Takes a packet, and where it is in the caller's sound, in samples."


class Timeline:
    """Where packets are in a sound that goes on, whatever their sender does to its clock. Told the time, knows no clock."""

    def __init__(self) -> None:
        self._last: tuple[int, int, int, float] | None = None
        "Source, sequence number, timestamp and arrival of the newest packet."
        self._position = self._late = 0

    def place(self, source: int, number: int, timestamp: int, now: float) -> int | None:
        """The position in samples of a packet that came at `now`; None where its place is already past.

        Timestamps tell it. Where they jump (replaceTrack, a sender that starts again: another source, or numbers and
        times that begin anew) the time that went by does.
        """
        if self._last is not None:
            source_before, number_before, timestamp_before, then = self._last
            if source == source_before and -_signed(number - number_before, 16) >= 0 and self._late < RESTART:
                self._late += 1
                return None
            passed = max(1, round((now - then) * _RATE))
            ahead = _signed(timestamp - timestamp_before, 32)
            anchored = source == source_before and self._late < RESTART and 0 < ahead < passed + JUMP_SECONDS * _RATE
            self._position += ahead if anchored else passed
        self._late = 0
        self._last = source, number, timestamp, now
        return self._position


def _signed(difference: int, bits: int) -> int:
    """Of two numbers that wrap: how far the one is ahead of the other, negative where it is behind."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half


class Voice:
    """The audio relay of one caller: the sound and who listens. Event loop only."""

    def __init__(self, receiver: Any, **facts: Any) -> None:
        """Before the receiver starts: aiortc would decode what nobody needs decoded. `facts` are logged with what goes wrong."""
        self._listeners: set[Heard] = set()
        self._timeline = Timeline()
        self.left_out = Tally(structlog.get_logger(__name__), **facts)
        self.muted = False
        "Nothing is passed on."
        self.hear(receiver)

    def hear(self, receiver: Any) -> None:
        """Pass on what comes there too: of a caller who comes back by another connection. Before the receiver starts."""
        patches.take_packets(receiver, self.taken)

    def taken(self, packet: Any, data: bytes, codec: Any) -> bool:
        """Pass on one RTP packet. What arrives out of order is left out."""
        if codec.name.lower() != "opus":
            self.left_out.count(NOT_OPUS, codec=codec.name)
            return False
        position = self._timeline.place(packet.ssrc, packet.sequence_number, packet.timestamp, time.monotonic())
        if not data:  # a decoder takes 0 bytes for the end of the sound
            self.left_out.count(EMPTY)
        elif position is not None and not self.muted:
            for heard in self._listeners:
                heard(data, position)
        return False

    @property
    def listeners(self) -> int:
        """How many hear it, viewers and recordings."""
        return len(self._listeners)

    def listen(self) -> VoiceTrack:
        track = VoiceTrack(self)
        self.join(track.put)
        return track

    def join(self, heard: Heard) -> None:
        self._listeners.add(heard)

    def leave(self, heard: Heard) -> None:
        self._listeners.discard(heard)


class VoiceTrack(MediaStreamTrack):
    """What one viewer's sender reads."""

    kind = "audio"

    def __init__(self, voice: Voice) -> None:
        super().__init__()
        self._voice = voice
        self._packets: deque[tuple[bytes, int]] = deque(maxlen=WAITING)
        self._came = asyncio.Event()

    def put(self, payload: bytes, position: int) -> None:
        """Hear one Opus packet, `position` samples of 1/48000 s into the call; the oldest of WAITING makes room."""
        self._packets.append((payload, position))
        self._came.set()

    async def recv(self) -> Any:
        """The next packet as aiortc's sender takes it, once there is one: coded already, never a frame."""
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
