"""Mixer: one call's sound for many: voices in as they are released, for each listener a stream of Opus out, in a thread of its own.

It adds (server/media/mixing.py) and encodes once for all who are not heard themselves. What it costs: docs/calls.md.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from weakref import WeakSet

import av
import numpy as np
import structlog
from av.audio.codeccontext import AudioCodecContext

from server.media.mixing import Mixer, Mixes
from server.media.playout import BLOCK, Playout
from server.tally import Tally

RATE = 48_000
TICK = BLOCK / RATE
BEHIND = 0.2
"Seconds behind which it does not make up for what it missed."
LEAD = 0.03
"Seconds by which voices are released sooner for it: a tick that a voice waits to begin with, and half of one on the average."
KEPT = 50
"Blocks for which somebody who is silent again keeps an encoder: by then it says what everybody's does."
PRIMED = 2
"Blocks that a new encoder hears before: its listener's decoder comes from everybody's."
OPTIONS = {
    "application": "voip",
    "compression_level": "5",
    "frame_duration": "20",
    "fec": "1",
    "packet_loss": "10",
}
BITS = 64_000
FAILED, LATE, UNDECODABLE = "mixing failed", "the mixer is behind", "sound packets that cannot be decoded"
Key = int | None
"Whose stream: a seat's, or everybody's who is not heard."
Delivered = Callable[[dict[Key, bytes], int], None]
"Takes each stream's packet of one tick, in the event loop, and its position in samples."


class Decoder:
    """One voice's, in mono."""

    def __init__(self, told: Tally) -> None:
        self._told = told
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, AudioCodecContext)
        context.layout = "mono"  # type: ignore[assignment]
        self._context, self._configuration = context, 0x78

    def decode(self, payload: bytes) -> np.ndarray:
        self._configuration = payload[0]
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError as error:
            self._told.count(UNDECODABLE, error=str(error))
            frames = []
        if not frames:
            return np.zeros(BLOCK, np.float32)
        return np.concatenate([np.float32(frame.to_ndarray()[0]) / 32768 for frame in frames])

    def conceal(self) -> np.ndarray:
        """A packet of a header alone is one that was lost to libopus (opus_decode_frame: "payloads of 1 trigger PLC")."""
        configuration = self._configuration
        made = self.decode(bytes([configuration & 0xFC]))
        self._configuration = configuration
        return made


class Encoder:
    """One stream's, in stereo."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout, context.format = RATE, "stereo", "flt"  # type: ignore[assignment]
        context.bit_rate, context.options = BITS, OPTIONS
        self._context, self._at = context, 0

    def encode(self, mix: np.ndarray) -> bytes:
        """The packet of [BLOCK, 2] float32."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mix, np.float32).reshape(1, -1), "flt", "stereo")
        frame.sample_rate, frame.pts = RATE, self._at
        self._at += BLOCK
        return b"".join(bytes(packet) for packet in self._context.encode(frame))


class Streams:
    """Which encoder serves whom: one for all who are not heard, and one for each who is, for a while longer than that."""

    def __init__(self, encoder: Callable[[], Encoder] = Encoder) -> None:
        self._make = encoder
        self._everybody = encoder()
        self._own: dict[int, tuple[Encoder, int]] = {}
        "Seat -> its encoder, and blocks since its voice was in the mix."
        self._before: list[np.ndarray] = []
        "The newest of everybody's mixes."

    def encode(self, mixes: Mixes, listening: set[Key]) -> dict[Key, bytes]:
        """One packet for everybody, and one for each of those `listening` who needs another."""
        for seat in mixes.without.keys() & listening:
            assert seat is not None
            self._own[seat] = (self._own[seat][0] if seat in self._own else self._primed()), 0
        self._own = {
            seat: (encoder, since + 1)
            for seat, (encoder, since) in self._own.items()
            if since < KEPT and seat in listening
        }
        packets: dict[Key, bytes] = {
            seat: encoder.encode(mixes.without.get(seat, mixes.everybody)) for seat, (encoder, _) in self._own.items()
        }
        if listening - packets.keys():
            packets[None] = self._everybody.encode(mixes.everybody)
        self._before = [*self._before, mixes.everybody][-PRIMED:]
        return packets

    def _primed(self) -> Encoder:
        encoder = self._make()
        for mix in self._before:
            encoder.encode(mix)
        return encoder


class Desk:
    """One call's, without a clock: packets of voices in, a packet for each stream out, TICK after TICK."""

    def __init__(self, told: Tally) -> None:
        self._told = told
        self._mixer, self._streams = Mixer(), Streams()
        self._voices: dict[int, Playout] = {}

    def tick(
        self, came: Sequence[tuple[int, bytes, int]], seats: Sequence[int], listening: frozenset[Key]
    ) -> dict[Key, bytes]:
        """`came`: (seat, packet, position) since the last one. `seats`: who sits there, from left to right."""
        for seat in self._voices.keys() - set(seats):
            del self._voices[seat]
        for seat, payload, at in came:
            if seat in seats:
                if seat not in self._voices:
                    self._voices[seat] = Playout(Decoder(self._told))
                self._voices[seat].put(payload, at)
        blocks = {seat: block for seat, voice in self._voices.items() if (block := voice.take()) is not None}
        mixes = self._mixer.mix(blocks, seats)
        if not len(mixes.everybody):
            mixes = Mixes(np.zeros((BLOCK, 2), np.float32), {})
        return self._streams.encode(mixes, set(listening)) if listening else {}


_threads: WeakSet[MixingThread] = WeakSet()
_finished: list[float] = []
"Seconds of each that has ended."


def spent() -> float:
    """Seconds of processor time that mixing has taken since the server began."""
    return sum(_finished) + sum(thread.seconds for thread in _threads)


class MixingThread:
    """Mixes every TICK until closed. `put` and the like in the event loop."""

    def __init__(self, deliver: Delivered) -> None:
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._told = Tally(structlog.get_logger(__name__))
        self._lock = threading.Lock()
        self._came: list[tuple[int, bytes, int]] = []
        self._seats: tuple[int, ...] = ()
        self._listening: frozenset[Key] = frozenset()
        self._closed = threading.Event()
        self.seconds = 0.0
        "Of processor time that it has taken."
        _threads.add(self)
        self._thread = threading.Thread(target=self._run, name="mixer", daemon=True)
        self._thread.start()

    def put(self, seat: int, payload: bytes, position: int) -> None:
        """A packet of a seat's voice, whose time has come."""
        with self._lock:
            self._came.append((seat, payload, position))

    def arrange(self, seats: Sequence[int], listening: frozenset[Key]) -> None:
        """Who sits there, from left to right, and who listens: seats, and None for those who have none."""
        with self._lock:
            self._seats, self._listening = tuple(seats), listening

    def close(self) -> None:
        """The thread ends with the block that it is mixing; nobody waits for it."""
        self._closed.set()

    def _run(self) -> None:
        desk = Desk(self._told)
        due, number = time.monotonic(), 0
        while not self._closed.wait(max(0.0, due - time.monotonic())):
            try:
                self._tick(desk, number * BLOCK)
            except Exception as error:
                self._told.count(FAILED, error=repr(error))
            self.seconds = time.thread_time()
            due, number = due + TICK, number + 1
            if time.monotonic() - due > BEHIND:
                missed = int((time.monotonic() - due) / TICK)
                self._told.count(LATE, missed)
                due, number = due + missed * TICK, number + missed
        _finished[:] = [sum(_finished) + self.seconds]
        _threads.discard(self)

    def _tick(self, desk: Desk, position: int) -> None:
        with self._lock:
            came, self._came = self._came, []
            seats, listening = self._seats, self._listening
        packets = desk.tick(came, seats, listening)
        if packets:
            with suppress(RuntimeError):  # the loop may have been closed meanwhile
                self._loop.call_soon_threadsafe(self._deliver, packets, position)
