"""Recording on both pages, in a real Chromium: begun and ended by anybody, seen by everybody, fetched, deleted, forgotten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, go_live, served, write_calm
from tests.films import playable
from tests.glasses import GLASS, RECORD, SCREENS, fill_screen
from tests.live import free_port, painted_services
from tests.test_access import TOKEN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
QUILT_FILM = re.compile(r"ruby-wren-42-\d{8}T\d{6}Z(-\d+)?_qs6x4a1\.(mp4|png)")


CHANNEL = "ruby-wren-42"
PLAYED = """async (address) => {
  const video = Object.assign(document.createElement("video"), { src: address, muted: true, playbackRate: 8 });
  await video.play();
  await new Promise((done, fail) => { video.onended = done; video.onerror = () => fail(video.error); });
  return [video.videoWidth, video.currentTime];
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")
    nowhere = (
        f"--host-resolver-rules=MAP localhost:33334 127.0.0.1:{free_port()}"  # no Bridge of this machine's is asked
    )
    with browsing(film, SCREENS, nowhere) as running:
        yield running


@contextmanager
def call(browser: Browser, data: Path, **more: Any) -> Iterator[tuple[Page, Page, Visit, FastAPI]]:
    """A caller's page that is live, a viewer's page that plays, whose visit both are, and the server."""
    fragment = f"#token={TOKEN}" if "token" in more else ""
    settings = Settings(**({"data_dir": data, "port": 0, "min_free_bytes": 0} | more))
    with served(settings, painted_services) as (address, app):
        visit = Visit(browser)
        try:
            page = visit.open(f"{address}{fragment}")
            expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
            go_live(page, CHANNEL)
            viewer = visit.open(f"{address}view/{CHANNEL}{fragment}")
            expect(viewer.locator("#stage")).to_have_attribute("data-state", "live")
            yield page, viewer, visit, app
        finally:
            visit.context.close()


def expect_filmed(page: Page, app: FastAPI) -> None:
    """Half a second is on film."""
    recording = app.state.lobby.channels[CHANNEL].recording
    while (report := recording.report()) is None or report.seconds < 0.5:
        page.wait_for_timeout(50)


def expect_told(page: Page) -> None:
    """Nobody who looks at this page, or hears it read, can miss that it is recorded."""
    expect(page.locator(".recording-sign")).to_be_visible()
    expect(page.locator(".recording-sign")).to_contain_text("Recording")
    expect(page.locator("#recording-live")).to_have_text("Recording. Everybody here is told.")
    expect(page.get_by_role("button", name="Stop recording")).to_have_attribute("aria-pressed", "true")


def expect_over(page: Page, words: str = "Recording saved.") -> None:
    expect(page.locator("#recording-said")).to_contain_text(words)
    expect(page.locator(".recording-sign")).to_be_hidden()
    expect(page.locator("#recording-live")).to_be_empty()


def test_one_begins_it_another_ends_it_all_are_told_and_may_fetch_it(browser: Browser, tmp_path: Path) -> None:
    with call(browser, tmp_path) as (page, viewer, visit, app):
        for one in (page, viewer):
            expect(one.locator(".recording-sign")).to_be_hidden()
        page.get_by_role("button", name="Record").click()
        expect_told(viewer)
        expect_told(page)
        late = visit.open(viewer.url)
        expect_told(late)
        late.close()
        expect_filmed(viewer, app)
        viewer.get_by_role("button", name="Stop recording").click()
        expect_over(viewer)
        expect_over(page)

        with viewer.expect_download() as coming:
            viewer.get_by_role("link", name="Download").click()
        assert QUILT_FILM.fullmatch(coming.value.suggested_filename)
        (facts,) = app.state.archive.listing()
        assert playable(coming.value.path()) == facts.frames > 0
        width, seconds = viewer.evaluate(PLAYED, f"../api/recordings/{facts.name}")
        assert width == 1536
        assert seconds == pytest.approx(facts.seconds, abs=0.1)

        page.locator("#films summary").click()
        expect(page.locator("#film-list li")).to_have_count(1)
        page.get_by_role("button", name=f"Delete {facts.name}").click()
        page.get_by_role("button", name="Keep it").click()
        expect(page.locator("#film-list li")).to_have_count(1)
        page.get_by_role("button", name=f"Delete {facts.name}").click()
        page.get_by_role("button", name="Delete it").click()
        expect(page.locator("#film-list li")).to_have_count(0)
        assert app.state.archive.listing() == []
        assert visit.complaints == []


def test_with_the_call_its_recording_ends_and_is_there_for_all(browser: Browser, tmp_path: Path) -> None:
    with call(browser, tmp_path) as (page, viewer, _, app):
        viewer.get_by_role("button", name="Record").click()
        expect_told(page)
        expect_filmed(page, app)
        page.get_by_role("button", name="Stop", exact=True).click()
        expect_over(page)
        expect_over(viewer)
        expect(viewer.get_by_role("button", name="Record")).to_be_disabled()
        expect(page.locator("#film-count")).to_have_text("1")
        assert app.state.archive.listing()[0].ended == "the caller left"


def test_everybody_is_told_why_it_ended_by_itself(browser: Browser, tmp_path: Path) -> None:
    with call(browser, tmp_path, max_recording_seconds=1.5) as (page, viewer, _, _):
        page.get_by_role("button", name="Record").click()
        for one in (page, viewer):
            expect_over(one, "The recording ended: the time limit was reached.")
            expect(one.locator("#recording-said")).to_have_class("notice bad")


def test_where_there_is_no_room_whoever_asks_is_told_what_to_do(browser: Browser, tmp_path: Path) -> None:
    with call(browser, tmp_path, min_free_bytes=1 << 60) as (page, viewer, _, _):
        viewer.get_by_role("button", name="Record").click()
        expect(viewer.locator("#recording-said")).to_contain_text("MiB are free")
        expect(viewer.get_by_role("button", name="Record")).to_be_enabled()
        expect(page.locator(".recording-sign")).to_be_hidden()


def test_a_shared_server_hands_films_and_stills_to_those_who_know_its_token(browser: Browser, tmp_path: Path) -> None:
    with call(browser, tmp_path, host="0.0.0.0", token=TOKEN) as (page, viewer, _, app):
        page.get_by_role("button", name="Record").click()
        expect_told(viewer)
        expect_filmed(viewer, app)
        viewer.get_by_role("button", name="Stop recording").click()
        expect_over(viewer)
        for one in (viewer, page):
            with one.expect_download() as coming:
                one.locator("#recording-said").get_by_role("link", name="Download").click()
            assert playable(coming.value.path()) > 0
            assert QUILT_FILM.fullmatch(coming.value.suggested_filename)
        expect(page.locator("#film-count")).to_have_text("1")
        with viewer.expect_download() as coming:
            viewer.get_by_role("button", name="Still").click()
        assert QUILT_FILM.fullmatch(coming.value.suggested_filename)
        assert Image.open(coming.value.path()).size == (1536, 1024)


def test_the_sign_stays_in_full_screen_and_on_a_looking_glass(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "visual.json").write_text(json.dumps(RECORD))
    with call(browser, tmp_path / "data") as (page, viewer, _, _):
        page.get_by_role("button", name="Record").click()
        visit = Visit(browser, no_viewport=True)
        glass = visit.open(viewer.url)
        expect(glass.locator("#stage")).to_have_attribute("data-state", "live")
        glass.get_by_role("radio", name="Hologram").check()
        expect_told(glass)
        glass.locator("#glass-file").set_input_files(tmp_path / "visual.json")
        fill_screen(visit, glass, GLASS)
        expect(glass.locator("body")).to_have_attribute("data-glass", "right")
        expect(glass.locator(".controls")).to_have_css("opacity", "0")
        expect_told(glass)
        assert glass.evaluate(  # nothing lies over it
            """() => {
                const { left, top, width, height } = document.querySelector(".recording-sign").getBoundingClientRect();
                const there = document.elementsFromPoint(left + width / 2, top + height / 2);
                return there[0].closest(".recording-sign") !== null;
            }"""
        )
        visit.context.close()
