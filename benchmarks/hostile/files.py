"""Files: photos, films and forms that were changed on their way, or were never what they say."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from benchmarks.hostile.chance import WORDS, changed, weighted

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
SIZES = (0, 1, 7, 8, 2**31 - 1, 2**32 - 1)
"What a box of MP4 may say of its own length."
BOUNDARY = b"----x"


def photos(luck: random.Random) -> Iterator[bytes]:
    """Without end: small ones of every format, changed; each with a piece of another."""
    made = [_photo(luck, kind) for kind in FORMATS]
    while True:
        one = luck.choice(made)
        match luck.randrange(10):
            case 0:
                yield one
            case 1:
                yield one[: luck.randrange(len(one))]
            case 2:
                yield one[: luck.randrange(2, 40)] + luck.randbytes(luck.choice((10, 3000, 100_000)))
            case _:
                yield changed(luck, one, luck.choice(made))


def _photo(luck: random.Random, kind: str) -> bytes:
    pixels = np.frombuffer(luck.randbytes(16 * 16 * 3), np.uint8).reshape(16, 16, 3)
    file = io.BytesIO()
    picture = Image.fromarray(pixels).resize((200, 240))
    picture.save(file, kind, **({"progressive": True} if kind == "JPEG" else {}))
    return file.getvalue()


def films(luck: random.Random) -> Iterator[bytes]:
    """Without end: a small MP4, with boxes whose lengths and kinds lie, that come twice or in another's place; and photos, since stills
    are verified too."""
    whole, stills = _film(), photos(luck)
    while True:
        match luck.randrange(8):
            case 0:
                yield next(stills)
            case 1:
                yield changed(luck, whole)
            case 2:
                yield whole[: luck.randrange(len(whole))]
            case 3:
                yield _box(b"ftyp", b"isom" + bytes(4)) + _nested(luck, 40)
            case _:
                yield _reboxed(luck, whole)


def _film() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 20, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _box(kind: bytes, inside: bytes, size: int | None = None) -> bytes:
    return struct.pack(">I4s", len(inside) + 8 if size is None else size, kind) + inside


def _nested(luck: random.Random, deep: int) -> bytes:
    kinds = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"uuid", b"meta", b"moof", b"jumb", b"free")
    inside = luck.randbytes(20)
    for _ in range(luck.choice((1, deep, deep * 50))):
        inside = _box(luck.choice(kinds), inside)
    return inside


def _reboxed(luck: random.Random, whole: bytes) -> bytes:
    """With one of its boxes, at any depth, changed as only boxes can be."""
    places = [
        at
        for kind in (
            b"ftyp",
            b"moov",
            b"trak",
            b"mdia",
            b"stbl",
            b"moof",
            b"traf",
            b"trun",
            b"mdat",
            b"mvhd",
            b"avcC",
            b"stsd",
        )
        for at in _all(whole, kind)
    ]
    at = luck.choice(places) - 4
    size = int.from_bytes(whole[at : at + 4], "big")
    match luck.randrange(5):
        case 0:
            return whole[:at] + luck.choice(SIZES).to_bytes(4, "big") + whole[at + 4 :]
        case 1:
            return whole[:at] + whole[at : at + size] * luck.choice((2, 200)) + whole[at + size :]
        case 2:
            return whole[: at + 4] + luck.randbytes(4) + whole[at + 8 :]
        case 3:
            return whole[:at] + whole[at + size :]
    return whole[: at + 8] + changed(luck, whole[at + 8 : at + size]) + whole[at + size :]


def _all(whole: bytes, kind: bytes) -> Iterator[int]:
    at = whole.find(kind)
    while at >= 0:
        yield at
        at = whole.find(kind, at + 1)


def forms(luck: random.Random) -> Iterator[bytes]:
    """Multipart bodies (RFC 7578) of BOUNDARY, without end."""
    photo = _photo(luck, "PNG")
    names = (b"portrait", b"consent", b"name", b"expression", b"x", b"", b"\xff", b'a"; name="b')
    while True:
        parts = []
        for name in luck.choices(names, k=luck.choice((0, 1, 2, 3, 12))):
            value = photo if name == b"portrait" else luck.choice(WORDS).encode("utf-8", "surrogatepass")
            file = b'; filename="a"' if luck.random() < 0.5 else b""
            kind = luck.choice(
                (b"", b"\r\nContent-Type: image/png", b"\r\nContent-Type: " + b"x" * 9000, b"\r\nX\r\n: y")
            )
            parts.append(b'Content-Disposition: form-data; name="' + name + b'"' + file + kind + b"\r\n\r\n" + value)
        between = b"\r\n--" + BOUNDARY + b"\r\n"
        body = (
            b"--"
            + BOUNDARY
            + b"\r\n"
            + between.join(parts)
            + b"\r\n--"
            + BOUNDARY
            + weighted(luck, (b"--\r\n", b"", b"\r\n" * 5000), 0.7)
        )
        yield changed(luck, body) if luck.random() < 0.4 else body
