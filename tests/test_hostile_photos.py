"""Photos made to harm: each is refused in its own words, or shown, within bounds of time and memory, and nobody else waits."""

from __future__ import annotations

import io
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image

from server.media import photo_decoder, photo_parts, portraits
from server.media.photo_parts import MOST_SCANS, orientation, stripped
from server.media.portraits import Decoding, PortraitUnreadable
from tests.test_portraits import PHOTO, photo, saved

PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, colour: int, *extra: bytes) -> bytes:
    """Black, of `colour` type 2 (RGB) or 6 (RGBA)."""
    rows = zlib.compressobj(9)
    row = b"\0" + bytes((3 if colour == 2 else 4) * width)
    packed = b"".join([*(rows.compress(row * min(4096, height - y)) for y in range(0, height, 4096)), rows.flush()])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0))
    return PNG_HEAD + header + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = saved(photo((256, 300)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + whole[-2:]


def profiles(count: int) -> bytes:
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1 << 20)))
    return png(64, 64, 2, *[bomb] * count)


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF of (tag, kind, count, four bytes) in its first directory."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    body = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + head + body + struct.pack(order + "I", 0) + struct.pack(order + "ii", -1, 0)


def held(order: str = "<", kind: int = 3, value: int = 6) -> tuple[int, int, int, bytes]:
    return 0x0112, kind, 1, struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}[kind], value)


REFUSED = {
    "thousands of scans": (lambda: many_scans(3000), "too_complex"),
    "scans behind garbage": (lambda: many_scans(3000).replace(b"\xff\xda", b"junk\xff\xff\xda", 1), "too_complex"),
    "a column of 64 million pixels": (lambda: png(1, 64_000_000, 6), "too_many_pixels"),
    "a row of 30 thousand": (lambda: png(30_000, 4, 2), "too_many_pixels"),
    "pieces of nothing": (lambda: png(8, 8, 2, *[chunk(b"IDAT", b"")] * 60_000), "too_complex"),
    "an AVIF that claims more than it has": (lambda: saved(Image.new("RGB", (7_000, 7_000)), "AVIF", speed=10), "too_many_pixels"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_cost_more_than_a_photo_may_is_refused_in_its_words(kind: str):
    make, reason = REFUSED[kind]
    with pytest.raises(PortraitUnreadable) as refused:
        portraits.decode(make())
    assert refused.value.reason == reason


def test_colour_profiles_by_the_thousand_never_reach_the_decoder():
    data = profiles(3000)
    assert len(stripped(data)[0]) < 1000
    assert portraits.decode(data).shape == (64, 64, 3)


def test_as_many_scans_as_encoders_write_are_decoded():
    assert portraits.decode(many_scans(MOST_SCANS // 2)).shape == (300, 256, 3)


def test_a_decoder_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(portraits, "WALL_SECONDS", 0.01)  # Python itself takes longer to start
    decoding = Decoding(PHOTO)
    with pytest.raises(PortraitUnreadable, match="too long"):
        decoding.result()
    assert decoding._process is not None
    assert decoding._process.poll() is not None


def test_stopping_ends_a_decoder_at_once_and_whoever_waits_for_it():
    said: list[str] = []

    def wait(decoding: Decoding) -> None:
        try:
            decoding.result()
        except PortraitUnreadable as refused:
            said.append(refused.reason)

    with Decoding(png(6_000, 6_000, 2)) as decoding:
        waiting = threading.Thread(target=wait, args=(decoding,))
        waiting.start()
        while decoding._process is None:
            time.sleep(0.001)
    waiting.join(20)
    assert not waiting.is_alive()
    assert said == ["too_complex"]
    assert decoding._process.poll() is not None


def test_one_that_was_stopped_before_it_began_never_begins():
    decoding = Decoding(PHOTO)
    decoding.stop()
    with pytest.raises(PortraitUnreadable):
        decoding.result()
    assert decoding._process is None


def test_a_large_photo_costs_this_process_no_memory():
    import psutil

    data = png(8_000, 8_000, 6)
    before = psutil.Process().memory_info().rss
    assert portraits.decode(data).shape == (2048, 2048, 3)
    assert psutil.Process().memory_info().rss - before < 64 << 20


BROKEN = {
    "a rational without a denominator": lambda order: ((0x011A, 10, 1, struct.pack(order + "I", 8 + 2 + 24 + 4)),),
    "a text that is a number": lambda order: ((0x010F, 3, 1, struct.pack(order + "HH", 7, 0)),),
    "a kind that nobody knows": lambda order: ((0x0131, 99, 1, b"\0\0\0\0"),),
    "a value beyond the end": lambda order: ((0x010E, 2, 1 << 20, struct.pack(order + "I", 1 << 30)),),
    "a directory in itself": lambda order: ((0x8769, 4, 1, struct.pack(order + "I", 8)),),
    "a number as text": lambda order: ((0x0128, 2, 4, b"abc\0"),),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_tag_does_not_spoil_a_photo_and_it_stands_upright(here, kind: str, order: str, broken: str):
    tags = exif(held(order), *BROKEN[broken](order), order=order)
    upright(here(saved(photo((200, 240)).rotate(90, expand=True), kind, exif=tags)))


@pytest.mark.parametrize(("kind", "how"), [("AVIF", {"exif": exif(held())}), ("TIFF", {"tiffinfo": {0x0112: 6}})])
def test_formats_whose_library_turns_pictures_itself_are_turned_once(kind: str, how: dict[str, Any]):
    upright(portraits.decode(saved(photo((200, 240)).rotate(90, expand=True), kind, **how)))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], np.ndarray]:
    """What the decoder's process does, in this one, where many are to be tried."""
    monkeypatch.setattr(Image, "Exif", photo_decoder._Forgiving)
    return lambda data: np.asarray(photo_decoder.decode(data, portraits.MOST_PIXELS))


def upright(seen: np.ndarray) -> None:
    assert seen.shape == (240, 200, 3)
    assert np.abs(seen.astype(float) - np.asarray(photo((200, 240)))).mean() < 12


def test_orientations_are_what_pillow_takes_them_for(here):
    from PIL import ImageOps

    for value in range(10):
        data = saved(photo((120, 90)), "PNG", exif=exif(held(value=value)))
        assert orientation(exif(held(value=value))) == (value if 1 <= value <= 8 else 1)
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        np.testing.assert_array_equal(here(data), expected)


@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_orientation_is_read_in_whichever_whole_number_it_comes(kind: int):
    assert orientation(exif(held(kind=kind))) == 6


def test_nothing_in_exif_makes_its_reading_raise():
    rng = np.random.default_rng(0)
    for length in range(200):
        for head in (b"Exif\0\0II*\0", b"MM\0*", b"Exif\0\0", b""):
            assert 1 <= orientation(head + rng.bytes(length)) <= 8


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_flipped_bytes_are_refused_or_shown_and_nothing_else(here, kind: str):
    whole = saved(photo((96, 110)), kind)
    rng = np.random.default_rng(len(whole))
    for _ in range(30):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 3):
            data[at] ^= int(rng.integers(1, 256))
        with suppress(photo_decoder.Refused):
            assert here(bytes(data)).ndim == 3


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_a_heic_photo_is_refused_with_what_to_do(brand: bytes):
    with pytest.raises(PortraitUnreadable, match=r"HEIC photo.*JPEG") as refused:
        portraits.decode(b"\0\0\0\x18ftyp" + brand + bytes(200))
    assert refused.value.reason == "not_an_image"


def test_what_follows_the_first_picture_is_left_out():
    """Phones put gain maps, depth and whole films behind it."""
    data = PHOTO + PHOTO + bytes(1000)
    parts, turned = stripped(data)
    assert len(parts) < len(PHOTO)
    assert turned == photo_parts.UPRIGHT
    np.testing.assert_array_equal(portraits.decode(data), portraits.decode(PHOTO))


def test_exif_as_large_as_it_gets_does_no_harm():
    many = saved(photo((96, 110)), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 65_535) + b"Exif\0\0" + bytes(65_535 - 8)
    assert portraits.decode(many[:2] + segment * 100 + many[2:]).shape == (110, 96, 3)


@pytest.mark.parametrize("bits", ["RGB", "RGBA", "L"])
def test_sixteen_bits_a_channel_keep_their_tones(bits: str):
    channels = len(bits)
    pixels = np.asarray(photo((64, 80)).convert(bits), np.uint16).reshape(80, 64, channels) * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 64, 80, 16, {"L": 0, "RGB": 2, "RGBA": 6}[bits], 0, 0, 0)
    data = PNG_HEAD + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    expected = np.asarray(photo((64, 80)).convert(bits).convert("RGB"), float)
    assert np.abs(portraits.decode(data) - expected).max() <= 2


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_what_moves_the_first_picture_counts(kind: str):
    first = photo((96, 110))
    rest = [Image.new("RGB", (96, 110), (i, 0, 0)) for i in range(5)]
    seen = portraits.decode(saved(first, kind, save_all=True, append_images=rest))
    assert np.abs(seen.astype(float) - np.asarray(first)).mean() < 12
