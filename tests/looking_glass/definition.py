"""Definition: which view each subpixel of a panel shows, and its colour, one subpixel at a time in float64.

Straight from a calibration's fields and the vendor's formulas (holoplay-core.js 0.0.11, Looking Glass WebXR 0.6.0, the Unity
plugin's Lenticular shader); imports nothing of display/. `python -m tests.looking_glass.definition` makes the arrays in golden/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import atan, cos, floor
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
CALIBRATIONS, GOLDEN = HERE / "calibrations", HERE / "golden"
CROP = 20
"Pixels of a square part of a panel that is larger than 100 pixels; three parts of each are kept."

Pixel = tuple[int, int]
"(x, y), y down."


@dataclass(frozen=True)
class Panel:
    """A calibration's fields as they stand in its file."""

    pitch: float
    slope: float
    center: float
    DPI: float
    screenW: float
    screenH: float
    invView: float
    flipImageX: float
    flipSubp: float
    CellPatternMode: float = 0
    cells: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def read(cls, name: str) -> Panel:
        record = json.loads((CALIBRATIONS / f"{name}.json").read_text())
        numbers = {key: value["value"] for key, value in record.items() if isinstance(value, dict)}
        known = {key: value for key, value in numbers.items() if key in cls.__dataclass_fields__}
        return cls(**known, cells=record.get("subpixelCells", []))

    @property
    def lens_pitch(self) -> float:
        return self.pitch * self.screenW / self.DPI * cos(atan(1 / self.slope))

    @property
    def tilt(self) -> float:
        return self.screenH / (self.screenW * self.slope) * self.mirror

    @property
    def subpixel(self) -> float:
        return self.mirror / (3 * self.screenW)

    @property
    def mirror(self) -> int:
        return -1 if self.flipImageX else 1

    @property
    def size(self) -> Pixel:
        return int(self.screenW), int(self.screenH)

    def uv(self, x: int, y: int) -> tuple[float, float]:
        """The pixel's middle over the panel, 0..1, v up."""
        return (x + 0.5) / self.screenW, (self.screenH - 1 - y + 0.5) / self.screenH

    def place(self, x: int, y: int, channel: int, table: str) -> float:
        """Where across the fan of views the lens sends this subpixel, 0..1."""
        u, v = self.uv(x, y)
        if self.cells:
            cell = self.cells[self.cell(x, int(self.screenH) - 1 - y, table) % len(self.cells)]
            u += cell["RGB"[channel] + "OffsetX"] / self.screenW
            v += cell["RGB"[channel] + "OffsetY"] / self.screenH
        else:
            u += (2 - channel if self.flipSubp else channel) * self.subpixel
        lenses = (u + v * self.tilt) * self.lens_pitch - self.center
        phase = lenses - floor(lenses)
        return min(max(1 - phase if self.invView else phase, 1e-5), 0.999999)

    def cell(self, x: int, up: int, table: str) -> int:
        """Two tables are about: the vendor's ("bridge") and that of a fork of its WebXR library ("fork")."""
        by_mode = {0: 0, 1: (x + up) % 2, 2: x % 2, 3: (up + 2 * (x % 2)) % 4, 4: up % 2}
        if table == "fork":
            by_mode |= {2: up % 4, 4: x % 2}
        return by_mode[int(self.CellPatternMode)]


@dataclass(frozen=True)
class Quilt:
    """A painted quilt: every tile and every place in it has colours of its own."""

    columns: int
    rows: int
    width: int
    height: int
    aspect: float

    @property
    def views(self) -> int:
        return self.columns * self.rows

    @property
    def tile(self) -> tuple[int, int]:
        return self.width // self.columns, self.height // self.rows

    def pixels(self) -> np.ndarray:
        """[height, width, 3] uint8, top row first; padding at the right and the top is white."""
        painted = np.full((self.height, self.width, 3), 255, np.uint8)
        wide, high = self.tile
        x, y = np.meshgrid(np.arange(wide), np.arange(high))
        for view in range(self.views):
            left, bottom = view % self.columns * wide, self.height - view // self.columns * high
            colours = (
                view * 37 + x * 200 // wide,
                view * 91 + y * 200 // high,
                view * 53 + (x + y) * 90 // (wide + high),
            )
            painted[bottom - high : bottom, left : left + wide] = np.stack(colours, axis=-1) % 256
        return painted

    def colour(self, pixels: np.ndarray, view: int, u: float, v: float, channel: int) -> float:
        """0..255, bilinear within the tile of `view`; (u, v) in 0..1 of it, v up."""
        wide, high = self.tile
        column, row = (min(max(at * side - 0.5, 0.0), side - 1.0) for at, side in ((u, wide), (1 - v, high)))
        left, top = floor(column), floor(row)
        first = (self.height - (view // self.columns + 1) * high, view % self.columns * wide)
        near = [
            float(pixels[first[0] + min(top + below, high - 1), first[1] + min(left + beside, wide - 1), channel])
            for below in (0, 1)
            for beside in (0, 1)
        ]
        upper, lower = (a + (b - a) * (column - left) for a, b in (near[:2], near[2:]))
        return upper + (lower - upper) * (row - top)


@dataclass(frozen=True)
class Case:
    """A panel that shows a quilt."""

    panel: str
    quilt: Quilt
    args: dict[str, Any] = field(default_factory=dict)
    "table (of cells), focus (tile widths that the outermost views slide), overscan, quilt_aspect."

    def shown(self, panel: Panel, pixels: np.ndarray, at: Pixel, channel: int, blended: bool) -> float:
        """The colour of one subpixel, 0..255."""
        u, v = self.fitted(panel, *at)
        if not (0 <= u <= 1 and 0 <= v <= 1):
            return 0.0
        views, across = self.quilt.views, panel.place(*at, channel, self.args.get("table", "bridge"))
        view, focus = floor(across * views), self.args.get("focus", 0.0)
        here = self.quilt.colour(pixels, view, u + (2 * across - 1) * focus, v, channel)
        if not blended:
            return here
        slid = u + (2 * (across + 1 / views) - 1) * focus
        beyond = self.quilt.colour(pixels, min(view + 1, views - 1), slid, v, channel)
        return here + (beyond - here) * (across * views - view)

    def fitted(self, panel: Panel, x: int, y: int) -> tuple[float, float]:
        """The pixel's place in one view's picture: shown whole in a black border, or cut to fill the panel (overscan)."""
        u, v = panel.uv(x, y)
        wider = panel.screenW / panel.screenH / self.quilt.aspect
        if (wider >= 1) != self.args.get("overscan", False):
            return (u - 0.5) * wider + 0.5, v
        return u, (v - 0.5) / wider + 0.5


def quilt(columns: int, rows: int, width: int, height: int, aspect: float) -> Quilt:
    return Quilt(columns, rows, width, height, aspect)


CASES = {
    "portrait_8x6": Case("portrait", quilt(8, 6, 840, 840, 0.75)),
    "portrait_6x4": Case("portrait", quilt(6, 4, 192, 256, 0.75)),
    "go_11x6": Case("go_p", quilt(11, 6, 297, 288, 0.5625)),
    "spatial_8x6": Case("16_gen3_l", quilt(8, 6, 384, 216, 16 / 9)),
    "spatial_fork": Case("16_gen3_l", quilt(6, 4, 192, 96, 16 / 9), {"table": "fork"}),
    "spatial_upright": Case("16_gen3_p", quilt(11, 6, 264, 288, 0.5625)),
    "first_padded": Case("standard", quilt(5, 9, 256, 256, 1.6)),
    "first_rising": Case("standard_rising", quilt(6, 4, 150, 100, 1.6)),
    "small_stripes": Case("small_stripes", quilt(6, 4, 192, 128, 16 / 9)),
    "small_padded": Case("small_stripes", quilt(5, 9, 256, 256, 16 / 9)),
    "small_flipped": Case("small_flipped", quilt(6, 4, 150, 202, 0.5625)),
    "small_cells": Case("small_cells", quilt(6, 4, 192, 128, 16 / 9)),
    "small_bordered": Case("small_cells", quilt(6, 4, 192, 256, 0.8), {"quilt_aspect": 0.8}),
    "small_filled": Case("small_cells", quilt(6, 4, 192, 256, 0.8), {"quilt_aspect": 0.8, "overscan": True}),
    "small_focused": Case("small_stripes", quilt(6, 4, 192, 128, 16 / 9), {"focus": 0.02}),
}


def parts(panel: Panel) -> list[tuple[int, int, int, int]]:
    """(left, top, width, height) of what is kept: of a small panel the whole, of others both ends and the middle."""
    width, height = panel.size
    if width <= 100:
        return [(0, 0, width, height)]
    corners = ((0, 0), (width // 2 - 7, height // 2 - 5), (width - CROP, height - CROP))
    return [(left, top, CROP, CROP) for left, top in corners]


def arrays(case: Case) -> dict[str, np.ndarray]:
    """What is kept of one case: for part i `s_i` (places in views), `view_i`, and what both filters show there."""
    panel, pixels = Panel.read(case.panel), case.quilt.pixels()
    kept: dict[str, np.ndarray] = {"rects": np.array(parts(panel))}
    for index, (left, top, width, height) in enumerate(parts(panel)):
        subpixels = [(x, y, c) for y in range(top, top + height) for x in range(left, left + width) for c in range(3)]
        table = case.args.get("table", "bridge")
        places = np.array([panel.place(x, y, c, table) * case.quilt.views for x, y, c in subpixels])
        found = {"s": places.astype(np.float32), "view": np.floor(places).astype(np.uint8)}
        for name, blended in (("bilinear_tile", False), ("blend2_tile", True)):
            colours = np.array([case.shown(panel, pixels, (x, y), c, blended) for x, y, c in subpixels])
            found[name] = np.floor(colours + 0.5).astype(np.uint8)
        kept |= {f"{name}_{index}": values.reshape(height, width, 3) for name, values in found.items()}
    return kept


def facts(case: Case) -> dict[str, Any]:
    """What cases.json says of one case; the histogram of a panel that is kept whole."""
    panel, quilt = Panel.read(case.panel), case.quilt
    said: dict[str, Any] = {
        "calibration": f"{case.panel}.json",
        "columns": quilt.columns,
        "rows": quilt.rows,
        "quilt": [quilt.width, quilt.height],
        "args": case.args,
        "derived": {
            "pitch": panel.lens_pitch,
            "tilt": panel.tilt,
            "subp": panel.subpixel,
            "center": panel.center,
            "ri": 2 if panel.flipSubp else 0,
            "bi": 0 if panel.flipSubp else 2,
            "cells": len(panel.cells),
            "cell_mode": int(panel.CellPatternMode),
        },
    }
    if len(parts(panel)) == 1:
        views = arrays(case)["view_0"].reshape(-1, 3)
        said["full_frame_view_histogram_rgb"] = [np.bincount(one, minlength=quilt.views).tolist() for one in views.T]
    return said


def make() -> None:
    """Write golden/ anew."""
    GOLDEN.mkdir(exist_ok=True)
    for name, case in CASES.items():
        np.savez_compressed(GOLDEN / f"{name}.npz", **arrays(case))  # type: ignore[arg-type]
    told = {name: facts(case) for name, case in CASES.items()}
    (GOLDEN / "cases.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    make()
