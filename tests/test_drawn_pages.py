"""The viewer's page draws for itself: the angle at once, whatever the link does; and what it does where it cannot."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, glass, go_live, served, write_calm
from tests.live import painted_services

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)

WISHING = "try { localStorage.setItem('telequilt-drawn', 'here'); } catch { /* about:blank */ }"
"This machine draws in software, so that a page left alone takes pictures."
GATED = """
window.link = { open: true };
const make = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...how) {
  const channel = make.apply(this, how);
  const listen = channel.addEventListener.bind(channel);
  channel.addEventListener = (kind, heard) => listen(kind, (event) => {
    if (link.open || kind !== "message") heard(event);
  });
  return channel;
};
window.drawn = 0;
window.seen = null;
const small = Object.assign(document.createElement("canvas"), { width: 64, height: 64 }).getContext("2d", { willReadFrequently: true });
const draw = WebGL2RenderingContext.prototype.blitFramebuffer;
WebGL2RenderingContext.prototype.blitFramebuffer = function (...how) {
  draw.apply(this, how);
  if (this.canvas.className !== "drawn") return;
  drawn += 1;
  small.drawImage(this.canvas, 0, 0, 64, 64);
  seen = [...small.getImageData(0, 0, 64, 64).data];
};
"""
TURNED = """async () => {
  const { Actor } = await import("/pages/geometry/actor.js");
  const hear = Actor.prototype.hear;
  const actor = await new Promise((done) => (Actor.prototype.hear = function (...how) {
    done(this);
    return hear.apply(this, how);
  }));
  const look = async (x) => {
    document.getElementById("surface").dispatchEvent(new PointerEvent("pointermove", { clientX: x, bubbles: true }));
    for (let frame = 0; frame < 20; frame += 1) await new Promise(requestAnimationFrame);
    return [drawn, seen];
  };
  link.open = false;
  let heard = -1;
  while (heard !== actor.heard) {  // what has come is being unpacked
    heard = actor.heard;
    await new Promise((done) => setTimeout(done, 300));
  }
  const sides = [await look(0), await look(innerWidth)];
  link.open = true;
  return [actor.heard - heard, sides];
}"""
"How many records came, and then from the left and the right: how often it was drawn by then, and how it looked."


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")) as running:
        yield running


@pytest.fixture(scope="module")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer's address with a caller on air."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("data"), port=0)) as (root, _):
        go_live(Visit(browser).open(root), "drawn")
        yield f"{root}view/drawn"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, WISHING + GATED, no_viewport=True, reduced_motion="no-preference")
    yield visit
    visit.context.close()


def watching(visit: Visit, address: str, drawn: str) -> Page:
    page = visit.open(address)
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", drawn)
    return page


def until_all_is_drawn(page: Page) -> None:
    """Both halves of the glass show something."""
    deadline = time.monotonic() + PLENTY / 1000
    while min(half.mean() for half in np.array_split(glass(page), 2, axis=1)) <= 5:
        assert time.monotonic() < deadline, "the quilt stays black"
        page.wait_for_timeout(100)


def test_it_follows_the_pointer_though_nothing_comes(visit: Visit, address: str) -> None:
    page = watching(visit, address, "here")
    expect(page.locator("#way-words")).to_have_text(re.compile(r"^Drawn on this device, \d+ ms old$"))
    heard, ((first, left), (second, right)) = page.evaluate(TURNED)
    assert heard == 0, "nothing has come"
    assert second > first + 3, "it is drawn again and again"
    assert np.mean(left) > 10
    assert np.abs(np.subtract(left, right)).mean() > 4, "it has turned"
    assert visit.complaints == []


def test_a_graphics_card_that_goes_leaves_pictures_and_whoever_watches_may_choose(visit: Visit, address: str) -> None:
    page = watching(visit, address, "here")
    page.evaluate(
        "gone = document.querySelector('.drawn').getContext('webgl2').getExtension('WEBGL_lose_context'); gone.loseContext()"
    )
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#way-words")).to_have_text("Sent as pictures: the graphics card has dropped this page")
    page.evaluate("gone.restoreContext()")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    page.get_by_role("radio", name="Quilt").check()
    until_all_is_drawn(page)

    page.get_by_role("button", name="Send pictures instead").click()
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#way-words")).to_have_text("Sent as pictures")
    page.get_by_role("button", name="Draw it here").click()
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
    assert [one for one in visit.complaints if "CONTEXT_LOST" not in one] == []


@pytest.mark.parametrize(
    ("settings", "services", "words"),
    [
        ({}, painted_services, "this avatar’s engine has none"),
        ({"geometry": False}, None, "the server’s operator keeps avatars there"),
    ],
    ids=["an engine without geometry", "an operator's no"],
)
def test_elsewhere_it_says_why_pictures_come(
    browser: Browser, visit: Visit, tmp_path: Path, settings: dict[str, Any], services: Any, words: str
) -> None:
    with served(Settings(data_dir=tmp_path, port=0, **settings), *([services] if services else [])) as (root, _):
        caller = Visit(browser)
        go_live(caller.open(root), "pictures")
        page = watching(visit, f"{root}view/pictures", "server")
        expect(page.locator("#way-words")).to_have_text(f"Sent as pictures: {words}")
        expect(page.get_by_role("button", name="Draw it here")).to_be_hidden()
        caller.context.close()
    assert visit.complaints == [] or all("ERR_CONNECTION" in one for one in visit.complaints)
