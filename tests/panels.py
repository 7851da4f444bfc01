"""Panels: small invented displays, quilts whose tiles tell their number, and what panels show: by our own plain definition, and,
marked golden, by the official shaders where ../shared has their pictures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from display.calibration import Calibration, read
from display.lenticular import CellTable, Window
from display.tiling import Tiling
from tests.conftest import SHARED, module_at
from tests.looking_glass import definition
from tests.looking_glass.definition import CALIBRATIONS, GOLDEN

OFFICIAL = SHARED / "lookingglass"

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
    folder: Path

    @cached_property
    def quilt(self) -> np.ndarray:
        if self.folder == GOLDEN:
            return definition.CASES[self.name].quilt.pixels()
        tiling = self.tiling
        return module_at(self.folder / "inputs.py").make_quilt(tiling.columns, tiling.rows, tiling.width, tiling.height)

    def wanted(self) -> list[Wanted]:
        with np.load(self.folder / f"{self.name}.npz") as kept:
            return [
                Wanted(
                    window=(int(x), int(y), int(width), int(height)),
                    place=kept[f"s_{index}"],
                    view=kept[f"view_{index}"],
                    nearest=kept[f"bilinear_tile_{index}"],
                    blended=self._without_wrap(kept, index),
                )
                for index, (x, y, width, height) in enumerate(kept["rects"])
            ]

    def _without_wrap(self, kept: Any, index: int) -> np.ndarray:
        """The official blend reaches from the last view round to the first; Bridge's, and ours, stays with the last."""
        view, blended = kept[f"view_{index}"], kept[f"blend2_tile_{index}"]
        if self.folder == GOLDEN:
            return blended
        return np.where(view == self.tiling.views - 1, kept[f"bilinear_tile_{index}"], blended)


@dataclass(frozen=True)
class Wanted:
    """A part of the panel as it should be shown; [h, w, 3] each, top row first."""

    window: Window
    place: np.ndarray
    "float32, in views: its floor is the nearest view."
    view: np.ndarray
    nearest: np.ndarray
    blended: np.ndarray


def cases(fact: str = "derived") -> list[Any]:
    """For parametrize: the names of our own cases, and of the official ones that tell that fact, which are golden."""
    official = OFFICIAL / "golden"
    theirs = [f"official_{name}" for name in told(official, fact)] if official.is_dir() else ["official"]
    return [*told(GOLDEN, fact), *(pytest.param(name, marks=pytest.mark.golden) for name in theirs)]


def told(folder: Path, fact: str) -> dict[str, Any]:
    """Facts of a folder's cases by name; a case is left out where it lacks `fact`."""
    found = json.loads((folder / "cases.json").read_text())
    return {name: facts for name, facts in found.items() if fact in facts}


def case(name: str) -> Case:
    """One of cases(). The test is skipped where it is an official one and those are not here."""
    ours = not name.startswith("official")
    folder, calibrations = (GOLDEN, CALIBRATIONS) if ours else (OFFICIAL / "golden", OFFICIAL / "calibrations")
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    name = name.removeprefix("official_")
    found = told(folder, "derived")[name]
    calibration = read(calibrations / found["calibration"])
    columns, rows, (width, height), given = found["columns"], found["rows"], found["quilt"], found["args"]
    aspect = given.get("quilt_aspect", calibration.aspect)
    options = {
        "cells": CellTable(given.get("table", "bridge")),
        "overscan": given.get("overscan", False),
        "focus": given.get("focus", 0.0),
    }
    return Case(name, calibration, Tiling(columns, rows, columns * rows, width, height, aspect), options, found, folder)
