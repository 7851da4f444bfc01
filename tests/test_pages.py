"""The pages, in a real Chromium against a real server: a call from first visit to hanging up, and what may go wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, expect

from server.settings import Settings
from tests.browsing import (
    PLENTY,
    Visit,
    filmed_browser,
    glass,
    go_live,
    launch,
    painted_server,
    served,
    start,
    write_film,
)
from tests.live import painted_services

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)
browser = pytest.fixture(scope="module")(filmed_browser)
painted = pytest.fixture(scope="module")(painted_server)

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


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, FastAPI]]:
    """The server as people start it, with the relief engine."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("data"), port=0)) as running:
        yield running


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
    assert len(app.state.services.avatars.records()) == 1, "nothing is sent before consent"
    page.get_by_role("radio", name="Mine").check()
    page.get_by_role("button", name="Make the avatar").click()
    expect(page.get_by_role("radio", name="Snapshot")).to_be_checked()

    page.get_by_role("switch", name="Send my voice").check()
    go_live(page, "first-call")
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
    assert before.mean() > 10, "there is something to be seen"
    deadline = time.monotonic() + PLENTY / 1000
    while np.abs(glass(viewer).astype(int) - before).max() <= 40:
        assert time.monotonic() < deadline, "the hologram does not move"
        viewer.wait_for_timeout(100)

    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    assert page.evaluate("captured.map((track) => track.readyState)") == ["ended"] * 2, (
        "camera and microphone are let go"
    )
    assert page.request.get(f"{address}api/channels/first-call").status == 404
    expect(viewer.get_by_role("status")).to_contain_text("Waiting for the caller")

    page.get_by_role("button", name="Forget Snapshot").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_role("radio", name="Snapshot")).to_have_count(0)
    assert len(app.state.services.avatars.records()) == 1
    assert visit.complaints == []
    assert visit.hosts <= {address.split("/")[2], ""}, "nothing from outside ('' is blob:)"


def test_without_a_camera_a_video_file_drives(browser: Browser, real: tuple[str, FastAPI], tmp_path: Path) -> None:
    alone = launch(browser.browser_type, film=None)
    visit = Visit(alone)
    page = visit.open(real[0])
    expect(page.get_by_role("radio", name="Puppet")).to_be_checked()
    page.get_by_role("radio", name="Camera").check()
    page.get_by_role("button", name="Turn on camera").click()
    expect(page.get_by_role("alert").filter(has_text="None is connected")).to_be_visible()

    page.get_by_role("radio", name="Video file").check()
    page.get_by_label("Choose a video").set_input_files(write_film(tmp_path / "me.mp4", "libx264", "mp4", "yuv420p"))
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    go_live(page, "from-a-file")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()
    alone.close()


def test_without_a_camera_the_puppet_drives(browser: Browser, real: tuple[str, FastAPI]) -> None:
    alone = launch(browser.browser_type, film=None)
    page = Visit(alone).open(real[0])
    expect(page.get_by_role("radio", name="Puppet")).to_be_checked()
    go_live(page, "puppet-show")
    viewer = Visit(alone).open(f"{real[0]}view/puppet-show")
    expect(viewer.locator("#what")).to_have_text(re.compile("moved by a scripted face, which is nobody's"))
    alone.close()


def test_closing_the_page_ends_the_call(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    visit = Visit(browser)
    page = visit.open(painted[0])
    go_live(page, "closed")
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

    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("Choose an avatar")
    page.get_by_role("radio", name="Grace Hopper").check()
    start(page, "with spaces")
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("letters, digits")


def test_a_channel_is_taken_once(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    first, second = Visit(browser), Visit(browser)
    go_live(first.open(painted[0]), "wanted")
    page = second.open(painted[0])
    start(page, "wanted")
    expect(page.get_by_role("region", name="Go live").get_by_role("alert")).to_contain_text("live in 'wanted' already")
    first.context.close()
    second.context.close()


def test_a_token_is_asked_for_and_kept_out_of_the_address(browser: Browser, tmp_path: Path) -> None:
    with served(Settings(data_dir=tmp_path, port=0, token="open sesame"), painted_services) as (address, _):  # type: ignore[arg-type]
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
        go_live(page, "guarded")
        expect(page.get_by_text("asks viewers for its access token")).to_be_visible()
        visit.context.close()
