"""Photo parts: a JPEG's or PNG's bytes without what no portrait needs, and how the camera was held. Bytes alone, no decoder.

Metadata is where photo libraries break: a number of the wrong kind in EXIF, thousands of colour profiles, an index of further
pictures. None of it reaches the decoder; what does is counted first.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

UPRIGHT = 1
"EXIF's orientation of a picture that is shown as it is stored."
MOST_SCANS = 64
"Of a JPEG: cameras write 1 or 3, progressive encoders about 10, and each is a pass over the whole picture."
MOST_CHUNKS = 50_000
"Of a PNG, or segments of a JPEG: 64 megapixels in pieces of 8 kB are 30,000."

_ORIENTATION = 0x0112
_FORMATS = {1: "B", 3: "H", 4: "I"}
"TIFF's kinds of whole numbers; the standard has the second, and some software writes the others."
_STANDALONE = frozenset((0x01, *range(0xD0, 0xD8)))
_START, _END, _SCAN, _EXIF_SEGMENT = 0xD8, 0xD9, 0xDA, 0xE1
_KEPT_SEGMENTS = frozenset((*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD, 0xE0, 0xEE))
"Frame, Huffman and quantisation tables, scans, restarts, JFIF's head, and Adobe's, which says whether it is CMYK."
_MARKER = re.compile(rb"\xff[^\xff]", re.DOTALL)
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_KEPT_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))


class TooComplex(ValueError):
    """Decoding it would take far longer than its size lets expect."""


def stripped(data: bytes) -> tuple[bytes, int]:
    """What a decoder needs of `data`, and its EXIF orientation, 1..8. Formats but JPEG and PNG stay whole, as UPRIGHT.

    Raises TooComplex.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    return _png(data) if data.startswith(b"\x89PNG\r\n\x1a\n") else (data, UPRIGHT)


def orientation(exif: bytes) -> int:
    """EXIF 2.32, table 4: how the picture is held, 1..8; UPRIGHT where that cannot be read. Never raises."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        return UPRIGHT if order is None else _in_first_directory(tiff, order)
    except struct.error:
        return UPRIGHT


def _in_first_directory(tiff: bytes, order: str) -> int:
    (begin,) = struct.unpack_from(order + "I", tiff, 4)
    (entries,) = struct.unpack_from(order + "H", tiff, begin)
    for number in range(entries):
        at = begin + 2 + 12 * number
        tag, kind = struct.unpack_from(order + "HH", tiff, at)
        if tag == _ORIENTATION and kind in _FORMATS:
            (value,) = struct.unpack_from(order + _FORMATS[kind], tiff, at + 8)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def _jpeg(data: bytes) -> tuple[bytes, int]:
    kept, held, scans = [data[:2]], UPRIGHT, 0
    for marker, segment, content in _segments(data):
        if marker == _EXIF_SEGMENT and content.startswith(b"Exif\0\0") and held == UPRIGHT:
            held = orientation(content)
        scans += marker == _SCAN
        if scans > MOST_SCANS:
            raise TooComplex(f"it is made of more than {MOST_SCANS} scans")
        if marker in _KEPT_SEGMENTS or marker == _END:
            kept.append(segment)
    return b"".join(kept), held


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(marker, the segment as it lies there, its content) after the first marker, up to the end of the first picture.

    A scan's content is its head alone, the segment everything up to the next marker. Garbage between is passed over, as
    decoders do.
    """
    at = 2
    for _ in range(MOST_CHUNKS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        at = found.start()
        marker = data[at + 1]
        if marker == _END:
            yield marker, data[at : at + 2], b""
            return
        if marker in _STANDALONE or marker in (0x00, _START):
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + max(length, 2)
        content = data[at + 4 : end]
        if marker == _SCAN:
            following = _AFTER_SCAN.search(data, end)
            end = following.start() if following else len(data)
        yield marker, data[at:end], content
        at = end
    raise TooComplex(f"it is made of more than {MOST_CHUNKS} pieces")


def _png(data: bytes) -> tuple[bytes, int]:
    kept, held = [data[:8]], UPRIGHT
    at = 8
    for _ in range(MOST_CHUNKS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if kind == b"eXIf":
            held = orientation(data[at + 8 : end - 4])
        if kind in _KEPT_CHUNKS:
            kept.append(data[at:end])
        if end >= len(data) or kind == b"IEND":
            return b"".join(kept), held
        at = end
    raise TooComplex(f"it is made of more than {MOST_CHUNKS} pieces")
