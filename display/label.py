"""Label: the visible watermark: a small "AI avatar" in every view. Letters are strokes, so no font file is needed.

The mark lies on the plane of the glass (the same place in every view), inside the safe area: at least SAFE_SHARE of the
picture away from every edge, so that neither a tile border nor a display's bezel cuts it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from display.screen import Screen

SAFE_SHARE = 0.04
"Distance of the mark from the picture's edge, as a share of the picture's height."
HEIGHT_SHARE = 0.036
"Height of a capital letter, as a share of the picture's height."
SMALLEST_CAPITAL = 8
"Pixels; below this the letters cannot be read after video coding."
SHORTEST_CAPITAL = 3
"Pixels; where even this does not fit, on displays of tiles under 30 pixels, the mark is cut: still there, though not to be read."
OPACITY = 0.82
PLATE_OPACITY = 0.65
"So dark that the letters keep a contrast of 4.5:1 (WCAG 2.2, 1.4.3) on white, after video coding too: python -m benchmarks.marks."

THINNEST, THINNEST_PIXELS = 0.14, 1.15
"Width of a stroke, in capital heights, and in pixels at least."

LETTER_GAP = 0.06
"Added to every advance, in capital heights."

_Stroke = list[tuple[float, float]]


def _arc(cx: float, cy: float, rx: float, ry: float, begin: float, end: float) -> _Stroke:
    angles = np.radians(np.linspace(begin, end, 13))
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


# Strokes in units of the capital height, y down from the top of a capital; width is the advance to the next letter.
_GLYPHS: dict[str, tuple[float, list[_Stroke]]] = {
    "A": (0.80, [[(0.0, 1.0), (0.36, 0.0), (0.72, 1.0)], [(0.13, 0.66), (0.59, 0.66)]]),
    "I": (0.22, [[(0.06, 0.0), (0.06, 1.0)]]),
    "a": (0.64, [_arc(0.25, 0.68, 0.25, 0.32, 0, 360), [(0.50, 0.36), (0.50, 1.0)]]),
    "v": (0.60, [[(0.0, 0.36), (0.25, 1.0), (0.50, 0.36)]]),
    "t": (0.46, [[(0.16, 0.08), (0.16, 0.82), *_arc(0.32, 0.82, 0.16, 0.17, 180, 80)], [(0.0, 0.36), (0.34, 0.36)]]),
    "r": (0.42, [[(0.0, 0.36), (0.0, 1.0)], _arc(0.24, 0.60, 0.24, 0.24, 180, 295)]),
    "L": (0.62, [[(0.06, 0.0), (0.06, 1.0), (0.54, 1.0)]]),
    "i": (0.22, [[(0.06, 0.36), (0.06, 1.0)], [(0.06, 0.08), (0.06, 0.10)]]),
    "e": (0.62, [[(0.02, 0.66), (0.50, 0.66)], _arc(0.25, 0.68, 0.25, 0.32, 360, 50)]),
    "p": (0.64, [[(0.0, 0.36), (0.0, 1.2)], _arc(0.25, 0.68, 0.25, 0.32, 0, 360)]),
    "c": (0.56, [_arc(0.25, 0.68, 0.25, 0.32, 315, 45)]),
    "u": (
        0.62,
        [[(0.0, 0.36), (0.0, 0.74), *_arc(0.25, 0.74, 0.25, 0.26, 180, 0), (0.50, 0.36)], [(0.50, 0.36), (0.50, 1.0)]],
    ),
    " ": (0.34, []),
}
TEXT = "AI avatar"


@dataclass(frozen=True)
class Mark:
    """The visible watermark as it is laid over one tile."""

    left: int
    top: int
    keep: Any
    "[h, 1, w, 1] int32 0..256: how much of the picture stays, in 256ths. An array on the CPU, a tensor elsewhere."
    add: Any
    "[h, 1, w, 1] int32: what is added. Likewise."

    def put(self, tiles: Any) -> None:
        """Lay the mark over neighbouring `tiles` ([..., tile_height, n, tile_width, 4] uint8), in place."""
        height, _, width, _ = self.keep.shape
        under = tiles[..., self.top : self.top + height, :, self.left : self.left + width, :3]
        under[...] = (under * self.keep >> 8) + self.add


def coverage(capital: float, squeeze: float = 1.0, text: str = TEXT) -> np.ndarray:
    """[h, w] float 0..1: how much of each pixel the letters of `text` cover.

    `capital` is the height of a capital letter in pixels; `squeeze` the width of a pixel over its height once shown.
    """
    weight = max(THINNEST, THINNEST_PIXELS / capital)
    margin = 0.5 * weight + 1 / capital
    strokes, advance = lines(text)
    rows = np.arange(math.ceil((1 + 2 * margin) * capital)) + 0.5
    columns = np.arange(math.ceil((advance + 2 * margin) * capital / squeeze)) + 0.5
    x, y = np.meshgrid(columns * squeeze / capital - margin, rows / capital - margin)
    nearest = np.full(x.shape, np.inf)
    for stroke in strokes:
        for begin, end in pairwise(stroke):
            nearest = np.minimum(nearest, _distance(x, y, begin, end))
    return np.clip((0.5 * weight - nearest) * capital + 0.5, 0, 1)


def lines(text: str = TEXT) -> tuple[list[_Stroke], float]:
    """The strokes of `text`, points (x, y) in capital heights, y down from the top of a capital; and its width."""
    strokes, pen = [], 0.0
    for letter in text:
        width, glyph = _GLYPHS[letter]
        strokes += [[(pen + x, y) for x, y in stroke] for stroke in glyph]
        pen += width + LETTER_GAP
    return strokes, pen


def _distance(x: np.ndarray, y: np.ndarray, begin: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    dx, dy = end[0] - begin[0], end[1] - begin[1]
    along = np.clip(((x - begin[0]) * dx + (y - begin[1]) * dy) / max(dx * dx + dy * dy, 1e-9), 0, 1)
    return np.hypot(x - begin[0] - along * dx, y - begin[1] - along * dy)


@lru_cache(maxsize=64)
def mark(screen: Screen, device: str = "cpu", text: str = TEXT) -> Mark:
    """The mark for each tile of `screen`: bottom left, on a darkened plate."""
    height, width = screen.tile_height, screen.tile_width
    squeeze = screen.aspect * height / width
    left = min(math.ceil(SAFE_SHARE * height / squeeze), width - 1)
    letters = _fitting(text, max(HEIGHT_SHARE * height, SMALLEST_CAPITAL), squeeze, height, width - left)
    plate = PLATE_OPACITY * _rounded(letters.shape, squeeze)
    light = OPACITY * letters
    keep = (1 - plate) * (1 - light)
    top = height - math.ceil(SAFE_SHARE * height) - len(letters)
    return Mark(left, max(top, 0), _column(keep * 256, device), _column(light * 255, device))


def _fitting(text: str, capital: float, squeeze: float, height: int, width: int) -> np.ndarray:
    """[h, w] 0..1: the letters and their margin, smaller where there is no room, and cut where there is none at all."""
    while True:
        pad_y, pad_x = round(0.38 * capital), round(0.5 * capital / squeeze)
        letters = np.pad(coverage(capital, squeeze, text), ((pad_y, pad_y), (pad_x, pad_x)))
        if (len(letters) <= height and letters.shape[1] <= width) or capital < SHORTEST_CAPITAL:
            return letters[:height, :width]
        capital *= 0.9


def _rounded(shape: tuple[int, ...], squeeze: float) -> np.ndarray:
    """[h, w] 0..1 coverage of a plate with round ends."""
    height, width = shape
    radius = height / 2
    x, y = np.meshgrid((np.arange(width) + 0.5) * squeeze, np.arange(height) + 0.5)
    inside = np.clip(x, radius, max(width * squeeze - radius, radius))
    return np.clip(radius - np.hypot(x - inside, y - radius) + 0.5, 0, 1)


def _column(values: np.ndarray, device: str) -> Any:
    column = values.round().astype(np.int32)[:, None, :, None]
    return column if device == "cpu" else torch.from_numpy(column).to(device)
