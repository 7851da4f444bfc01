"""Panels: small invented displays, quilts whose tiles tell their number, and the folder of facts beside the checkout."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from display.calibration import Calibration, read
from display.lenticular import CellTable, Window
from display.tiling import Tiling
from tests.conftest import SHARED, module_at

FACTS = SHARED / "lookingglass"
GOLDEN = FACTS / "golden"

STRIPES = Calibration(pitch=8.0, slope=-5.0, center=0.1, dpi=100.0, width=96, height=60)
FLIPPED = Calibration(
    pitch=9.0,
    slope=4.0,
    center=-0.3,
    dpi=100.0,
    width=60,
    height=96,
    invert_views=False,
    flip_image_x=True,
    flip_subpixels=True,
)
CELLS = Calibration(
    pitch=8.0,
    slope=-6.3,
    center=0.35,
    dpi=100.0,
    width=90,
    height=54,
    cell_mode=2,
    cells=(((-0.31, 0.25), (0.28, 0.25), (0.0, -0.25)), ((-0.31, -0.25), (0.28, -0.25), (0.0, 0.25))),
)
PANELS = {"stripes": STRIPES, "flipped": FLIPPED, "cells": CELLS}


def numbered(tiling: Tiling) -> np.ndarray:
    """[H, W, 3] uint8: tile k is painted with the number k, padding with 255."""
    quilt = np.full((tiling.height, tiling.width, 3), 255, np.uint8)
    for view in range(tiling.views):
        tile(quilt, tiling, view)[...] = view
    return quilt


def noisy(tiling: Tiling, channels: int = 3) -> np.ndarray:
    """[H, W, channels] uint8: smooth noise, another in each tile, and white padding."""
    random = np.random.default_rng(7)
    quilt = np.full((tiling.height, tiling.width, channels), 255, np.uint8)
    for view in range(tiling.views):
        coarse = random.integers(0, 256, (tiling.tile_height // 4 + 1, tiling.tile_width // 4 + 1, channels))
        fine = coarse.repeat(4, axis=0).repeat(4, axis=1)
        tile(quilt, tiling, view)[...] = fine[: tiling.tile_height, : tiling.tile_width]
    return quilt


def tile(quilt: np.ndarray, tiling: Tiling, view: int) -> np.ndarray:
    """The part of a quilt that holds `view`, shared memory."""
    left = view % tiling.columns * tiling.tile_width
    bottom = tiling.height - view // tiling.columns * tiling.tile_height
    return quilt[bottom - tiling.tile_height : bottom, left : left + tiling.tile_width]


@dataclass(frozen=True)
class Case:
    """A golden case: what goes in, and files of what comes out."""

    name: str
    calibration: Calibration
    tiling: Tiling
    options: dict[str, Any]
    "Keywords of interlace()."
    facts: dict[str, Any]

    @property
    def quilt(self) -> np.ndarray:
        return inputs().make_quilt(self.tiling.columns, self.tiling.rows, self.tiling.width, self.tiling.height)

    def wanted(self) -> list[Wanted]:
        with np.load(GOLDEN / f"{self.name}.npz") as kept:
            return [
                Wanted(
                    window=(int(x), int(y), int(width), int(height)),
                    place=kept[f"s_{index}"],
                    view=kept[f"view_{index}"],
                    views=self.tiling.views,
                    nearest=kept[f"bilinear_tile_{index}"],
                    blended=kept[f"blend2_tile_{index}"],
                )
                for index, (x, y, width, height) in enumerate(kept["rects"])
            ]


@dataclass(frozen=True)
class Wanted:
    """A part of the panel as the official shaders show it; [h, w, 3] each, top row first."""

    window: Window
    place: np.ndarray
    "float32, in views: its floor is the nearest view."
    view: np.ndarray
    views: int
    nearest: np.ndarray
    blended: np.ndarray

    @property
    def blended_without_wrap(self) -> np.ndarray:
        """The official blend reaches from the last view round to the first; Bridge's, and ours, leaves the last alone."""
        return np.where(self.view == self.views - 1, self.nearest, self.blended)


def names() -> list[str]:
    """Of the golden cases; one that is skipped where the facts are not beside the checkout."""
    return list(facts()) if GOLDEN.is_dir() else ["absent"]


def case(name: str) -> Case:
    if name == "absent":
        pytest.skip(f"{GOLDEN} is not beside this checkout")
    found = facts()[name]
    calibration = read(FACTS / "calibrations" / found["calibration"])
    columns, rows, (width, height), given = found["columns"], found["rows"], found["quilt"], found["args"]
    aspect = given.get("quilt_aspect", calibration.aspect)
    options = {
        "cells": CellTable(given.get("table", "bridge")),
        "overscan": given.get("overscan", False),
        "focus": given.get("focus", 0.0),
    }
    return Case(name, calibration, Tiling(columns, rows, columns * rows, width, height, aspect), options, found)


@cache
def facts() -> dict[str, Any]:
    return json.loads((GOLDEN / "cases.json").read_text())


@cache
def inputs() -> ModuleType:
    """What paints the golden quilts."""
    return module_at(GOLDEN / "inputs.py")
