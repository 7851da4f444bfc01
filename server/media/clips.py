"""Clips: video files in and out. The rim for av.VideoFrame where no network is involved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from pipeline.frame import Frame


class ClipUnreadable(ValueError):
    """The file is no video that FFmpeg can decode; the message says what is wrong."""


@dataclass(frozen=True)
class ClipFacts:
    width: int
    height: int
    rate: Fraction
    "Frames a second; the average where it varies."
    frames: int
    "How many; 0 where the file does not say and its length does not tell."
    has_sound: bool
    comment: str
    "What its maker noted; mostly nothing."


def facts(path: Path) -> ClipFacts:
    """What a clip says of itself. Raises ClipUnreadable."""
    with _open(path) as container:
        video = container.streams.video[0]
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        frames = video.frames or int(rate * Fraction(container.duration or 0, av.time_base))
        return ClipFacts(
            video.width,
            video.height,
            rate,
            frames,
            bool(container.streams.audio),
            container.metadata.get("comment", ""),
        )


def frames(path: Path) -> Iterator[Frame]:
    """Every picture of a clip, upright, with its own time as `captured`. Raises ClipUnreadable."""
    with _open(path) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        rate = float(video.average_rate or 25)
        try:
            for number, picture in enumerate(container.decode(video)):
                pixels = np.rot90(picture.to_ndarray(format="rgb24"), k=round((picture.rotation or 0) / 90) % 4)
                at = picture.time if picture.time is not None else number / rate
                yield Frame(np.ascontiguousarray(pixels), captured=at, sequence=number)
        except av.error.FFmpegError as failure:
            raise ClipUnreadable(f"{path} cannot be decoded beyond {at_most(failure)}") from failure


def at_most(failure: Exception, length: int = 160) -> str:
    """A library's message, short enough for one line."""
    text = " ".join(str(failure).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _open(path: Path) -> InputContainer:
    if not path.is_file():
        raise ClipUnreadable(f"{path} is not a file")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, ValueError) as failure:
        raise ClipUnreadable(f"{path} is no video that can be read: {at_most(failure)}") from failure
    if not container.streams.video:
        container.close()
        raise ClipUnreadable(f"{path} holds no video stream")
    return container
