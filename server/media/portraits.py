"""Portraits: a photo file's bytes as pixels, or a refusal that says why. Knows nothing of HTTP or of faces."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.frame import Frame

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"Photos as people have them; the dozens of rarer decoders that Pillow brings are not offered to strangers."
LONGEST_SIDE = 2048
"Portraits are shrunk to this while decoding: four times what an avatar is made from."
BEHIND = (188, 188, 188)
"What shows through transparent pixels: a light grey, from which both dark and fair hair stand out."

MOST_PIXELS = 64_000_000
"A 40-megapixel photo is ordinary by now; whoever sends much more is not sending a portrait."

_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, MemoryError)
"What Pillow's decoders raise on bad files."


class PortraitUnreadable(ValueError):
    """The caller's file is not a photo that can be decoded. `reason` is a stable word for programs."""

    def __init__(self, reason: str, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.reason, self.limit = reason, limit


def from_file(path: Path) -> Frame:
    """The photo at `path`, upright. Raises PortraitUnreadable, or OSError where there is no such file."""
    return Frame(decode(path.read_bytes()), captured=0.0)


def decode(data: bytes, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """[H, W, 3] uint8 RGB, upright, at most LONGEST_SIDE; nothing else of the file survives. Raises PortraitUnreadable."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise _too_many(most_pixels)
            image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # a large JPEG is decoded at 1/2, 1/4 or 1/8
            image.load()
            return _upright_rgb(image)
    except UnidentifiedImageError:
        raise PortraitUnreadable(
            "not_an_image",
            f"this file is not an image that is understood; send {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
        ) from None
    except Image.DecompressionBombError:
        raise _too_many(most_pixels) from None
    except PortraitUnreadable:
        raise
    except _DECODER_ERRORS as error:
        raise PortraitUnreadable(
            "damaged", f"this image is damaged or incomplete ({error}); save or send it again"
        ) from None


def _too_many(limit: int) -> PortraitUnreadable:
    return PortraitUnreadable(
        "too_many_pixels", f"{limit / 1e6:g} megapixels is the limit for a photo; scale it down", limit
    )


def _upright_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    image = ImageOps.exif_transpose(image)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, (*BEHIND, 255)), image)
    return np.asarray(image.convert("RGB"), dtype=np.uint8).copy()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than eight bits; Pillow's own conversion clips at 255 instead of scaling."""
    deep = np.asarray(image, dtype=np.float32)
    top = 65535.0 if image.mode != "F" else float(deep.max()) or 1.0
    return Image.fromarray(np.clip(deep * (255.0 / top), 0, 255).astype(np.uint8))
