"""A call with less detail, and with all of it again, in a real Chromium: on a Looking Glass the picture stays right, and both
pages and the monitor say how it goes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from display.calibration import parse
from display.lenticular import Tiling, interlace
from display.screen import PRODUCT, screen
from server.channels.channel import Channel
from server.channels.ladder import RUNGS
from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, go_live, served, write_calm
from tests.drawn import WATCHED, expect_right, frozen
from tests.glasses import GLASS, RECORD, SCREENS, fill_screen, off
from tests.live import painted_services
from tests.pressed import Told, impatient

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
expect.set_options(timeout=PLENTY)
WHOLE = screen(PRODUCT)
DOWN_AND_UP = (3, len(RUNGS) - 1, 0)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")
    with browsing(film, SCREENS) as running:
        yield running


def on_the_glass(visit: Visit, address: str, record: Path) -> Page:
    """The viewer's page over a whole Looking Glass, known by its calibration file."""
    page = visit.open(address)
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    page.get_by_role("radio", name="Hologram").check()
    expect(page.get_by_role("button", name="Look again")).to_be_enabled()
    page.locator("#glass-file").set_input_files(record)
    fill_screen(visit, page, GLASS)
    expect_right(page)
    return page


def expect_said(page: Page, rung: int) -> None:
    sign = page.locator(".condition-sign")
    if rung:
        expect(sign).to_contain_text("less detail: this server is shared with others.")
    else:
        expect(sign).to_be_hidden()


def test_a_looking_glass_stays_right_while_detail_goes_and_comes_back_and_all_are_told(
    browser: Browser, tmp_path: Path
) -> None:
    record = tmp_path / "visual.json"
    record.write_text(json.dumps(RECORD))
    with served(Settings(data_dir=tmp_path / "data", port=0), painted_services) as (address, app):
        caller = Visit(browser).open(address)
        go_live(caller, "glass")
        visit = Visit(browser, WATCHED, no_viewport=True)
        page = on_the_glass(visit, f"{address}view/glass", record)
        channel: Channel = app.state.lobby.channels["glass"]
        loop = app.state.lobby._rounds._going.get_loop()
        for rung in DOWN_AND_UP:
            loop.call_soon_threadsafe(channel.share, rung, time.monotonic())
            for one in (caller, page):
                expect_said(one, rung)
            metrics = httpx.get(f"{address}metrics", trust_env=False).text
            assert f'telequilt_detail_rung{{channel="glass"}} {rung}.0' in metrics
            assert f'condition="{"slowed-down" if rung else "live"}"}} 1.0' in metrics
            assert_right(page, Tiling.of(RUNGS[rung].detail.tiled(WHOLE)), RUNGS[rung].detail.share)
        assert [one for one in visit.complaints if "CONNECTION_REFUSED" not in one] == [], "no Bridge runs"


def test_what_a_channel_finds_itself_takes_detail_from_a_page_and_brings_it_back(
    browser: Browser, tmp_path: Path
) -> None:
    settings, machine = Settings(data_dir=tmp_path / "data", port=0, adapt=True), Told()
    with impatient(machine), served(settings, painted_services) as (address, app):
        visit = Visit(browser)
        go_live(visit.open(address), "measured")
        page = visit.open(f"{address}view/measured")
        expect(page.locator("#stage")).to_have_attribute("data-state", "live")
        channel: Channel = app.state.lobby.channels["measured"]
        sign, width = page.locator(".condition-sign"), "(width) => document.querySelector('video').videoWidth {} width"
        page.wait_for_function(width.format("==="), arg=WHOLE.quilt_width)
        machine.press(True)
        expect(sign).to_contain_text("less detail: this server is busy.")
        page.wait_for_function(width.format("<"), arg=WHOLE.quilt_width)
        least = page.evaluate("document.querySelector('video').videoWidth")
        machine.press(False)
        page.wait_for_function(width.format(">"), arg=least)
        steps = channel.ladder.report().steps
        assert steps["down"] >= 1
        assert steps["up"] >= 1
        assert visit.complaints == []


def assert_right(page: Page, tiling: Tiling, share: int) -> None:
    """What is drawn on the panel is what the plain twin makes of a quilt of that size; its tiles are painted red with 10 x the view."""
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("(width) => document.querySelector('video').videoWidth === width", arg=tiling.width)
    decoded, drawn = frozen(page, tiling)
    height, width = tiling.height // tiling.rows, tiling.width // tiling.columns
    for tile in range(tiling.views):
        left, top = tile % tiling.columns * width, tiling.height - (tile // tiling.columns + 1) * height
        middle = decoded[top + height // 3 : top + height // 2, left + width // 3 : left + width // 2, 0]
        assert abs(float(middle.mean()) - 10 * (tile // share)) < 12, tile
    calibration = parse(json.dumps(RECORD))
    right = interlace(np.ascontiguousarray(decoded), tiling, calibration)
    assert off(drawn, right, calibration, tiling.views).max() <= 2
