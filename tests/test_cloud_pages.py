"""Gaussians live in the viewer's page: a caller moves them, the page draws them, and where it cannot it shows pictures and says why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from engines.contract import FaceObservation
from engines.splats.engine import Splats
from server.settings import Settings
from tests.browsing import PLENTY, WITHOUT_WEBGL, Visit, browsing, glass, served
from tests.drawing import Cameras, acted_services
from tests.test_drawn_pages import GATED, WISHING, watching

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing(None) as running:
        yield running


@pytest.fixture(scope="module")
def cloudy(tmp_path_factory: pytest.TempPathFactory, sample_portrait: FaceObservation) -> Iterator[str]:
    """A viewer's address where a caller moves a head of Gaussians, the mannequin."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("cloudy"), port=0, engine="splats")
    with served(settings, acted_services(sample_portrait, Splats())) as (root, _):
        caller = Cameras(root)
        caller.publish("cloudy")
        yield f"{root}view/cloudy"
        caller.close()


def test_who_chooses_their_engine_is_told_what_it_shows(browser: Browser, cloudy: str) -> None:
    visit = Visit(browser)
    page = visit.open(cloudy.removesuffix("view/cloudy"))
    expect(page.locator("#brought-only")).to_contain_text("a mannequin that is nobody’s")
    page.get_by_role("combobox", name="Engine").select_option("relief")
    expect(page.locator("#brought-only")).to_be_hidden()
    visit.context.close()


def test_they_are_drawn_live_and_come_as_pictures_where_the_graphics_card_goes(browser: Browser, cloudy: str) -> None:
    visit = Visit(browser, WISHING + GATED, no_viewport=True)
    page = watching(visit, cloudy, "here")
    expect(page.locator("#way-words")).to_have_text(re.compile(r"^Drawn on this device, \d+ ms old$"))
    page.wait_for_function("() => seen !== null && seen.some((byte, at) => at % 4 < 3 && byte > 60)")
    first = page.evaluate("() => [drawn, seen]")
    page.wait_for_function(
        "([count, was]) => drawn > count + 3 && seen.some((byte, at) => byte !== was[at])", arg=first
    )
    page.evaluate(
        "gone = document.querySelector('.drawn').getContext('webgl2').getExtension('WEBGL_lose_context'); gone.loseContext()"
    )
    expect(page.locator("#way-words")).to_have_text("Sent as pictures: the graphics card has dropped this page")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    assert glass(page).mean() > 10
    page.evaluate("drawn = 0, gone.restoreContext()")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
    page.wait_for_function("() => drawn > 3")
    assert [one for one in visit.complaints if "CONTEXT_LOST" not in one] == []
    visit.context.close()


WITHOUT_SHADERS = """
const give = WebGL2RenderingContext.prototype.shaderSource;
WebGL2RenderingContext.prototype.shaderSource = function (shader, source) {
  give.call(this, shader, source.includes("sampler2D shapes") ? "none of it" : source);
};
"""
"A driver that compiles what draws triangles and not what draws Gaussians."


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        (WITHOUT_WEBGL, "this browser has no WebGL 2"),
        (WITHOUT_SHADERS, "this browser’s graphics driver does not take the shaders"),
    ],
    ids=["no WebGL", "a driver that refuses"],
)
def test_they_come_as_pictures_where_they_cannot_be_drawn(
    browser: Browser, cloudy: str, lacking: str, words: str
) -> None:
    visit = Visit(browser, WISHING + lacking)
    page = visit.open(cloudy)
    expect(page.locator("#way-words")).to_have_text(f"Sent as pictures: {words}")
    expect(page.locator("#stage")).to_have_attribute("data-drawn", "server")
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.get_by_role("button", name="Draw it here")).to_be_hidden()
    assert visit.complaints == []
    visit.context.close()
