"""The angle that is shown, by pointer and keys, and the two painters that show it; in a real Chromium."""

from __future__ import annotations

import time

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from tests.browsing import NAMELESS_GPU, PLENTY, WITHOUT_WEBGL, Visit, filmed_browser, glass, go_live, painted_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
browser = pytest.fixture(scope="module")(filmed_browser)
painted = pytest.fixture(scope="module")(painted_server)


@pytest.mark.parametrize(("script", "painter"), [(NAMELESS_GPU, "webgl2"), (WITHOUT_WEBGL, "2d")])
def test_the_shown_angle_follows_pointer_and_keys(
    browser: Browser, painted: tuple[str, FastAPI], script: str, painter: str
) -> None:
    visit = Visit(browser, script)
    go_live(visit.open(painted[0]), f"angle-{painter}")
    viewer = visit.open(f"{painted[0]}view/angle-{painter}")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    expect(viewer.locator("canvas")).to_have_attribute("data-painter", painter)

    for share, view in ((0, 0), (0.25, 5.75), (0.5, 11.5), (0.75, 17.25), (1, 23)):  # between two views both are mixed
        box = viewer.locator("#surface").bounding_box()
        assert box is not None
        viewer.mouse.move(box["x"] + 1 + share * (box["width"] - 2), box["y"] + box["height"] / 2)
        _expect_view(viewer, view)

    viewer.keyboard.press("ArrowLeft")  # turns by 1.5 degrees: one view of 35/23
    _expect_view(viewer, 22)
    assert visit.complaints == []
    visit.context.close()


def _expect_view(page: Page, view: float) -> None:
    """The angle eases to where it was sent, and rests there."""
    deadline = time.monotonic() + PLENTY / 1000
    while _view(page) != pytest.approx(view, abs=0.7) and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    page.wait_for_timeout(200)
    assert _view(page) == pytest.approx(view, abs=0.7)


def _view(page: Page) -> float:
    """The painted view's number, from pixels that the mark does not cover."""
    seen = glass(page)
    height, width = seen.shape[:2]
    return float(seen[height // 3 : height // 2, width // 3 : width // 2, 0].mean()) / 10


PAINT_EDGES = """async ([odd, slow]) => {
  const { WebGLPainter, CanvasPainter } = await import("/pages/shared/painters.js");
  const screen = { columns: 3, rows: 2, quilt_width: 96 + odd, quilt_height: 64 + odd, aspect: 1,
                   yaws_degrees: [-5, -3, -1, 1, 3, 5] };
  const source = document.createElement("canvas");
  source.width = screen.quilt_width + odd, source.height = screen.quilt_height + odd;
  source.videoWidth = source.width, source.videoHeight = source.height;
  const brush = source.getContext("2d");
  brush.fillStyle = "white";
  brush.fillRect(0, 0, source.width, source.height);
  for (let view = 0; view < 6; view += 1) {
    brush.fillStyle = `rgb(${40 * view}, 0, 0)`;
    brush.fillRect((view % 3) * 32, source.height - (Math.floor(view / 3) + 1) * 32, 32, 32);
  }
  const seen = [];
  for (const kind of [WebGLPainter, CanvasPainter]) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 77;
    const painter = new kind(canvas.getContext(kind === WebGLPainter ? "webgl2" : "2d"));
    painter.take(source);
    for (let view = 0; view < 6; view += 1) {
      painter.slow = slow;
      painter.paint(screen, view / 5);
      const copy = document.createElement("canvas");
      copy.width = copy.height = 77;
      const context = copy.getContext("2d");
      context.drawImage(canvas, 0, 0);
      const pixels = context.getImageData(0, 0, 77, 77).data;
      const worst = pixels.reduce((most, value, at) => at % 4 === 3 ? most
        : Math.max(most, Math.abs(value - (at % 4 === 0 ? 40 * view : 0))), 0);
      seen.push([kind.name, view, worst]);
    }
  }
  return seen;
}"""


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("slow", [False, True])
def test_tiles_do_not_bleed_and_both_painters_find_them(
    browser: Browser, painted: tuple[str, FastAPI], odd: int, slow: bool
) -> None:
    page = Visit(browser).open(painted[0])
    for painter, view, worst in page.evaluate(PAINT_EDGES, [odd, slow]):
        assert worst <= 1, f"{painter} mixes strangers into view {view}"


WHICH = """async (name) => {
  const given = WebGL2RenderingContext.prototype.getParameter;
  const { UNMASKED_RENDERER_WEBGL } = document.createElement("canvas").getContext("webgl2").getExtension("WEBGL_debug_renderer_info");
  WebGL2RenderingContext.prototype.getParameter = function (what) {
    return what === UNMASKED_RENDERER_WEBGL ? name : given.call(this, what);
  };
  const { painterFor } = await import(`/pages/shared/painters.js?${encodeURIComponent(name)}`);
  return painterFor(document.createElement("canvas")).kind;
}"""


def test_what_is_no_gpu_is_not_painted_with_as_if_it_were(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    page = Visit(browser).open(painted[0])
    for name, kind in {
        "ANGLE (NVIDIA, NVIDIA GeForce RTX 3060 Direct3D11 vs_5_0 ps_5_0, D3D11)": "webgl2",
        "Apple M1": "webgl2",
        "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (Subzero) (0x0000C0DE)), SwiftShader driver)": "2d",
        "llvmpipe, or similar": "2d",
        "ANGLE (Microsoft, Microsoft Basic Render Driver Direct3D11 vs_5_0 ps_5_0, D3D11)": "2d",
    }.items():
        assert page.evaluate(WHICH, name) == kind, name
