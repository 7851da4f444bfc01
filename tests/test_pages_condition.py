"""What the pages say of how a call goes, and that what failed once is asked for again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Route, expect

from server.channels.condition import Condition, Course, State
from tests.browsing import PLENTY, Visit, browsing, go_live, painted_server, write_calm

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
painted = pytest.fixture(scope="module")(painted_server)

STALL_MS = 2500
"Without a picture, after which a page dials anew (server/pages/shared/whep.js)."
STORAGE_OFF = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("The operation is insecure.", "SecurityError"); } });
}
"""
SPOILT = """
if (location.protocol === "http:") {  // not on about:blank
  localStorage.setItem("telequilt-avatars", "{not JSON");
  localStorage.setItem("telequilt-looking-glasses", "7");
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")) as browser:
        yield browser


class Said(Course):
    """A call's condition as the test says it is."""

    def __init__(self, state: State, why: str) -> None:
        super().__init__(0.0)
        self._said = Condition(state, why, 3.0)

    def at(self, now: float) -> Condition:
        return self._said


def test_both_pages_say_how_the_call_goes(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    address, app = painted
    visit = Visit(browser)
    page = visit.open(address)
    go_live(page, "told")
    viewer = visit.open(f"{address}view/told")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    for one in (page, viewer):
        expect(one.locator(".condition-sign")).to_be_hidden()
    channel = app.state.lobby.channels["told"]
    for state, why, to_caller, to_viewer, pill in (
        (State.STILL, "", "Your camera sends no new pictures.", "its last picture.", "Still"),
        (State.UNDECODED, "no picture", "see nothing of you: no picture.", "can be shown: no picture.", "No picture"),
        (State.NO_FACE, "", "Look at the camera.", "out of sight.", "Live"),
        (State.TOO_FAR, "", "Come closer to the camera.", "far from the camera.", "Live"),
        (State.SLOWED, "the processor is busy", "less detail: the processor is busy.", "less detail: the pro", "Live"),
        (State.FAILING, "cpu:1: hangs", "devices fail: cpu:1: hangs.", "devices fail: cpu:1: hangs.", "Failing"),
    ):
        channel.course = Said(state, why)
        for one, words in ((page, to_caller), (viewer, to_viewer)):
            expect(one.locator(".condition-sign")).to_contain_text(words)
            expect(one.locator(".condition-sign")).to_be_in_viewport()
        expect(viewer.locator("#air-words")).to_have_text(pill)
    channel.course = Said(State.LIVE, "")
    expect(page.locator(".condition-sign")).to_be_hidden()
    assert visit.complaints == []
    visit.context.close()


def test_where_no_picture_can_be_made_the_last_one_stays_and_nobody_dials_again(
    browser: Browser, painted: tuple[str, FastAPI]
) -> None:
    address, app = painted
    visit = Visit(browser)
    go_live(visit.open(address), "failing")
    viewer = visit.open(f"{address}view/failing")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    channel = app.state.lobby.channels["failing"]
    watching = set(channel.viewers)
    channel.course = Said(State.FAILING, "render fails on every picture")
    expect(viewer.locator(".condition-sign")).to_contain_text("render fails on every picture")
    offer, channel.ingest._offer = channel.ingest._offer, lambda frame: None
    viewer.wait_for_timeout(1.5 * STALL_MS)
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    channel.ingest._offer = offer
    channel.course = Said(State.LIVE, "")
    expect(viewer.locator(".condition-sign")).to_be_hidden()
    assert set(channel.viewers) == watching
    visit.context.close()


def test_a_call_that_the_server_ends_tells_caller_and_viewers_why(
    browser: Browser, painted: tuple[str, FastAPI]
) -> None:
    address, app = painted
    visit = Visit(browser)
    page = visit.open(address)
    go_live(page, "overdue")
    viewer = visit.open(f"{address}view/overdue")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    lobby = app.state.lobby
    channel = lobby.channels["overdue"]
    overdue = lobby._endings.overdue
    lobby._rounds._going.get_loop().call_soon_threadsafe(overdue, channel, "no new picture came for 600 s")
    expect(page.locator("#start-problem")).to_contain_text("The server ended the call: no new picture came for 600 s.")
    expect(viewer.locator(".veil-words")).to_contain_text("The server ended the call: no new picture came for 600 s.")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    visit.context.close()


def test_a_glass_whose_facts_could_not_be_fetched_asks_again(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    """Once it stayed black, although the call was live."""
    visit = Visit(browser)
    page = visit.open(painted[0])
    go_live(page, "again")
    viewer = visit.context.new_page()
    failed: list[str] = []

    def fail_first(route: Route) -> None:
        if len(failed) < 2:
            failed.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    viewer.route("**/api/screens", fail_first)
    viewer.goto(f"{painted[0]}view/again")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    assert len(failed) == 2
    expect(viewer.locator("canvas").first).to_have_css("opacity", "1")
    visit.context.close()


@pytest.mark.parametrize("script", [STORAGE_OFF, SPOILT], ids=["storage is off", "storage is spoilt"])
def test_pages_live_with_whatever_the_browser_remembers(
    browser: Browser, painted: tuple[str, FastAPI], script: str
) -> None:
    visit = Visit(browser, script)
    page = visit.open(painted[0])
    expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
    expect(page.locator("#avatar-problem")).to_be_hidden()
    go_live(page, "kept")
    viewer = visit.open(f"{painted[0]}view/kept")
    expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
    assert visit.complaints == []
    visit.context.close()
