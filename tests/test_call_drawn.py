"""Who is in a call draws the others itself: all of them in one graphics context, whatever comes and goes; the server renders nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from engines.contract import FaceObservation
from engines.relief.engine import Relief
from server.channels.services import Services
from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, served
from tests.drawing import Cameras, acted_services
from tests.painted import PaintedEngine
from tests.test_call_page import Called, inside
from tests.test_drawn_pages import WISHING

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)

COUNTED = """
window.cards = [];
const give = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...how) {
  const context = give.call(this, kind, ...how);
  if (kind === "webgl2" && context && !cards.some(({ gl }) => gl === context)) {
    cards.push({ gl: context, handle: context.getExtension("WEBGL_lose_context") });
  }
  return context;
};
"""
ALIVE = "cards.filter(({ gl }) => !gl.isContextLost()).length"
SENT_BY_TABLE = "() => document.querySelector('video.everybody') !== null"


def sit(cameras: Cameras, call: Called, name: str, **more: Any) -> str:
    """Take a plain seat and publish into it: its channel."""
    seat = call.tell("POST", "/seats", {"name": name, "plain": True, "consent": True, "recording": True, **more})
    cameras.publish(f"{call.name}.{seat['seat']}", seat["token"])
    return f"{call.name}.{seat['seat']}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing(None) as running:
        yield running


@pytest.fixture
def address(relief: Relief, sample_portrait: FaceObservation, tmp_path: Any) -> Iterator[tuple[str, Any]]:
    """Of a server whose live pictures are painted, and whose avatars are relief's."""

    def services(settings: Settings) -> Services:
        painted = PaintedEngine()
        made = acted_services(sample_portrait, relief)(settings)
        return replace(made, engine=lambda name: painted if name == "live" else relief)

    with served(Settings(data_dir=tmp_path, port=0), services) as running:
        yield running


@pytest.fixture
def cameras(address: tuple[str, Any]) -> Iterator[Cameras]:
    there = Cameras(address[0])
    yield there
    there.close()


def watching(visit: Visit, call: Called) -> Page:
    page = visit.open(call.invited(role="viewer"))
    page.get_by_role("textbox", name="Your name").fill("Di")
    page.get_by_role("button", name="Watch the call").click()
    return inside(page)


def comes(page: Page, name: str, drawn: str) -> None:
    place = page.locator(".place", has_text=name)
    expect(place).to_have_attribute("data-state", "live")
    expect(place).to_have_attribute("data-drawn", drawn)


def until(true: Callable[[], bool]) -> None:
    """Wait for it, in a thread without a loop."""
    deadline = time.monotonic() + PLENTY / 1000
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def seen(page: Page, name: str) -> np.ndarray:
    """[64, 64, 3]: what is drawn of somebody."""
    taken = """(canvas) => {
      const small = Object.assign(document.createElement("canvas"), { width: 64, height: 64 }).getContext("2d");
      small.drawImage(canvas, 0, 0, 64, 64);
      return [...small.getImageData(0, 0, 64, 64).data];
    }"""
    pixels = page.locator(".place", has_text=name).locator("canvas.drawn").evaluate(taken)
    return np.array(pixels, float).reshape(64, 64, 4)[..., :3]


def test_the_others_are_drawn_here_and_nothing_is_rendered_for_it(
    browser: Browser, address: tuple[str, Any], cameras: Cameras
) -> None:
    call = Called(*address, title="Tea")
    channels = address[1].state.lobby.channels
    visit = Visit(browser, WISHING + COUNTED, viewport={"width": 640, "height": 480})
    asked: list[str] = []
    visit.context.on(
        "request", lambda one: asked.append(one.url) if "/whep/" in one.url and one.method == "POST" else None
    )
    ana, bo = (sit(cameras, call, name, avatar="sample") for name in ("Ana", "Bo"))
    page = watching(visit, call)
    comes(page, "Ana", "here")
    comes(page, "Bo", "here")
    assert {url.partition("?")[2] for url in asked} == {"as=geometry"}
    for channel in (ana, bo):
        until(lambda channel=channel: channels[channel].session.drawn)
        assert not channels[channel].asked
    assert page.evaluate(ALIVE) == 1, "one graphics context draws all of them"

    page.locator("#table").dispatch_event("pointermove", {"clientX": 0})
    page.wait_for_timeout(600)
    left = seen(page, "Ana")
    assert left.mean() > 10
    page.locator("#table").dispatch_event("pointermove", {"clientX": 640})
    until(lambda: np.abs(left - seen(page, "Ana")).mean() > 3)  # the pointer has turned it

    cy = sit(cameras, call, "Cy")  # a live picture, and the third: there is a table now
    comes(page, "Cy", "server")
    comes(page, "Ana", "here")
    assert any(f"{cy}?as=quilt&views=8" in url for url in asked)
    assert not page.evaluate(SENT_BY_TABLE), "for one picture no video of all is made"
    until(lambda: channels[ana].session.drawn)

    call.tell("POST", "/../../channels/" + call.name + "/recording")
    until(lambda: channels[ana].filmed and not channels[ana].session.drawn)
    comes(page, "Ana", "here")
    films = channels[ana].presenter.recorded
    assert films, "what is recorded is rendered though it is drawn where it is seen"
    call.tell("DELETE", "/../../channels/" + call.name + "/recording")
    until(lambda: channels[ana].session.drawn)

    page.evaluate(
        "gone = cards.find(({ gl }) => !gl.isContextLost() && !gl.canvas.isConnected), gone.handle.loseContext()"
    )
    expect(page.locator("video.everybody")).to_be_attached()
    comes(page, "Ana", "server")
    page.evaluate("gone.handle.restoreContext()")
    comes(page, "Ana", "here")
    expect(page.locator("video.everybody")).not_to_be_attached()

    page.get_by_role("button", name="People").click()
    expect(page.locator("#way-words")).to_have_text("Drawn on this device")
    page.get_by_role("button", name="Send pictures instead").click()
    comes(page, "Bo", "server")
    assert not channels[bo].session.drawn
    assert [one for one in visit.complaints if "CONTEXT_LOST" not in one] == []
