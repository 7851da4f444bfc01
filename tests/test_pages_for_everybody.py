"""The pages without eyes or mouse, and at every width; in a real Chromium."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect

from tests.browsing import PLENTY, Visit, filmed_browser, painted_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
browser = pytest.fixture(scope="module")(filmed_browser)
painted = pytest.fixture(scope="module")(painted_server)


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
    assert order == ["brand", "call", "driver", "camera-switch", "avatar", "channel", "engine", "voice", "start"], order
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is to be seen"
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    _assert_legible(page)

    viewer = visit.open(page.get_by_role("textbox", name="Viewers’ link").input_value())
    expect(viewer.get_by_role("status")).to_contain_text("Live")
    expect(
        viewer.get_by_role("img", name="A synthetic 3D avatar of a portrait, moved by a person's face before a camera.")
    ).to_be_visible()
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


FITS = "width => document.documentElement.scrollWidth <= width"
"Once the page has been laid out for its new size: Chromium takes a frame or two to measure anew what is sized by its container."


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_pages_fit_every_width(browser: Browser, painted: tuple[str, FastAPI], width: int) -> None:
    visit = Visit(browser)
    for path in ("", "view/nobody"):
        page = visit.open(painted[0] + path)
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(FITS, arg=width)
    for mode in ("Window", "Quilt", "Video"):
        page.get_by_role("radio", name=mode).check(force=True)
        expect(page.get_by_text("Waiting for the caller")).to_be_in_viewport(ratio=1)
    visit.context.close()
