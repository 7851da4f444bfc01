"""Quilt film: the file that a command writes pictures to, with the driver's sound and content credentials: under which name, and whole or
not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from display.screen import Screen
from display.tiling import OFF_AXIS
from pipeline.stages import Picture
from server.media import clips
from server.media.encode import CHROMA_IN_THE_MIDDLE
from server.provenance.credentials import Signer, Unsigned
from server.provenance.statement import Statement

QUILT_NAME = re.compile(r"_qs(\d+)x(\d+)a(\d+(?:\.\d+)?|\.\d+)$")
"How Looking Glass software reads the tiling from a quilt's file name: columns, rows, aspect."
TIME_BASE = Fraction(1, 90_000)
PICTURE_QUALITY = 18
"x264's constant rate factor; 18 is commonly taken as visually lossless."


class OutputRefused(ValueError):
    """The output cannot be written under that name or in that place; the message says what can."""


def checked_output(out: Path, target: Screen) -> Path:
    """`out`, with the tiling in its name if it was not there. Raises OutputRefused."""
    if out.suffix.lower() != ".mp4":
        raise OutputRefused(f"{out} would not be an MP4 file: name it {out.stem or 'hologram'}.mp4")
    if not out.parent.is_dir():
        raise OutputRefused(f"the folder {out.parent} does not exist: mkdir -p {out.parent}")
    named = QUILT_NAME.search(out.stem)
    if target.views == 1:
        if named:
            raise OutputRefused(f"{out.name} names a quilt, but a single view is asked for: leave {named[0]} out")
        return out
    if named is None:
        return out.with_name(f"{out.stem}{target.file_suffix}{out.suffix}")
    columns, rows, aspect = int(named[1]), int(named[2]), float(named[3])
    if (columns, rows) != (target.columns, target.rows) or abs(aspect - target.aspect) > 0.01:
        raise OutputRefused(
            f"{out.name} names another tiling than {target.name} has: end it in {target.file_suffix}{out.suffix}"
        )
    return out


class Seal:
    """Signs a film before it appears."""

    def __init__(self, signer: Signer | None, name: str, stated: Statement) -> None:
        self._signer, self._name, self._stated = signer, name, stated
        self.failure = ""
        "Why it could not."

    def put(self, film: Path) -> Path:
        """A signed copy of `film`, or `film` itself."""
        if self._signer is None:
            return film
        try:
            return self._signer.film(film, self._stated.told(), self._name)
        except Unsigned as failure:
            self.failure = str(failure)
            return film


@contextmanager
def film_file(
    out: Path, driver: Path, target: Screen, clip: clips.ClipFacts, seal: Seal
) -> Iterator[Callable[[Picture], None]]:
    """Write pictures to `out`, which appears whole or not at all; the driver's sound is copied beside them."""
    part = out.with_name(f".{out.name}.part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            if target.views > 1:
                container.metadata["comment"] = OFF_AXIS
            film = _stream(container, target, clip)
            sound = _copied_sound(container, driver) if clip.has_sound else None

            last = -(1 << 62)

            def write(picture: Picture) -> None:
                nonlocal last
                last = max(round(picture.captured / TIME_BASE), last + 1)  # some clips' times stand or go back
                video = av.VideoFrame.from_ndarray(picture.yuv, format="yuv420p")
                video.pts, video.time_base = last, TIME_BASE
                container.mux(film.encode(video))

            yield write
            container.mux(film.encode(None))
            if sound is not None:
                sound()
        os.replace(seal.put(part), out)
    except av.error.FFmpegError as failure:
        raise OutputRefused(f"{out} cannot be written: {clips.at_most(failure)}") from failure
    except OSError as failure:
        raise OutputRefused(f"{out} cannot be written: {failure.strerror or failure}") from failure
    finally:
        part.unlink(missing_ok=True)


def _stream(container: OutputContainer, target: Screen, clip: clips.ClipFacts) -> VideoStream:
    """H.264 of the quilt's size, in an encoder's even pixels."""
    film = container.add_stream("libx264", rate=clip.rate)
    film.width = target.quilt_width + target.quilt_width % 2
    film.height = target.quilt_height + target.quilt_height % 2
    film.pix_fmt, film.time_base = "yuv420p", TIME_BASE
    film.codec_context.time_base = TIME_BASE  # else 1/rate, in which two pictures of a phone's clip may be one
    film.codec_context.options = {
        "crf": str(PICTURE_QUALITY),
        "preset": "veryfast",
        "x264-params": f"chromaloc={CHROMA_IN_THE_MIDDLE}",
    }
    # limited, BT.601: what display/colour.py converts to
    film.codec_context.color_range, film.codec_context.colorspace = 1, 6
    return film


def _copied_sound(container: OutputContainer, driver: Path) -> Callable[[], None] | None:
    """Announce the driver's sound in `container`; what comes back copies its packets, undecoded."""
    with av.open(str(driver)) as source:
        if source.streams.audio[0].codec_context.name not in ("aac", "mp3", "opus", "ac3", "alac"):
            return None  # MP4 cannot carry it
        copy = container.add_stream_from_template(source.streams.audio[0])

    def write() -> None:
        with av.open(str(driver)) as source:
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    container.mux(packet)

    return write
