"""Photos as people bring them: the valid ones come out alike, each other one is refused in its own words."""

from __future__ import annotations

import io
import struct
import zlib
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from PIL import Image

from server.media import portraits
from server.media.photo_decoder import LONGEST_SIDE
from server.media.portraits import PortraitUnreadable

PHOTO = (files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg").read_bytes()
"A public-domain photograph of one person."


def photo(size: tuple[int, int] | None = None) -> Image.Image:
    image = Image.open(io.BytesIO(PHOTO)).convert("RGB")
    return image.resize(size) if size else image


def saved(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def deep_grey() -> bytes:
    """A 16-bit grey PNG that uses its whole range."""
    grey = np.asarray(photo().convert("L"), np.uint16) * 257
    return saved(Image.fromarray(grey))


def cut_out() -> Image.Image:
    """The person on a transparent background, whose hidden pixels are a glaring green."""
    image = photo().convert("RGBA")
    pixels = np.asarray(image).copy()
    pixels[:40] = (0, 255, 0, 0)
    return Image.fromarray(pixels)


def turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: show it turned clockwise by 90 degrees
    exif[0x010F] = "a camera maker"
    return saved(photo().rotate(90, expand=True), "JPEG", exif=exif)


def bomb() -> bytes:
    """A PNG of a few hundred bytes that claims 50000 x 50000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def vast() -> bytes:
    """A photo of 70 megapixels, more than is taken."""
    return saved(Image.new("L", (10_000, 7_000)), "JPEG")


VALID = {
    "jpeg": lambda: PHOTO,
    "png": lambda: saved(photo()),
    "webp": lambda: saved(photo(), "WEBP"),
    "avif": lambda: saved(photo(), "AVIF"),
    "tiff": lambda: saved(photo(), "TIFF"),
    "cmyk": lambda: saved(photo().convert("CMYK"), "JPEG"),
    "palette": lambda: saved(photo().convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
    "grey": lambda: saved(photo().convert("L")),
    "sixteen bits": deep_grey,
    "alpha": lambda: saved(cut_out()),
    "animated": lambda: saved(photo(), "WEBP", save_all=True, append_images=[Image.new("RGB", photo().size)]),
    "turned by EXIF": turned_by_exif,
    "40 megapixels": lambda: saved(photo((5_400, 7_500)), "JPEG"),
}


@pytest.mark.parametrize("kind", VALID)
def test_photos_as_people_have_them_come_out_alike(kind):
    pixels = portraits.decode(VALID[kind]())
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert max(pixels.shape) <= LONGEST_SIDE
    expected = photo((pixels.shape[1], pixels.shape[0]))
    if kind in ("grey", "sixteen bits"):
        expected = expected.convert("L").convert("RGB")
    away = np.abs(pixels[60:].astype(float) - np.asarray(expected)[60:]).mean()
    assert away < 12, away


def test_what_alpha_hides_stays_hidden():
    assert np.ptp(portraits.decode(saved(cut_out()))[:39], axis=(0, 1)).max() == 0


def test_a_phone_screenshot_keeps_its_shape():
    assert portraits.decode(saved(Image.new("RGB", (300, 200)))).shape == (200, 300, 3)


UNREADABLE = {
    "a text": (lambda: b"not an image at all, whatever its name says", "not_an_image"),
    "empty": (lambda: b"", "not_an_image"),
    "a page": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    "a cut JPEG": (lambda: PHOTO[: len(PHOTO) // 2], "damaged"),
    "a cut PNG": (lambda: saved(photo())[:20_000], "damaged"),
    "a bomb": (bomb, "too_many_pixels"),
    "too vast": (vast, "too_many_pixels"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_files_that_are_no_photo_say_what_they_are(kind):
    make, reason = UNREADABLE[kind]
    with pytest.raises(PortraitUnreadable) as refused:
        portraits.decode(make())
    assert refused.value.reason == reason
    if reason == "too_many_pixels":
        assert "64 megapixels" in str(refused.value)
