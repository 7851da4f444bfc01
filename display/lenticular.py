"""Lenticular: which view each subpixel of a lenticular panel shows, and the panel picture made of a quilt.

interlace() is the plain statement. fragment_source() is the same for a GPU, one text for OpenGL and WebGL2, with its numbers
from uniforms(). Conventions of the vendor's shaders: u runs right and v up over the panel, 0..1; a lens spreads views 0 to
N - 1 over its width; view 0 is the quilt's bottom left tile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from display.calibration import Calibration
from display.tiling import Tiling

Window = tuple[int, int, int, int]
"(left, top, width, height) in panel pixels, y down."
Dialect = Literal["330 core", "300 es"]

LOWEST, HIGHEST = 1e-5, 0.999999
"Bounds of the place across the views, so that its tile always exists."
BAND_PIXELS = 1 << 18
"Panel pixels that the plain twin works on at once: some 60 MB."
COARSE_BITS = 10
"A pixel number below 2^14 times so many bits is exact in a float."


class Filter(Enum):
    """How the views on both sides of a subpixel's direction make its colour."""

    NEAREST = "nearest"
    "One view: crisp, steps between views."
    BLENDED = "blended"
    "Two neighbouring views, mixed by place: smooth, as the vendor's filter 1."


class CellTable(Enum):
    """Which cell a pixel of a generation 3 panel has: two tables are about."""

    BRIDGE = "bridge"
    "The vendor's: Looking Glass Bridge, its Unity plugin and holoplay-core.js."
    FORK = "fork"
    "A community fork of the vendor's WebXR library."

    def pattern(self, mode: int) -> tuple[int, int, int]:
        """(a, b, m): pixel (x, y), y up, has cell (a x + b y) modulo m in a panel of this CellPatternMode."""
        return _PATTERNS[self][mode]


_PATTERNS = {
    CellTable.BRIDGE: ((0, 0, 1), (1, 1, 2), (1, 0, 2), (2, 1, 4), (0, 1, 2)),
    CellTable.FORK: ((0, 0, 1), (1, 1, 2), (0, 1, 4), (2, 1, 4), (1, 0, 2)),
}


def interlace(
    quilt: np.ndarray,  # [H, W, 3 or 4] uint8, top row first
    tiling: Tiling,
    calibration: Calibration,
    *,
    filter: Filter = Filter.BLENDED,
    cells: CellTable = CellTable.BRIDGE,
    overscan: bool = False,
    focus: float = 0.0,
    depth: float = 1.0,
    window: Window | None = None,
) -> np.ndarray:  # [height, width, 3] uint8, top row first
    """The picture of the panel, or of a `window` of it, that shows `quilt` through the lenses of `calibration`.

    A quilt of another aspect than the panel's is shown whole in a black border, or with `overscan` fills the panel. `focus`
    slides the outermost views by so many tile widths and with it moves the plane of the glass; `depth` (0..1) uses only
    the middle part of the fan, which flattens. Orbit views are made off-axis while they are sampled (see offaxis).
    """
    assert quilt.dtype == np.uint8, quilt.dtype
    assert quilt.shape[:2] == (tiling.height, tiling.width), (quilt.shape, tiling)
    assert 0 <= depth <= 1, depth
    left, top, width, height = window or (0, 0, calibration.width, calibration.height)
    shown = np.empty((height, width, 3), np.uint8)
    for rows in _bands(height, width):
        y = calibration.height - 1 - (top + np.arange(rows.start, rows.stop))[:, None]
        x = left + np.arange(width)[None, :]
        u, v = _fitted(x, y, tiling, calibration, overscan)
        border = (u < 0) | (u > 1) | (v < 0) | (v > 1)
        for channel in range(3):
            across = _depth(places(x, y, calibration, channel, cells), depth)
            view = np.floor(across * tiling.views).astype(int)
            colour = _sampled(quilt[..., channel], tiling, view, u + (2 * across - 1) * focus, v)
            if filter is Filter.BLENDED:
                beyond = across + 1 / tiling.views
                other = _sampled(quilt[..., channel], tiling, view + 1, u + (2 * beyond - 1) * focus, v)
                colour += (other - colour) * (across * tiling.views - view)
            shown[rows, :, channel] = np.where(border, 0, np.floor(colour + 0.5))
    return shown


def places(x: np.ndarray, y: np.ndarray, calibration: Calibration, channel: int, cells: CellTable) -> np.ndarray:
    """Where across its fan of views, 0..1, the lens over each subpixel sends it. x, y: panel pixels, [H, W] or what
    broadcasts to it, y up; `channel` 0..2 is red, green, blue. Float64 of the shape they broadcast to."""
    u, v = (x + 0.5) / calibration.width, (y + 0.5) / calibration.height
    if calibration.cells:
        offsets = np.array(calibration.cells)[cell_numbers(x, y, calibration, cells), channel]
        u, v = u + offsets[..., 0] / calibration.width, v + offsets[..., 1] / calibration.height
    else:
        u = u + calibration.stripes[channel] * calibration.subpixel
    lenses = (u + v * calibration.tilt) * calibration.lens_pitch - calibration.center
    phase = lenses - np.floor(lenses)
    return np.clip(1 - phase if calibration.invert_views else phase, LOWEST, HIGHEST)


def cell_numbers(x: np.ndarray, y: np.ndarray, calibration: Calibration, cells: CellTable) -> np.ndarray:
    """[H, W] integers: which of the calibration's cells each pixel has. x, y as in places()."""
    along, up, modulus = cells.pattern(calibration.cell_mode)
    return (along * x + up * y) % modulus % len(calibration.cells)


def _bands(height: int, width: int) -> Iterator[slice]:
    rows = max(1, BAND_PIXELS // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _depth(across: np.ndarray, depth: float) -> np.ndarray:
    return across if depth == 1 else 0.5 + (across - 0.5) * depth


def fit_scale(tiling: Tiling, calibration: Calibration, overscan: bool) -> tuple[float, float]:
    """Panel over picture in width and in height: above 1 leaves a border, below 1 cuts off."""
    wider = calibration.aspect / tiling.aspect
    return (wider, 1.0) if (wider >= 1) != overscan else (1.0, 1 / wider)


def _fitted(
    x: np.ndarray, y: np.ndarray, tiling: Tiling, calibration: Calibration, overscan: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Panel pixels as places in the picture of one view, 0..1, v up."""
    across, up = fit_scale(tiling, calibration, overscan)
    u, v = (x + 0.5) / calibration.width, (y + 0.5) / calibration.height
    return (u - 0.5) * across + 0.5, (v - 0.5) * up + 0.5


def _sampled(quilt: np.ndarray, tiling: Tiling, view: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Float colours, bilinear within the tile, of one channel of the quilt at (u, v) of each pixel's own view."""
    view = np.clip(view, 0, tiling.views - 1)
    u, v = _turned(u - 0.5, v - 0.5, tiling, view)
    width, height = tiling.tile_width, tiling.tile_height
    column = np.clip((u + 0.5) * width - 0.5, 0, width - 1)
    row = np.clip((0.5 - v) * height - 0.5, 0, height - 1)
    left, top = column.astype(int), row.astype(int)
    beside, below = column - left, row - top
    first_column = view % tiling.columns * width
    first_row = tiling.height - (view // tiling.columns + 1) * height
    x0, x1 = first_column + left, first_column + np.minimum(left + 1, width - 1)
    y0, y1 = first_row + top, first_row + np.minimum(top + 1, height - 1)
    upper = quilt[y0, x0] * (1 - beside) + quilt[y0, x1] * beside
    lower = quilt[y1, x0] * (1 - beside) + quilt[y1, x1] * beside
    return upper * (1 - below) + lower * below


def _turned(u: np.ndarray, v: np.ndarray, tiling: Tiling, view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places from the middle of an off-axis view as places from the middle of the orbit view that the quilt holds."""
    if not tiling.fan_degrees:
        return u, np.broadcast_to(v, view.shape)
    first, step = _fan(tiling)
    yaw = first + step * view
    nearness = 1 - u * np.sin(yaw) * tiling.opening
    return u * np.cos(yaw) / nearness, v / nearness


def _fan(tiling: Tiling) -> tuple[float, float]:
    """Yaw of view 0, and from view to view, in radians."""
    whole = math.radians(tiling.fan_degrees)
    return -whole / 2, whole / max(tiling.views - 1, 1)


def uniforms(
    tiling: Tiling,
    calibration: Calibration,
    *,
    filter: Filter = Filter.BLENDED,
    cells: CellTable = CellTable.BRIDGE,
    overscan: bool = False,
    focus: float = 0.0,
    depth: float = 1.0,
    window: Window | None = None,
) -> dict[str, Any]:
    """What the shader takes to do the same as interlace(): floats, tuples of floats, and for `phases` four tuples.

    The texture `quilt` is set apart. `window` is where on the panel the viewport lies.
    """
    left, top, _, height = window or (0, 0, calibration.width, calibration.height)
    per_pixel = (
        calibration.lens_pitch / calibration.width,
        calibration.tilt * calibration.lens_pitch / calibration.height,
    )
    coarse = tuple(_rounded(value) for value in per_pixel)
    along, up, modulus = cells.pattern(calibration.cell_mode) if calibration.cells else (0, 0, 1)
    first, step = _fan(tiling)
    return {
        "corner": (float(left), float(calibration.height - top - height)),
        "panel": (float(calibration.width), float(calibration.height)),
        "coarse": coarse,
        "fine": tuple(exact - rough for exact, rough in zip(per_pixel, coarse, strict=True)),
        "pattern": (float(along), float(up), float(modulus)),
        "phases": _phases(calibration),
        "sweep": (0.5 + 0.5 * depth, -depth) if calibration.invert_views else (0.5 - 0.5 * depth, depth),
        "grid": (float(tiling.columns), float(tiling.views)),
        "tile": (tiling.tile_width / tiling.width, tiling.tile_height / tiling.height),
        "inset": (0.5 / tiling.tile_width, 0.5 / tiling.tile_height),
        "fit": fit_scale(tiling, calibration, overscan),
        "focus": float(focus),
        "fan": (first, step, tiling.opening),
        "blend": 1.0 if filter is Filter.BLENDED else 0.0,
    }


def _rounded(value: float) -> float:
    """The nearest number of COARSE_BITS bits."""
    unit = 2.0 ** (math.frexp(value)[1] - COARSE_BITS)
    return round(value / unit) * unit


def _phases(calibration: Calibration) -> list[tuple[float, ...]]:
    """Phase in lenses, 0..1, of red, green and blue in each of the four cells of panel pixel (0, 0)."""
    stripes = tuple((place * calibration.subpixel * calibration.width, 0.0) for place in calibration.stripes)
    four = [(calibration.cells or (stripes,))[cell % max(len(calibration.cells), 1)] for cell in range(4)]
    return [
        tuple(
            (
                ((0.5 + x) / calibration.width + (0.5 + y) / calibration.height * calibration.tilt)
                * calibration.lens_pitch
                - calibration.center
            )
            % 1.0
            for x, y in cell
        )
        for cell in four
    ]


def fragment_source(dialect: Dialect) -> str:
    """The fragment shader for OpenGL 3.3 ("330 core") or WebGL2 ("300 es")."""
    return _header(dialect) + files("display").joinpath("lenticular.frag").read_text()


def vertex_source(dialect: Dialect) -> str:
    """One triangle over the whole viewport: draw three vertices, without any buffer."""
    return _header(dialect) + (
        "void main() {\n    gl_Position = vec4(vec2(gl_VertexID / 2, gl_VertexID % 2) * 4.0 - 1.0, 0.0, 1.0);\n}\n"
    )


def _header(dialect: Dialect) -> str:
    precision = "precision highp float;\nprecision highp int;\nprecision highp sampler2D;\n" if "es" in dialect else ""
    return f"#version {dialect}\n{precision}"
