"""Glasses: Looking Glasses for tests of the pages: a small one on a second screen, what its calibration file holds, and where
panel pictures may differ."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from playwright.sync_api import Page

from display.calibration import Calibration
from display.lenticular import CellTable, places
from tests.browsing import Visit

RECORD: dict[str, Any] = {
    "serial": "LKG-T00001",
    "pitch": 8.0,
    "slope": -5.0,
    "center": 0.1,
    "viewCone": 40,
    "DPI": 100,
    "screenW": 640,
    "screenH": 480,
    "invView": 1,
}
"A Looking Glass of 640x480, as its file says."
SCREENS = "--screen-info={1024x720 label='Main'}{640x480 label='LKG-T00001'}{640x480 devicePixelRatio=1.25}"
"Chromium's flag for three screens side by side: an ordinary one, the Looking Glass, and one of as many pixels that is scaled."
MAIN, GLASS, SCALED = 0, 1024, 1664
"Where they begin from the left."
SEAM = 0.01
"Views. So near to where a lens's last view meets its first, a float may fall to the other side."


def as_record(one: Calibration) -> str:
    """The text of a calibration file."""
    cells = [
        {
            f"{colour}Offset{axis}": at
            for colour, place in zip("RGB", cell, strict=True)
            for axis, at in zip("XY", place, strict=True)
        }
        for cell in one.cells
    ]
    wrapped = {
        "pitch": one.pitch,
        "slope": one.slope,
        "center": one.center,
        "DPI": one.dpi,
        "screenW": one.width,
        "screenH": one.height,
        "invView": int(one.invert_views),
        "flipImageX": int(one.flip_image_x),
        "flipSubp": int(one.flip_subpixels),
        "CellPatternMode": one.cell_mode,
    }
    return json.dumps({name: {"value": value} for name, value in wrapped.items()} | {"subpixelCells": cells})


def off(shown: np.ndarray, right: np.ndarray, calibration: Calibration, views: int) -> np.ndarray:
    """How far two panel pictures are apart, but for the seams between lenses; both [H, W, 3] uint8, top row first."""
    y, x = np.mgrid[calibration.height - 1 : -1 : -1, 0 : calibration.width]
    across = np.stack([places(x, y, calibration, channel, CellTable.BRIDGE) for channel in range(3)], axis=-1)
    apart = np.abs(shown.astype(int) - right)
    return np.where(np.minimum(across, 1 - across) * views < SEAM, 0, apart)


def fill_screen(visit: Visit, page: Page, left: int) -> None:
    """The page's window over the whole screen that begins at `left`, as after F11."""
    session = visit.context.new_cdp_session(page)
    window = session.send("Browser.getWindowForTarget")["windowId"]
    for bounds in (
        {"windowState": "normal"},
        {"left": left, "top": 0, "width": 400, "height": 300},
        {"windowState": "fullscreen"},
    ):
        session.send("Browser.setWindowBounds", {"windowId": window, "bounds": bounds})
        page.wait_for_timeout(200)  # the window takes a moment to settle before it can be moved on
    session.detach()
