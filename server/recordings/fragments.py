"""Fragments: how much of a fragmented MP4 is whole (ISO/IEC 14496-12). Reads the boxes' heads alone, never the pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

BASE_OFFSET, DESCRIPTION, DURATION, SIZE, FLAGS = 0x01, 0x02, 0x08, 0x10, 0x20
"Flags of a tfhd: which optional fields follow, in this order."
DATA_OFFSET, FIRST_FLAGS, SAMPLE_DURATION, SAMPLE_SIZE, SAMPLE_FLAGS, SAMPLE_SHIFT = (
    0x1,
    0x4,
    0x100,
    0x200,
    0x400,
    0x800,
)
"Flags of a trun."


MOST_SAMPLES = 100_000
"Of one run: ours are a second long. A damaged count would else fill the memory."
MOST_HEAD = 1 << 22
"Bytes of a box that says something of pictures: of MOST_SAMPLES at most. A damaged size would else have the whole film in memory."
MOST_DESCRIBED = 200
"Bytes of a description that are read."


CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
"The UUID of the box that holds a C2PA manifest (C2PA 2.2, annex A.5)."


@dataclass(frozen=True)
class Whole:
    """What of a film survives a cut: everything up to the end of its last whole box."""

    bytes: int = 0
    pictures: int = 0
    seconds: float = 0.0
    "To the end of the last picture."


@dataclass(frozen=True)
class _Box:
    kind: bytes
    body: int
    "Where it begins, behind the head."
    end: int


def examine(path: Path) -> Whole:
    """What of the film at `path` is whole, nothing at all included. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        return _examine(file, size)


def described(path: Path) -> str:
    """What a film's head says of it in moov.udta.meta.ilst.desc, where iTunes puts a description; empty for nothing. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for moov in (box for box in _boxes(file, 0, size) if box.kind == b"moov"):
            for meta in _inside(file, moov, b"udta", b"meta"):
                entries = replace(meta, body=meta.body + 4)  # behind its version and flags
                for data in _inside(file, entries, b"ilst", b"desc", b"data"):
                    file.seek(data.body + 8)  # behind its type and locale
                    return file.read(min(data.end - data.body - 8, MOST_DESCRIBED)).decode("utf-8", "replace")
    return ""


def has_credentials(path: Path) -> bool:
    """Whether the film at `path` carries a C2PA manifest. Raises OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        for box in _boxes(file, 0, size):
            if box.kind == b"uuid" and box.end - box.body >= len(CREDENTIALS):
                file.seek(box.body)
                if file.read(len(CREDENTIALS)) == CREDENTIALS:
                    return True
    return False


def _examine(file: BinaryIO, size: int) -> Whole:
    whole, track, clock, pictures, ticks = 0, None, 1, 0, 0
    promised = (0, 0)
    for box in _boxes(file, 0, size):
        try:
            if box.kind == b"moov":
                track, clock = _picture_track(file, box)
            elif box.kind == b"moof" and track is not None:
                promised = _fragment(file, box, track)
                continue  # its pictures count once they are there
        except (struct.error, StopIteration, IndexError):
            break  # after a power failure a file may hold blocks that were never written
        if box.kind == b"mdat":
            pictures, ticks, promised = pictures + promised[0], max(ticks, promised[1]), (0, 0)
        whole = box.end
    return Whole(whole, pictures, ticks / max(clock, 1)) if track is not None else Whole()


def _boxes(file: BinaryIO, begin: int, end: int) -> Iterator[_Box]:
    """The whole boxes from `begin` on; one that reaches beyond `end` was cut short, and the last."""
    while begin + 8 <= end:
        file.seek(begin)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = begin + 8
        if size == 1 and begin + 16 <= end:
            size, body = struct.unpack(">Q", file.read(8))[0], begin + 16
        if size < body - begin or begin + size > end:
            return
        yield _Box(kind, body, begin + size)
        begin += size


def _inside(file: BinaryIO, box: _Box, *path: bytes) -> Iterator[_Box]:
    """Boxes in `box` at `path`."""
    for one in _boxes(file, box.body, box.end):
        if one.kind == path[0]:
            yield from [one] if len(path) == 1 else _inside(file, one, *path[1:])


def _content(file: BinaryIO, box: _Box) -> bytes:
    if box.end - box.body > MOST_HEAD:
        raise struct.error(f"a {box.kind!r} of {box.end - box.body} bytes")
    file.seek(box.body)
    return file.read(box.end - box.body)


def _picture_track(file: BinaryIO, moov: _Box) -> tuple[int | None, int]:
    """Number and ticks a second of the track that holds the pictures."""
    for track in _inside(file, moov, b"trak"):
        handler, header, media = [
            _content(file, next(_inside(file, track, *path)))
            for path in ((b"mdia", b"hdlr"), (b"tkhd",), (b"mdia", b"mdhd"))
        ]
        if handler[8:12] == b"vide":
            wide = 8 if header[0] == 1 else 0  # version 1 counts both of its times in 64 bits
            number = struct.unpack_from(">I", header, 12 + wide)[0]
            return number, struct.unpack_from(">I", media, 12 + (8 if media[0] == 1 else 0))[0]
    return None, 1


def _fragment(file: BinaryIO, moof: _Box, track: int) -> tuple[int, int]:
    """How many pictures a fragment promises, and when the last of them ends."""
    pictures = ticks = 0
    for run in _inside(file, moof, b"traf"):
        head = _content(file, next(_inside(file, run, b"tfhd")))
        if struct.unpack_from(">I", head, 4)[0] != track:
            continue
        time = _content(file, next(_inside(file, run, b"tfdt")))
        ticks = struct.unpack_from(">Q" if time[0] == 1 else ">I", time, 4)[0]
        for samples in _inside(file, run, b"trun"):
            durations = _durations(_content(file, samples), _default_duration(head))
            pictures, ticks = pictures + len(durations), ticks + sum(durations)
    return pictures, ticks


def _default_duration(head: bytes) -> int:
    flags = struct.unpack_from(">I", head)[0] & 0xFFFFFF
    at = 8 + (8 if flags & BASE_OFFSET else 0) + (4 if flags & DESCRIPTION else 0)
    return struct.unpack_from(">I", head, at)[0] if flags & DURATION else 0


def _durations(run: bytes, default: int) -> list[int]:
    flags = struct.unpack_from(">I", run)[0] & 0xFFFFFF
    count = struct.unpack_from(">I", run, 4)[0]
    if count > MOST_SAMPLES:
        raise struct.error(f"a run of {count} pictures")
    at = 8 + sum(4 for flag in (DATA_OFFSET, FIRST_FLAGS) if flags & flag)
    each = 4 * sum(bool(flags & flag) for flag in (SAMPLE_DURATION, SAMPLE_SIZE, SAMPLE_FLAGS, SAMPLE_SHIFT))
    if not flags & SAMPLE_DURATION:
        return [default] * count
    return [struct.unpack_from(">I", run, at + index * each)[0] for index in range(count)]
