"""The pages, in a real Chromium against a real server: a call from first visit to hanging up, and what may go wrong."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from server.settings import Settings
from tests.browsing import PLENTY, Visit, launch, served, write_film
from tests.live import painted_studio

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)

KEEP_STREAMS = """
window.captured = [];
if (window.MediaDevices) {  // not on about:blank
  const given = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function (wanted) {
    const stream = await given.call(this, wanted);
    captured.push(...stream.getTracks());
    return stream;
  };
}
"""
WITHOUT_WEBGL = """
const given = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.startsWith("webgl") ? null : given.call(this, kind, ...more);
};
"""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = write_film(tmp_path_factory.mktemp("film") / "camera.mjpeg", "mjpeg", "mjpeg", "yuvj420p")
    running = launch(playwright, film)
    yield running
    running.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FastAPI]]:
    """The server as people start it, with the relief engine."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("data"), port=0)) as running:
        yield running


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FastAPI]]:
    """A server whose view i is painted red with 10 x i, so that pixels tell the angle."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("painted"), port=0), painted_studio) as running:
        yield running


def start(page: Page, channel: str) -> None:
    page.get_by_role("textbox", name="Channel").fill(channel)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")


def glass(page: Page) -> np.ndarray:
    """[H, W, 3] uint8: what is seen on the glass."""
    return np.asarray(Image.open(io.BytesIO(page.locator(".glass").screenshot())).convert("RGB"))


def test_a_call_from_first_visit_to_hanging_up(browser: Browser, real: tuple[str, FastAPI]) -> None:
    address, app = real
    visit = Visit(browser, KEEP_STREAMS)
    page = visit.open(address)
    expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()

    page.get_by_role("radio", name="New").check()
    page.get_by_role("button", name="Take a snapshot").click()
    expect(page.get_by_alt_text("The portrait you chose")).to_be_visible()
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.get_by_role("alert").filter(has_text="Say whose face it is")).to_be_visible()
    assert len(app.state.studio.avatars.records()) == 1, "nothing is sent before consent"
    page.get_by_role("radio", name="Mine").check()
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.get_by_role("radio", name="Snapshot")).to_be_checked()

    page.get_by_role("switch", name="Send my voice").check()
    start(page, "first-call")
    assert app.state.lobby.channels["first-call"].voice is not None
    expect(page.locator("#rate")).to_have_text(re.compile(r"\d"))
    expect(page.get_by_role("row", name=re.compile("render"))).to_be_visible()
    link = page.get_by_role("textbox", name="Viewers’ link").input_value()
    assert link == f"{address}view/first-call"

    viewer = visit.open(link)
    expect(viewer.get_by_text("Live", exact=True).first).to_be_visible()
    viewer.get_by_role("slider").press("ArrowRight")  # ends the sway: what moves from here on is the face
    viewer.wait_for_timeout(1500)
    before = glass(viewer)
    viewer.wait_for_timeout(1500)
    assert np.abs(glass(viewer).astype(int) - before).max() > 40, "the hologram moves"
    assert before.mean() > 10, "there is something to be seen"

    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert page.evaluate("captured.map((track) => track.readyState)") == ["ended"] * 2, (
        "camera and microphone are let go"
    )
    assert page.request.get(f"{address}api/channels/first-call").status == 404
    expect(viewer.get_by_role("status")).to_contain_text("Waiting for the caller")

    page.get_by_role("button", name="Forget Snapshot").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("radio", name="Snapshot")).to_have_count(0)
    assert len(app.state.studio.avatars.records()) == 1
    assert visit.complaints == []
    assert visit.hosts <= {address.split("/")[2], ""}, "nothing from outside ('' is blob:)"


@pytest.mark.parametrize(("script", "painter"), [("", "webgl2"), (WITHOUT_WEBGL, "2d")])
def test_the_shown_angle_follows_pointer_and_keys(
    browser: Browser, painted: tuple[str, FastAPI], script: str, painter: str
) -> None:
    visit = Visit(browser, script)
    start(visit.open(painted[0]), f"angle-{painter}")
    viewer = visit.open(f"{painted[0]}view/angle-{painter}")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    expect(viewer.locator("canvas")).to_have_attribute("data-painter", painter)

    def view_at(share: float) -> float:
        box = viewer.locator("#surface").bounding_box()
        assert box is not None
        viewer.mouse.move(box["x"] + 1 + share * (box["width"] - 2), box["y"] + box["height"] / 2)
        viewer.wait_for_timeout(1200)
        return _view(viewer)

    shown = [view_at(share) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert shown == pytest.approx([0, 5.75, 11.5, 17.25, 23], abs=0.7), "between two views both are mixed"

    viewer.keyboard.press("ArrowLeft")
    viewer.wait_for_timeout(1200)
    assert _view(viewer) == pytest.approx(22.0, abs=0.8), "a key turns by 1.5 degrees: one view of 35/23"
    assert visit.complaints == []
    visit.context.close()


def _view(page: Page) -> float:
    """The painted view's number, from pixels that the mark does not cover."""
    seen = glass(page)
    height, width = seen.shape[:2]
    return float(seen[height // 3 : height // 2, width // 3 : width // 2, 0].mean()) / 10


PAINT_EDGES = """async ([odd, slow]) => {
  const { WebGLPainter, CanvasPainter } = await import("/pages/painters.js");
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


def test_without_a_camera_a_video_file_drives(
    playwright: Playwright, real: tuple[str, FastAPI], tmp_path: Path
) -> None:
    browser = launch(playwright, film=None)
    visit = Visit(browser)
    page = visit.open(real[0])
    expect(page.get_by_role("radio", name="Puppet")).to_be_checked()
    page.get_by_role("radio", name="Camera").check()
    page.get_by_role("button", name="Turn on camera").click()
    expect(page.get_by_role("alert").filter(has_text="None is connected")).to_be_visible()

    page.get_by_role("radio", name="Video file").check()
    page.get_by_label("Choose a video").set_input_files(write_film(tmp_path / "me.mp4", "libx264", "mp4", "yuv420p"))
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    start(page, "from-a-file")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    browser.close()


def test_without_a_camera_the_puppet_drives(playwright: Playwright, real: tuple[str, FastAPI]) -> None:
    browser = launch(playwright, film=None)
    page = Visit(browser).open(real[0])
    expect(page.get_by_role("radio", name="Puppet")).to_be_checked()
    start(page, "puppet-show")
    browser.close()


def test_closing_the_page_ends_the_call(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    visit = Visit(browser)
    page = visit.open(painted[0])
    start(page, "closed")
    onlooker = visit.open(f"{painted[0]}view/closed")
    expect(onlooker.locator("#stage")).to_have_attribute("data-state", "live")
    page.close()
    expect(onlooker.get_by_role("status")).to_contain_text("Waiting for the caller")
    visit.context.close()


def test_refusals_are_shown_where_they_arise(browser: Browser, real: tuple[str, FastAPI], tmp_path: Path) -> None:
    page = Visit(browser).open(real[0])
    (tmp_path / "letter.jpg").write_text("Dear sir or madam")
    page.get_by_role("radio", name="New").check()
    page.get_by_label("Upload a photo").set_input_files(tmp_path / "letter.jpg")
    page.get_by_role("radio", name="Mine").check()
    page.get_by_role("button", name="Make the avatar").click()
    refusal = page.get_by_role("region", name="Who they see").get_by_role("alert")
    expect(refusal).to_contain_text("not an image")

    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("Choose an avatar")
    page.get_by_role("radio", name="Grace Hopper").check()
    page.get_by_role("textbox", name="Channel").fill("with spaces")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("letters, digits")


def test_a_channel_is_taken_once(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    first, second = Visit(browser), Visit(browser)
    start(first.open(painted[0]), "wanted")
    page = second.open(painted[0])
    page.get_by_role("textbox", name="Channel").fill("wanted")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("live in 'wanted' already")
    first.context.close()
    second.context.close()


def test_a_token_is_asked_for_and_kept_out_of_the_address(browser: Browser, tmp_path: Path) -> None:
    with served(Settings(data_dir=tmp_path, port=0, token="open sesame"), painted_studio) as (address, _):  # type: ignore[arg-type]
        visit = Visit(browser)
        page = visit.open(address)
        page.get_by_role("textbox", name="Token").fill("wrong")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="That token was not accepted")).to_be_visible()
        page.get_by_role("textbox", name="Token").fill("open sesame")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
        visit.context.close()

        visit = Visit(browser)
        page = visit.open(f"{address}#token=open%20sesame")
        expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
        assert page.url == address
        start(page, "guarded")
        expect(page.get_by_text("asks viewers for its access token")).to_be_visible()
        visit.context.close()


CONTRASTS = """() => {
  const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a > 0.5) return [r, g, b];
    }
    return channels(getComputedStyle(document.documentElement).backgroundColor);
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own || !element.checkVisibility({ visibilityProperty: true }) || element.closest(":disabled, .skip, noscript")) continue;
    const [a, b] = [light(channels(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, [role]")]
  .filter((element) => element.checkVisibility() && !["alert", "status"].includes(element.role))
  .filter((element) => !(element.ariaLabel || element.getAttribute("aria-labelledby") || element.labels?.length
    || element.textContent.trim()))
  .map((element) => element.outerHTML)"""


def test_pages_can_be_read_and_used_without_eyes_or_mouse(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    visit = Visit(browser)
    page = visit.open(painted[0])
    expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
    snapshot = page.locator("body").aria_snapshot()
    for expected in (
        'heading "Call as a hologram" [level=1]',
        'group "What moves the avatar"',
        'radiogroup "Who they see"',
        'switch "Send my voice"',
        'button "Start"',
        'img "Hologram of an AI avatar',
    ):
        assert expected in snapshot, snapshot
    _assert_legible(page)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the three steps")).to_be_focused()
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
            )
        )
        if order[-1] == "start":
            break
    assert order == ["brand", "driver", "camera-switch", "avatar", "channel", "voice", "start"], order
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is to be seen"
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    _assert_legible(page)

    viewer = visit.open(page.get_by_role("textbox", name="Viewers’ link").input_value())
    expect(viewer.get_by_role("status")).to_contain_text("Live")
    expect(viewer.get_by_role("img", name="An AI avatar, moved live by a real person’s face.")).to_be_visible()
    expect(viewer.get_by_role("slider", name="Angle in degrees")).to_be_visible()
    assert "AI avatar" in viewer.title()
    _assert_legible(viewer)
    viewer.get_by_role("radio", name="Window").focus()
    viewer.keyboard.press("ArrowRight")
    expect(viewer.locator("#stage")).to_have_attribute("data-mode", "quilt")
    expect(viewer.locator("video")).to_have_js_property("videoWidth", 1536)
    viewer.keyboard.press("ArrowRight")
    expect(viewer.locator("video")).to_have_js_property("videoWidth", 512)
    viewer.keyboard.press("ArrowRight")
    expect(viewer.get_by_role("heading", name="On your Looking Glass")).to_be_visible()
    expect(viewer.get_by_role("alert")).to_contain_text("Start it and look again")
    _assert_legible(viewer)
    refused = "Failed to load resource: net::ERR_CONNECTION_REFUSED"  # nobody's Bridge runs here
    assert [words for words in visit.complaints if words != refused] == []
    visit.context.close()


def _assert_legible(page: Page) -> None:
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_pages_fit_every_width(browser: Browser, painted: tuple[str, FastAPI], width: int) -> None:
    visit = Visit(browser)
    for path in ("", "view/nobody"):
        page = visit.open(painted[0] + path)
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for mode in ("Window", "Quilt", "Video"):
        page.get_by_role("radio", name=mode).check(force=True)
        expect(page.get_by_text("Waiting for the caller")).to_be_in_viewport(ratio=1)
    visit.context.close()
