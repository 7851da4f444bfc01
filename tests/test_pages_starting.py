"""The one big button, pressed before what drives is ready: it waits, says what for, and the call begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browsing import PLENTY, Visit, browsing, launch, painted_server, write_calm, write_film

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
painted = pytest.fixture(scope="module")(painted_server)

PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
THROTTLED = 4
"Times slower than this machine."
LATE_PUPPET = """
const ask = window.fetch;
window.fetch = async function (address, ...more) {
  if (String(address).endsWith("puppet.mp4")) await new Promise((done) => setTimeout(done, 1000));
  return ask.call(this, address, ...more);
};
"""
LATE_CAMERA = """
if (window.MediaDevices) {
  const given = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function (wanted) {
    await new Promise((done) => { window.allow = done; });
    return given.call(this, wanted);
  };
}
"""


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")) as browser:
        yield browser


@pytest.fixture(scope="module")
def blind(filmed: Browser) -> Iterator[Browser]:
    """A browser without any camera."""
    browser = launch(filmed.browser_type, film=None)
    yield browser
    browser.close()


@pytest.fixture
def visiting() -> Iterator[Callable[..., Visit]]:
    """Makes visits, which end with the test: a call that went on would take the next one's place."""
    made: list[Visit] = []

    def visit(browser: Browser, script: str = "") -> Visit:
        made.append(Visit(browser, script))
        return made[-1]

    yield visit
    for one in made:
        one.context.close()


def slowed(visit: Visit, size: ViewportSize) -> Page:
    """A page on a slow machine."""
    page = visit.context.new_page()
    page.set_viewport_size(size)
    visit.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": THROTTLED})
    return page


def assert_it_goes_live(page: Page, waiting_for: str) -> None:
    start = page.locator("#start")
    expect(start).to_have_text(waiting_for)
    expect(start).to_be_disabled()
    expect(page.locator("#start-problem")).to_be_hidden()
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    for notice in ("#start-problem", "#driver-problem"):
        expect(page.locator(notice)).to_be_hidden()
    expect(start).to_have_text("Stop")


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_a_newcomer_without_a_camera_who_starts_at_once_waits_for_the_puppet(
    visiting: Callable[..., Visit], blind: Browser, painted: tuple[str, FastAPI], size: ViewportSize
) -> None:
    page = slowed(visiting(blind, LATE_PUPPET), size)
    page.goto(painted[0], wait_until="commit")
    page.get_by_role("button", name="Start", exact=True).click()
    assert_it_goes_live(page, "Waiting for the puppet…")


def test_who_chooses_the_puppet_and_starts_before_it_is_dressed_waits_for_it(
    visiting: Callable[..., Visit], blind: Browser, painted: tuple[str, FastAPI]
) -> None:
    """Then it was dressed twice, and the second one's start said that nothing drives the avatar."""
    page = slowed(visiting(blind, LATE_PUPPET), DESKTOP)
    page.goto(painted[0])
    page.get_by_role("radio", name="Camera").check(force=True)
    page.get_by_role("radio", name="Puppet").check(force=True)
    page.get_by_role("button", name="Start", exact=True).click()
    assert_it_goes_live(page, "Waiting for the puppet…")


def test_a_video_that_is_being_opened_is_waited_for(
    visiting: Callable[..., Visit], blind: Browser, painted: tuple[str, FastAPI], tmp_path: Path
) -> None:
    visit = visiting(
        blind,
        "HTMLMediaElement.prototype.play = ((play) => async function () {"
        " if (this.id === 'driver-video') await new Promise((done) => setTimeout(done, 1000));"
        " return play.call(this); })(HTMLMediaElement.prototype.play);",
    )
    page = visit.open(painted[0])
    page.get_by_role("radio", name="Video file").check(force=True)
    page.get_by_label("Choose a video").set_input_files(write_film(tmp_path / "me.mp4", "libx264", "mp4", "yuv420p"))
    page.get_by_role("button", name="Start", exact=True).click()
    assert_it_goes_live(page, "Waiting for the video…")


def test_a_camera_that_is_being_allowed_is_waited_for(
    visiting: Callable[..., Visit], filmed: Browser, painted: tuple[str, FastAPI]
) -> None:
    visit = visiting(filmed, LATE_CAMERA)
    page = visit.open(painted[0])
    page.get_by_role("button", name="Turn on camera").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#start")).to_have_text("Waiting for the camera…")
    page.evaluate("allow()")
    assert_it_goes_live_now(page)


def assert_it_goes_live_now(page: Page) -> None:
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    expect(page.locator("#start-problem")).to_be_hidden()


def test_what_is_chosen_instead_meanwhile_is_what_drives(
    visiting: Callable[..., Visit], filmed: Browser, painted: tuple[str, FastAPI]
) -> None:
    visit = visiting(filmed, LATE_CAMERA)
    page = visit.open(painted[0])
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#start")).to_have_text("Waiting for the camera…")
    page.get_by_role("radio", name="Puppet").check(force=True)
    page.evaluate("allow()")
    assert_it_goes_live_now(page)
    expect(page.locator("#mirror")).to_have_attribute("data-kind", "puppet")


def test_words_that_nothing_drives_go_once_something_does(
    visiting: Callable[..., Visit], blind: Browser, painted: tuple[str, FastAPI]
) -> None:
    page = visiting(blind).open(painted[0])
    page.get_by_role("radio", name="Video file").check(force=True)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#start-problem")).to_contain_text("Nothing drives the avatar yet")
    page.get_by_role("radio", name="Puppet").check(force=True)
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    expect(page.locator("#start-problem")).to_be_hidden()
