"""Live video: the newest picture of a stream that comes in, decoded in a thread of its own and never waited for.

How late a picture is counts from the arrival of its first packet; its age, from its capture. Nothing waits without a bound
in time, before the decoder or behind it; nobody waits for the decoder's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import structlog
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from server.media.rates import CLOCK_RATE, Rate
from server.tally import Tally
from server.webrtc.allowance import Allowance
from server.webrtc.backlog import TOO_SLOW, Backlog, Limits
from server.webrtc.bitstream import Header
from server.webrtc.capture import Captured, by_arrival
from server.webrtc.jitter import IMPATIENCE, PATIENCE, Assembly, Coded
from server.webrtc.patches.receivers import hold_back, take_packets

UNDECODABLE, BROKEN = "pictures cannot be decoded", "the decoder broke"
DECODER_THREADS = 2
"For pictures in several slices; one in a single slice keeps one of them busy. FFmpeg would take one for each core."
DECODERS = {"VP8": "libvpx", "H264": "h264"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reception:
    """How a stream comes in, since it began. Times in seconds of time.monotonic()."""

    arrived: int
    "Whole pictures, put together from packets."
    decoded: int
    overtaken: int
    "Decoded pictures that a newer one overtook before anybody took them."
    last_arrived: float | None
    last_decoded: float | None
    lost: dict[str, int]
    "Reason -> pictures that came and were not shown."
    codec: str
    "VP8 or H264; empty while none has come."
    width: int
    height: int
    "Of the newest picture decoded, else of the newest one announced; 0 while unknown."


class LiveVideo(MediaStreamTrack):
    """`take` and `recv` in the event loop; one of them is used."""

    kind = "video"

    def __init__(
        self,
        receiver: Any,
        limits: Limits,
        sprop: dict[int, bytes] | None = None,
        captured: Captured = by_arrival,
        **facts: Any,
    ) -> None:
        """Before the receiver starts. `sprop`: payload type -> parameter sets that stand in the SDP alone. `facts` are
        logged with what goes wrong."""
        super().__init__()
        self._sprop, self._captured = dict(sprop or {}), captured
        self._event_loop = asyncio.get_running_loop()
        self._assembly, self._backlog = Assembly(), Backlog(limits)
        self._decoder = _Decoder(limits)
        self._newest: tuple[av.VideoFrame, float] | None = None
        self._came, self._work = asyncio.Event(), threading.Condition()
        self._closed = False
        self._broke: Exception | None = None
        self._failed = Tally(_log, **facts)
        self._arrived = self._decoded = self._overtaken = self._too_slow = 0
        self._last_arrived: float | None = None
        self._last_decoded: float | None = None
        self._codec, self._size = "", (0, 0)
        self._rate, self._allowance = Rate(), Allowance()
        take_packets(receiver, self._packet)
        hold_back(receiver, lambda: self._allowance.most(time.monotonic()))
        self._thread = threading.Thread(target=self._decode, name="video decoder", daemon=True)
        self._thread.start()

    async def take(self) -> tuple[av.VideoFrame, float]:
        """The newest picture that was not taken yet, and when it was captured. Raises MediaStreamError once stopped, and RuntimeError
        where no picture will ever come."""
        while True:
            with self._work:
                newest, self._newest = self._newest, None
            if newest is not None:
                return newest
            if self._broke is not None:
                raise RuntimeError(f"{BROKEN}: {self._broke!r}") from self._broke
            if self.readyState != "live":
                raise MediaStreamError
            self._came.clear()
            await self._came.wait()

    async def recv(self) -> av.VideoFrame:
        picture, _ = await self.take()
        return picture

    async def end_with(self, track: MediaStreamTrack) -> None:
        """Stop when `track`, the receiver's own, ends."""
        with suppress(MediaStreamError):
            while True:
                await track.recv()
        self.stop()

    def stop(self) -> None:
        """The thread ends with the picture that it is decoding; nobody waits for it."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._came.set()
        super().stop()

    def report(self) -> Reception:
        with self._work:
            lost = dict(self._backlog.lost) | self._failed.counts
            width, height = self._size if self._decoded else self._backlog.announced or (0, 0)
            return Reception(
                self._arrived,
                self._decoded,
                self._overtaken,
                self._last_arrived,
                self._last_decoded,
                {reason: count for reason, count in lost.items() if count},
                self._codec,
                width,
                height,
            )

    def _packet(self, packet: Any, data: bytes, codec: Any) -> bool:
        """Whether to ask for a keyframe."""
        now = time.monotonic()
        resends = any(one.type == "nack" and not one.parameter for one in codec.rtcpFeedback)
        ask = False
        if (sets := self._sprop.pop(packet.payload_type, None)) is not None:
            self._backlog.prime(sets)
        for whole in self._assembly.add(packet, data, codec, now, PATIENCE if resends else IMPATIENCE):
            picture = replace(whole, captured=self._captured(packet.ssrc, whole.timestamp, whole.arrived))
            self._rate.add(now, len(picture.data))
            with self._work:
                self._arrived += 1
                self._last_arrived, self._codec = picture.arrived, codec.name
                ask |= self._backlog.offer(picture, now)
                self._work.notify()
        with self._work:
            if self._backlog.lost[TOO_SLOW] > self._too_slow:
                self._too_slow = self._backlog.lost[TOO_SLOW]
                self._allowance.too_much(now, self._rate.bits(now))
            if self._decoder.failed:
                self._decoder.failed = False
                ask |= self._backlog.failed(now)
        return ask

    def _decode(self) -> None:
        try:
            while (taken := self._next()) is not None:
                self._decode_one(*taken)
        except Exception as error:  # ours: whoever takes pictures has to know that none will come
            self._broke = error
            self._wake()
        finally:
            self._decoder.close()

    def _decode_one(self, coded: Coded, told: Header) -> None:
        try:
            pictures = self._decoder.decode(coded, told)
        except Exception as error:  # FFmpegError, and what else a decoder may do with a stranger's bytes
            self._failed.count(UNDECODABLE, codec=coded.codec.name, error=str(error))
            return
        for picture, captured in pictures:
            self._show(picture, captured)

    def _next(self) -> tuple[Coded, Header] | None:
        with self._work:
            while not self._closed:
                if (taken := self._backlog.take(time.monotonic())) is not None:
                    return taken
                self._work.wait()
        return None

    def _show(self, picture: av.VideoFrame, captured: float) -> None:
        with self._work:
            self._decoded += 1
            self._last_decoded, self._size = time.monotonic(), (picture.width, picture.height)
            self._overtaken += self._newest is not None
            self._newest = picture, captured
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop may have been closed meanwhile
            self._event_loop.call_soon_threadsafe(self._came.set)


class _Decoder:
    """One stream's decoder, made anew where the codec changes or a keyframe cannot be decoded. One thread's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codec = ""
        self._context: av.VideoCodecContext | None = None
        self._captures: dict[int, float] = {}
        self._count = 0
        self.failed = False

    def decode(self, coded: Coded, told: Header) -> list[tuple[av.VideoFrame, float]]:
        """The pictures that `coded` completes, each with its capture: a decoder may give them in another order."""
        context = self._opened(coded.codec.name)
        packet = av.Packet(coded.data)
        self._count += 1
        packet.pts, packet.time_base = self._count, Fraction(1, CLOCK_RATE)
        self._captures[self._count] = coded.captured
        self._captures.pop(self._count - 32, None)  # no decoder holds back more
        try:
            pictures = context.decode(packet)
        except Exception as error:
            self.failed = True
            if told.keyframe or isinstance(error, EOFError):  # nothing that comes will mend this one
                self.close()
            raise
        return [(picture, self._captures.get(picture.pts or 0, coded.captured)) for picture in pictures]

    def close(self) -> None:
        """Let go of the decoder, in the thread that decodes.

        PyAV frees one while all of Python stands still, and FFmpeg then waits for the pictures that its own threads are at:
        10..14 ms with 4K H.264 on a quiet machine, more on a busy one. Drained before, it has none, and draining stops nobody.
        """
        context, self._context = self._context, None
        if context is not None and context.is_open:
            with suppress(Exception):  # what a stranger's stream left in it
                context.decode(None)

    def _opened(self, codec: str) -> av.VideoCodecContext:
        if self._context is None or codec != self._codec:
            self.close()
            self._codec = codec
            context = av.CodecContext.create(DECODERS[codec.upper()], "r")
            assert isinstance(context, av.VideoCodecContext)
            context.thread_count = DECODER_THREADS
            context.options = {"max_pixels": str(self._limits.most_pixels)}
            self._context = context
        return self._context
