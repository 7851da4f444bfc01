"""Photo decoder: a stranger's photo as pixels, in a process of its own that may be killed: `python -m server.media.photo_decoder`.

Reads the file from stdin. Writes width and height (little-endian, 32 bits each) and RGB to stdout and ends with 0, or writes a
refusal as JSON and ends with REFUSED. Imports Pillow alone, so that starting it takes 0.1 s.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
from contextlib import suppress
from typing import Any

from PIL import AvifImagePlugin, Image, UnidentifiedImageError

from server.media import photo_parts
from server.media.photo_parts import TooComplex

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"Photos as people have them; the dozens of rarer decoders that Pillow brings are not offered to strangers."
LONGEST_SIDE = 2048
"Portraits are shrunk to this: four times what an avatar is made from."
BEHIND = (188, 188, 188)
"What shows through transparent pixels: a light grey, from which both dark and fair hair stand out."
MOST_SIDE = 20_000
"Pixels along one side: what phones stitch to panoramas is up to 16,000 wide."
MOST_BYTES = 512 << 20
"What the pixels of one photo may take while they are decoded."
BYTES_A_PIXEL = {"JPEG": 7, "WEBP": 16, "AVIF": 12}
"""At the peak, measured with 8000 x 8000 pixels: a progressive JPEG without subsampling 6.4, WebP 15, AVIF 8.5 and more with
ten bits. The others take 4."""
ADDRESS_SPACE = MOST_BYTES + (256 << 20)
CPU_SECONDS = 10
"A photo of 64 megapixels takes 0.1 to 2."
REFUSED = 3
_BAND_PIXELS = 1 << 22
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"EXIF's orientation -> what makes such a picture upright."
_ELSEWHERE = {
    b"ftypheic": "a HEIC photo", b"ftypheix": "a HEIC photo", b"ftyphevc": "a HEIC photo", b"ftypmif1": "a HEIC photo",
    b"ftypmsf1": "a HEIC photo", b"ftypheim": "a HEIC photo", b"ftypheis": "a HEIC photo",
}  # fmt: skip


class Refused(ValueError):
    """`reason` is a stable word for programs."""

    def __init__(self, reason: str, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.limit = reason, limit


class _Forgiving(Image.Exif):
    """Pillow parses EXIF while it opens and turns TIFF and AVIF, and writes it anew; a photo with a broken tag is a photo."""

    def load(self, data: bytes) -> None:
        with suppress(Exception):
            super().load(data)

    def get_ifd(self, tag: int) -> dict[int, Any]:
        try:
            return super().get_ifd(tag)
        except Exception:
            return {}

    def tobytes(self, offset: int = 8) -> bytes:
        held = self.get(0x0112, photo_parts.UPRIGHT)
        return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIII", 0x0112, 3, 1, held, 0)


def decode(data: bytes, most_pixels: int) -> Image.Image:
    """RGB, upright, at most LONGEST_SIDE; nothing else of the file survives. Raises Refused."""
    try:
        return _decode(data, most_pixels)
    except (Refused, MemoryError):
        raise
    except TooComplex as error:
        raise Refused("too_complex", f"this image takes too long to decode: {error}; save it anew as JPEG") from None
    except UnidentifiedImageError:
        raise _not_an_image(data) from None
    except Exception as error:  # decoders raise whatever they like
        raise Refused("damaged", f"this image is damaged or incomplete ({error}); save or send it again") from None


def _decode(data: bytes, most_pixels: int) -> Image.Image:
    data, held = photo_parts.stripped(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check(image, most_pixels)
        image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a large JPEG is decoded at 1/2, 1/4 or 1/8
        if image.format in ("WEBP", "AVIF"):
            held = photo_parts.orientation(image.info.get("exif", b""))
        image.load()
        small = _shrunk(image)
    return small.transpose(_TURNED[held]) if held in _TURNED else small


def _check(image: Image.Image, most_pixels: int) -> None:
    most = min(most_pixels, MOST_BYTES // BYTES_A_PIXEL.get(image.format or "", 4))
    if image.width * image.height > most:
        kind = "photo" if most == most_pixels else f"{image.format} file"
        raise Refused("too_many_pixels", f"{_millions(most)} megapixels is the limit for a {kind}; scale it down", most)
    if max(image.size) > MOST_SIDE:
        raise Refused(
            "too_many_pixels", f"{MOST_SIDE} pixels is the limit for each side; cut the photo to the person", MOST_SIDE
        )


def _millions(pixels: int) -> str:
    return f"{pixels / 1e6:.3g}"


def _not_an_image(data: bytes) -> Refused:
    if data[4:12] in _ELSEWHERE:
        what = _ELSEWHERE[data[4:12]]
        return Refused(
            "not_an_image",
            f"this is {what}, which is not understood here; send it as JPEG (iPhone: Settings, Camera, Formats, "
            "Most Compatible; or share it by mail, which converts it)",
        )
    return Refused(
        "not_an_image",
        f"this file is not an image that is understood; send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
    )


def _shrunk(image: Image.Image) -> Image.Image:
    """In bands of rows, so that beside the decoded picture nothing is as large as it."""
    factor = max(1, max(image.size) // LONGEST_SIDE)
    top = _top(image)
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    whole = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for y in range(0, image.height, rows):
        band = _rgb(image.crop((0, y, image.width, min(y + rows, image.height))), top)
        whole.paste(band.reduce(factor) if factor > 1 else band, (0, y // factor))
    whole.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return whole


def _top(image: Image.Image) -> float:
    """What white is in a grey picture of more than eight bits; 0 in others."""
    if image.mode == "F":
        most = image.getextrema()[1]
        return float(most) if isinstance(most, float) and 0 < most < float("inf") else 1.0
    return 65535.0 if image.mode == "I" or image.mode.startswith("I;16") else 0.0


def _rgb(image: Image.Image, top: float) -> Image.Image:
    if top:  # Pillow's own conversion clips at 255 instead of scaling
        image = image.convert("F").point(lambda value: value * (255.0 / top) + 0.0).convert("L")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*BEHIND, 255)), image).convert("RGB")


def rgb(image: Image.Image) -> Image.Image:
    """`image` in RGB, of whichever mode and depth; what is transparent shows BEHIND."""
    return _rgb(image, _top(image))


def confine() -> None:
    """Bound this process: what a photo may cost is decided here, not by the photo."""
    os.nice(10)  # those who are live come first
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # not every system has it
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread's stack counts as memory
    Image.MAX_IMAGE_PIXELS = None  # _check is stricter
    Image.Exif = _Forgiving


def main() -> int:
    confine()
    try:
        image = decode(sys.stdin.buffer.read(), int(sys.argv[1]))
    except MemoryError:
        refused = Refused("too_many_pixels", "this image takes too much memory to decode; scale it down")
    except Refused as error:
        refused = error
    else:
        sys.stdout.buffer.write(struct.pack("<II", *image.size) + image.tobytes())
        return 0
    sys.stdout.write(json.dumps({"reason": refused.reason, "message": str(refused), "limit": refused.limit}))
    return REFUSED


if __name__ == "__main__":
    sys.exit(main())
