"""Film: encoded pictures and sound into a fragmented MP4, which plays however suddenly it ends. Nothing is encoded here."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from fractions import Fraction
from typing import BinaryIO

import av
import av.error

from server.media.encode import AccessUnit, Form
from server.media.rates import CLOCK_RATE, SOUND_CLOCK

FRAGMENT_SECONDS = 1.0
"A fragment is written once it is this long, or with the next keyframe: what a killed server loses at most."
HELD_SECONDS = 0.5
"How long pictures wait for sound of the same moment, which a muted caller never sends."
SOUND_SECONDS = 0.02
"What browsers put into a packet of Opus; only the end of the last one depends on it."
NEAR_SECONDS, LED = 0.010, 0.01
"Sound that was captured further than this from where its own count puts it is led there, by so much of the time that goes by."
ASTRAY_SECONDS = 0.5
"And moved there at once where it is this far: its sender began anew."
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FilmFailed(RuntimeError):
    """Nothing more can be written; the message is the reason that everyone is told."""


class SoundClock:
    """Where on the film a packet of sound belongs. The caller counts samples; when they were captured is known on the clock
    of the pictures.

    The count is trusted for its evenness, and the clock for the place, to which the sound is led unheard.
    """

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._offset: float | None = None
        self._counted, self._last = 0, -1

    def place(self, position: int, captured: float) -> int | None:
        """Samples from the film's begin, ever more; None before it. `position`: the caller's count; `captured`: seconds."""
        here = (captured - self._origin) / SOUND_CLOCK
        astray = 0.0 if self._offset is None else here - position - self._offset
        if self._offset is None or abs(astray) > ASTRAY_SECONDS / SOUND_CLOCK:
            self._offset = float(here - position)
        elif abs(astray) > NEAR_SECONDS / SOUND_CLOCK:
            self._offset += math.copysign(LED * max(0, position - self._counted), astray)
        self._counted = position
        at = round(position + self._offset)
        if at <= self._last:
            return None
        self._last = at
        return at


class Film:
    """One film as it grows. One thread. Raises FilmFailed from whatever writes; then only `close` may follow."""

    def __init__(self, file: BinaryIO, form: Form, first: AccessUnit, sound: bool, note: str, whose: str) -> None:
        """`first`: the keyframe it begins with. `sound`: whether there may be any. `note`: Tiling.note of its quilts.

        `whose`: what the film itself says of the face that it shows (archive.mark_of).
        """
        self._file, self._first = _Whole(file), first
        self._container = av.open(
            self._file,
            "w",
            format="mp4",
            options={
                "movflags": "frag_keyframe+empty_moov+default_base_moof",
                "frag_duration": str(round(FRAGMENT_SECONDS * 1e6)),
                "max_interleave_delta": str(round(HELD_SECONDS * 1e6)),
            },
        )
        self._container.metadata["comment"] = note
        self._container.metadata["description"] = whose
        self._pictures = self._container.add_mux_stream("h264", width=form.width, height=form.height)
        self._frame = CLOCK_RATE // form.frames_per_second
        self._sound = self._container.add_stream("libopus", 48_000, layout="stereo") if sound else None
        self._clock = SoundClock(first.captured)

    def picture(self, unit: AccessUnit) -> None:
        packet = av.Packet(unit.data)
        packet.stream, packet.is_keyframe = self._pictures, unit.keyframe
        packet.pts = packet.dts = unit.pts - self._first.pts
        packet.time_base, packet.duration = Fraction(1, CLOCK_RATE), self._frame
        self._mux(packet)

    def sound(self, payload: bytes, position: int, captured: float) -> None:
        """One packet of Opus, as it came."""
        if self._sound is None or (at := self._clock.place(position, captured)) is None:
            return
        packet = av.Packet(payload)
        packet.stream = self._sound
        packet.pts = packet.dts = at
        packet.time_base, packet.duration = SOUND_CLOCK, round(SOUND_SECONDS / SOUND_CLOCK)
        self._mux(packet)

    def close(self) -> None:
        """Write what waits, and the end."""
        self._checked(self._container.close)

    def _mux(self, packet: av.Packet) -> None:
        self._checked(lambda: self._container.mux(packet))

    def _checked(self, work: Callable[[], None]) -> None:
        """FFmpeg buffers, and tells of a failed write one packet later, or never."""
        try:
            work()
        except (OSError, av.error.FFmpegError) as failure:
            raise _why(self._file.failure or failure) from failure
        if self._file.failure is not None:
            raise _why(self._file.failure)


class _Whole:
    """A file for FFmpeg whose writes are whole, or fail, and fail ever after: what follows a gap cannot be played."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.failure is not None:
            raise self.failure
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as failure:
            self.failure = failure
            raise
        return len(data)


def _why(failure: Exception) -> FilmFailed:
    if isinstance(failure, OSError) and failure.errno in FULL:
        return FilmFailed("the disk is full")
    return FilmFailed(f"the film cannot be written: {getattr(failure, 'strerror', None) or failure}")
