"""Hologram mode's arithmetic in a real Chromium: the browser's twins against the server's own, and what counts as fitting."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page

from display import lenticular
from display.calibration import Calibration, CalibrationRejected, parse
from display.lenticular import Tiling, interlace
from display.screen import screens
from server.routes.pages import PAGE_HEADERS, VIEWER_HEADERS
from server.settings import Settings
from tests.browsing import Visit, browsing, served
from tests.glasses import RECORD, as_record, off
from tests.live import painted_services
from tests.panels import CALIBRATIONS, CELLS, FLIPPED, STRIPES, noisy

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TILINGS = [
    Tiling.of(screens()["telequilt"], parallel=True),
    Tiling.of(screens()["telequilt"]),
    Tiling.of(screens()["portrait"]),
    Tiling.of(screens()["go_p"], parallel=True),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with (
        served(Settings(data_dir=tmp_path_factory.mktemp("data"), port=0), painted_services) as (address, _),
        browsing(None) as browser,
    ):
        yield Visit(browser).open(f"{address}view/nobody")


def records() -> Iterator[str]:
    """Calibrations as files hold them, of every kind of display, and odd ones."""
    yield from (path.read_text() for path in sorted(CALIBRATIONS.glob("*.json")))
    yield from (
        as_record(one) for one in (STRIPES, FLIPPED, CELLS, replace(CELLS, cell_mode=3), replace(CELLS, cell_mode=4))
    )
    yield json.dumps(RECORD | {"flipSubp": True, "serial": None, "viewCone": {"value": 54}})


UNIFORMS = """async ([record, tiling]) => {
  const { parse } = await import("/pages/viewer/calibration.js");
  const { uniforms } = await import("/pages/viewer/lenticular.js");
  return uniforms(tiling, parse(record));
}"""


def as_page_has_it(tiling: Tiling) -> dict[str, Any]:
    names = ("columns", "rows", "views", "width", "height", "aspect", "parallel")
    return {name: getattr(tiling, name) for name in names} | {"fan": np.radians(tiling.fan_degrees).item()}


def test_numbers_for_the_shader_are_the_servers(page: Page) -> None:
    for record in records():
        for tiling in TILINGS:
            wanted = lenticular.uniforms(tiling, parse(record))
            found = page.evaluate(UNIFORMS, [record, as_page_has_it(tiling)])
            assert found.keys() == wanted.keys()
            for name, value in wanted.items():
                np.testing.assert_allclose(
                    found[name], np.ravel(value), rtol=1e-9, atol=1e-15, err_msg=f"{name}: {record}"
                )


def test_a_channels_tiling_is_the_servers(page: Page) -> None:
    asked = """async () => {
      const { tilingOf } = await import("/pages/shared/tiling.js");
      return (await (await fetch("/api/screens")).json()).map((one) => [one.name, tilingOf(one, true)]);
    }"""
    for name, found in page.evaluate(asked):
        wanted = as_page_has_it(Tiling.of(screens()[name], parallel=True))
        assert found == pytest.approx(wanted), name


BAD: list[tuple[str, Any]] = [
    ("pitch", None),
    ("pitch", "wide"),
    ("pitch", 0),
    ("pitch", True),
    ("pitch", {"value": None}),
    ("pitch", [8]),
    ("pitch", 700),
    ("slope", 0.001),
    ("slope", 1e9),
    ("center", {"value": "0"}),
    ("DPI", -1),
    ("screenW", 640.5),
    ("screenH", 1e6),
    ("viewCone", 0),
    ("invView", 3),
    ("serial", 7),
    ("serial", "x" * 300),
    ("CellPatternMode", 5),
    ("subpixelCells", "none"),
    ("subpixelCells", [{"ROffsetX": 0}]),
    ("subpixelCells", [[1, 2]]),
]
MISSING = [name for name in RECORD if name not in ("serial", "invView", "viewCone")]
TEXTS = ["", "  ", "{", "[]", "3", "null", '{"pitch": NaN}', "<!doctype html>"]
REFUSAL = """async (record) => {
  const { parse, CalibrationRejected } = await import("/pages/viewer/calibration.js");
  try { parse(record, "It"); } catch (failure) { return failure instanceof CalibrationRejected ? failure.message : String(failure); }
  return "";
}"""


def test_what_the_server_refuses_the_page_refuses_in_the_same_words(page: Page) -> None:
    records = [json.dumps(RECORD | {name: value}) for name, value in BAD]
    records += [json.dumps({name: value for name, value in RECORD.items() if name != left}) for left in MISSING]
    for record in records:
        with pytest.raises(CalibrationRejected) as wanted:
            parse(record, "It")
        said = page.evaluate(REFUSAL, record)
        subject = str(wanted.value).replace("'", "’").split(" is ")[0].split(" are ")[0]
        assert said.startswith(f"{subject} is "), (said, str(wanted.value))
    for text in [*TEXTS, json.dumps(RECORD)[:-5], json.dumps(RECORD).replace("8.0", "1e999")]:
        with pytest.raises(CalibrationRejected):
            parse(text, "It")
        assert page.evaluate(REFUSAL, text).startswith("It"), text
    assert page.evaluate(REFUSAL, json.dumps(RECORD)) == ""


INTERLACED = """async ([record, tiling, pixels]) => {
  const { parse } = await import("/pages/viewer/calibration.js");
  const { Interlacer } = await import("/pages/viewer/lenticular.js");
  const calibration = parse(record);
  const across = tiling.width + (tiling.width % 2), down = tiling.height + (tiling.height % 2);
  const quilt = new ImageData(across, down);
  quilt.data.set(Uint8Array.from(atob(pixels), (one) => one.charCodeAt(0)));
  const canvas = document.createElement("canvas");
  const interlacer = new Interlacer(canvas);
  interlacer.aim(tiling, calibration);
  while (interlacer.trouble(tiling, calibration)) await new Promise((done) => setTimeout(done, 10));
  interlacer.take(quilt);
  interlacer.paint();
  const gl = canvas.getContext("webgl2");
  const shown = new Uint8Array(4 * canvas.width * canvas.height);
  gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, shown);
  let text = "";
  for (const one of shown) text += String.fromCharCode(one);
  return [canvas.width, canvas.height, gl.getError(), btoa(text)];
}"""


@pytest.mark.parametrize(
    "tiling", [Tiling(6, 4, 24, 384, 256, 1.0, 35.0), Tiling(5, 3, 14, 333, 191, 1.6)], ids=["even", "odd"]
)
@pytest.mark.parametrize("calibration", [STRIPES, FLIPPED, CELLS], ids=["stripes", "flipped", "cells"])
def test_the_browser_interlaces_as_the_plain_twin_does(page: Page, calibration: Calibration, tiling: Tiling) -> None:
    """A quilt with odd sides comes in a video with even ones, padded at the right and at the top."""
    quilt = noisy(tiling, 4)
    quilt[..., 3] = 255
    video = np.pad(quilt, ((tiling.height % 2, 0), (0, tiling.width % 2), (0, 0)), constant_values=255)
    sent = base64.b64encode(video.tobytes()).decode()
    width, height, error, text = page.evaluate(INTERLACED, [as_record(calibration), as_page_has_it(tiling), sent])
    assert (width, height, error) == (calibration.width, calibration.height, 0)
    found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[::-1, :, :3]
    assert off(found, interlace(quilt, tiling, calibration), calibration, tiling.views).max() <= 2


MEASURED: dict[str, Any] = {
    "ratio": 1, "pinch": 1, "zoom": 1, "window": [640, 480], "screen": [640, 480], "canvas": [0, 0, 640, 480]
}  # fmt: skip
FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"ratio": 2}, []),  # a whole number of the panel's pixels to each of the page's
    ({"pinch": 1.3}, ["enlarged to 130 %"]),
    ({"ratio": 1.25, "zoom": 1.25}, ["zoom is 125 %"]),
    ({"ratio": 2, "zoom": 2}, ["zoom is 200 %"]),
    ({"ratio": 1.25}, ["scaled to 125 %"]),
    ({"ratio": 0.9, "pinch": 2, "window": [1, 1]}, ["enlarged to 200 %", "scaled to 90 %"]),
    ({"window": [640, 400]}, ["640 × 400 pixels, not the panel’s 640 × 480"]),
    ({"window": [480, 640], "screen": [480, 640]}, ["turned by a quarter"]),
    (
        {"window": [1600, 900], "screen": [1600, 900]},
        ["a screen of 1600 × 900 pixels; the Looking Glass has 640 × 480"],
    ),
    ({"canvas": [0, 0, 639, 480]}, ["does not meet"]),
    ({"canvas": [0.5, 0, 640, 480]}, ["does not meet"]),
    ({"canvas": [0, -12, 640, 480]}, ["does not meet"]),
]


@pytest.mark.parametrize(("change", "wanted"), FAULTS)
def test_one_pixel_beside_is_a_fault_in_words(page: Page, change: dict[str, Any], wanted: list[str]) -> None:
    asked = "async ([panel, seen]) => (await import('/pages/viewer/alignment.js')).faults(panel, seen)"
    found = page.evaluate(asked, [{"width": 640, "height": 480}, MEASURED | change])
    assert len(found) == len(wanted), found
    for fault, words in zip(found, wanted, strict=True):
        assert words in fault["what"]
        assert fault["mend"].endswith("."), fault


MAIN = {"label": "Main", "left": 0, "top": 0, "width": 640, "height": 480, "devicePixelRatio": 1}
GLASS = MAIN | {"label": "LKG-T00001", "left": 640}
SCREENS: list[tuple[list[dict[str, Any]], int | None]] = [
    ([MAIN | {"width": 1600}], None),
    ([MAIN | {"width": 1600}, MAIN | {"label": ""}], 1),
    ([MAIN, GLASS | {"width": 320}], 1),  # its name says more than its resolution
    ([MAIN, GLASS | {"label": "LKG-X"}, GLASS], 2),
    ([MAIN | {"width": 1600}, MAIN | {"width": 320, "height": 240, "devicePixelRatio": 2}], 1),
    ([MAIN, MAIN | {"left": 640}], 1),  # where Bridge said that it lies
    ([], None),
]


@pytest.mark.parametrize(("screens", "wanted"), SCREENS)
def test_the_screen_that_is_the_display_is_found(page: Page, screens: list[dict[str, Any]], wanted: int | None) -> None:
    asked = """async ([screens, wanted]) => {
      const found = (await import("/pages/viewer/screens.js")).likeliest(screens, wanted);
      return found && screens.indexOf(found);
    }"""
    display = {"calibration": {"width": 640, "height": 480, "serial": "LKG-T00001"}, "place": [640, 0]}
    assert page.evaluate(asked, [screens, display]) == wanted


def test_only_the_viewers_page_may_ask_bridge() -> None:
    kept = {name: value for name, value in VIEWER_HEADERS.items() if name != "Content-Security-Policy"}
    assert kept == {name: value for name, value in PAGE_HEADERS.items() if name != "Content-Security-Policy"}
    before, after = (set(one["Content-Security-Policy"].split("; ")) for one in (PAGE_HEADERS, VIEWER_HEADERS))
    assert after ^ before == {"connect-src 'self'", "connect-src 'self' http://localhost:33334"}
