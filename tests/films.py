"""Films: pictures to record, and what is in a recorded file, read by FFmpeg."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pytest

from server.media.encode import AccessUnit, Encoder, form_for

SMALL = form_for(128, 96, 25)
BEGUN = 500.0
"Seconds of the camera's clock when the first picture was taken."


def units(count: int, keyframe_every: int = 40) -> list[AccessUnit]:
    """Encoded noise, 25 a second; the first is a keyframe, and so is every so many."""
    noise, encoder = np.random.default_rng(7), Encoder(SMALL)
    made = []
    for number in range(count):
        if number % keyframe_every == 0:
            encoder.ask_keyframe()
        picture = noise.integers(0, 255, (SMALL.height * 3 // 2, SMALL.width), np.uint8)
        made.append(encoder.encode(picture, BEGUN + number / 25))
    return made


@contextmanager
def smallest_files(bytes_: int) -> Iterator[None]:
    """No file of this process may become larger: the kernel itself refuses, in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@dataclass(frozen=True)
class Content:
    """What FFmpeg finds in a file."""

    pictures: list[bytes]
    "NAL units of each, without whatever parts them."
    times: list[float]
    keyframes: list[int]
    width: int
    height: int
    decoded: int
    sounds: list[float]
    "When each packet of sound begins, seconds; empty without a track."
    tracks: list[str]


def content(path: Path) -> Content:
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.dts is not None]
        video, tracks = file.streams.video[0], [stream.codec_context.name for stream in file.streams]
        size = video.width, video.height
        times = [_seconds(packet) for packet in packets]
    with av.open(str(path)) as file:
        decoded = sum(1 for _ in file.decode(video=0))
    with av.open(str(path)) as file:
        sound = [p for p in file.demux(audio=0) if p.dts is not None] if file.streams.audio else []
        sounds = [_seconds(packet) for packet in sound]
    return Content(
        [_prefixed(bytes(packet)) for packet in packets],
        times,
        [number for number, packet in enumerate(packets) if packet.is_keyframe],
        *size,
        decoded,
        sounds,
        tracks,
    )


def _seconds(packet: av.Packet) -> float:
    assert packet.pts is not None
    return float(packet.pts * packet.time_base)


def playable(path: Path) -> int:
    """How many pictures a player shows of a file that may end in the middle of one."""
    shown = 0
    with av.open(str(path)) as file, suppress(av.error.InvalidDataError):
        for _ in file.decode(video=0):
            shown += 1
    return shown


def probed(path: Path) -> dict[str, Any]:
    """What FFmpeg's own program says of the pictures: codec, size and how many it decodes. Nothing in the file may displease it."""
    if shutil.which("ffprobe") is None:
        pytest.skip("no ffprobe found: apt-get install ffmpeg")
    asked = "stream=codec_name,profile,width,height,nb_read_frames"
    command = [
        "ffprobe",
        "-v",
        "warning",
        "-count_frames",
        "-select_streams",
        "v",
        "-show_entries",
        asked,
        "-of",
        "json",
    ]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)["streams"][0]


def nal_units(annex_b: bytes) -> bytes:
    """The NAL units of an access unit, one after another, without start codes."""
    return b"".join(part.rstrip(b"\0") for part in annex_b.split(b"\0\0\1"))


def _prefixed(sample: bytes) -> bytes:
    """The same of an MP4 sample, where each is preceded by its length."""
    found, at = [], 0
    while at < len(sample):
        length = int.from_bytes(sample[at : at + 4], "big")
        found.append(sample[at + 4 : at + 4 + length].rstrip(b"\0"))
        at += 4 + length
    return b"".join(found)
