"""The viewer's page draws for itself: the angle at once, whatever the link does; and what it does where it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, glass, go_live, served, write_calm
from tests.drawn import expect_right
from tests.glasses import GLASS, RECORD, SCREENS, as_record, fill_screen
from tests.live import painted_services

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)

WISHING = "try { localStorage.setItem('telequilt-drawn', 'here'); } catch { /* about:blank */ }"
"This machine draws in software, so that a page left alone takes pictures."
GATED = """
window.link = { open: true, lost: 0, late: 0 };
const make = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...how) {
  const channel = make.apply(this, how);
  const listen = channel.addEventListener.bind(channel);
  channel.addEventListener = (kind, heard) => listen(kind, (event) => {
    if (kind !== "message") return heard(event);
    if (!link.open || Math.random() < link.lost) return;
    setTimeout(() => heard(event), Math.random() * link.late);
  });
  return channel;
};
window.drawn = 0;
const draw = WebGL2RenderingContext.prototype.blitFramebuffer;
WebGL2RenderingContext.prototype.blitFramebuffer = function (...how) {
  drawn += this.canvas.className === "drawn";
  return draw.apply(this, how);
};
"""
ACTOR = """async () => {
  const { Actor } = await import("/pages/geometry/actor.js");
  const hear = Actor.prototype.hear;
  Actor.prototype.hear = function (...how) {
    window.actor = this;
    return hear.apply(this, how);
  };
}"""
AGES = """async (milliseconds) => {
  const clock = { here: (at) => at * 1000 - performance.timeOrigin };  // both ends are on one machine
  const [ages, before] = [[], actor.heard];
  const end = performance.now() + milliseconds;
  while (performance.now() < end) ages.push(actor.age(await new Promise(requestAnimationFrame), clock));
  return [ages, actor.heard - before];
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m"), SCREENS) as running:
        yield running


@pytest.fixture(scope="module")
def address(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer's address with a caller on air."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("data"), port=0)) as (root, _):
        go_live(Visit(browser).open(root), "drawn")
        yield f"{root}view/drawn"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, WISHING + GATED, no_viewport=True)
    yield visit
    visit.context.close()


def watching(visit: Visit, address: str, drawn: str) -> Page:
    page = visit.open(address)
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", drawn)
    return page


def test_it_follows_the_pointer_though_nothing_comes_and_a_bad_link_ages_it_by_no_more_than_its_jitter(
    visit: Visit, address: str
) -> None:
    page = watching(visit, address, "here")
    expect(page.locator("#way-words")).to_have_text(re.compile(r"^Drawn on this device, \d+ ms old$"))
    page.evaluate(ACTOR)
    page.wait_for_function("() => window.actor")
    quiet, heard = page.evaluate(AGES, 2000)
    assert heard > 0

    page.evaluate("link.lost = 0.05, link.late = 50")
    rough, still_heard = page.evaluate(AGES, 3000)
    assert still_heard > heard / 2, "motion goes on"
    assert np.percentile(rough, 95) < np.percentile(quiet, 95) + 50 + 40, "its jitter, and one record that is waited for"

    page.evaluate("link.late = 0, link.open = false")
    page.wait_for_timeout(150)
    before, heard = page.evaluate("[drawn, actor.heard]")
    page.mouse.move(40, 300)
    page.wait_for_timeout(600)
    left = glass(page)
    page.mouse.move(1200, 300, steps=8)
    page.wait_for_timeout(600)
    right = glass(page)
    assert page.evaluate("actor.heard") == heard, "nothing has come"
    assert page.evaluate("drawn") > before + 8, "it is drawn again and again"
    assert np.abs(left.astype(float) - right).mean() > 4, "it has turned"
    assert visit.complaints == []


def test_a_graphics_card_that_goes_leaves_pictures_and_whoever_watches_may_choose(visit: Visit, address: str) -> None:
    page = watching(visit, address, "here")
    page.evaluate("gone = document.querySelector('.drawn').getContext('webgl2').getExtension('WEBGL_lose_context'); gone.loseContext()")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#way")).to_have_text("Sent as pictures: the graphics card has dropped this page")
    page.evaluate("gone.restoreContext()")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    page.get_by_role("radio", name="Quilt").check()
    page.wait_for_timeout(500)
    tiles = glass(page)
    half = tiles.shape[1] // 2
    assert tiles[:, :half].mean() > 5
    assert tiles[:, half:].mean() > 5

    page.get_by_role("button", name="Send pictures instead").click()
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#way-words")).to_have_text("Sent as pictures")
    page.get_by_role("button", name="Draw it here").click()
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
    assert [one for one in visit.complaints if "CONTEXT_LOST" not in one] == []


def test_a_looking_glass_is_drawn_for_itself(visit: Visit, address: str, tmp_path: Path) -> None:
    page = watching(visit, address, "here")
    page.get_by_role("radio", name="Hologram").check()
    file = tmp_path / "visual.json"
    file.write_text(as_small(RECORD))
    page.locator("#glass-file").set_input_files(file)
    fill_screen(visit, page, GLASS)
    expect(page.locator("body")).to_have_attribute("data-glass", "right")
    expect(page.locator("#glass-said")).to_have_text(re.compile(r"48 views of \d+ × 560 pixels"))
    assert visit.complaints == []


def as_small(record: dict[str, Any]) -> str:
    import json

    return json.dumps(record)


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
        expect(page.locator("#way")).to_have_text(f"Sent as pictures: {words}")
        expect(page.get_by_role("button", name="Draw it here")).to_be_hidden()
        caller.context.close()
    assert visit.complaints == [] or all("ERR_CONNECTION" in one for one in visit.complaints)
