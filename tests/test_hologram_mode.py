"""Hologram mode in a real Chromium with three screens: from the fake Bridge, or a file, to the panel's last subpixel; and what
it refuses."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from display.calibration import parse
from display.lenticular import Tiling, interlace
from display.screen import screen
from engines.contract import FaceObservation
from server.settings import Settings
from tests.bridges import envelope, misbehaving, running, saying
from tests.browsing import PLENTY, WITHOUT_WEBGL, Visit, browsing, go_live, served, write_calm
from tests.drawing import Cameras, acted_services
from tests.drawn import TILING, WATCHED, expect_right, expect_wrong, frozen
from tests.fake_bridge import display, variant
from tests.glasses import GLASS, MAIN, RECORD, SCALED, SCREENS, as_record, fill_screen, off
from tests.live import free_port, painted_services
from tests.panels import CELLS
from tests.test_drawn_pages import WISHING

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
expect.set_options(timeout=PLENTY)


@pytest.fixture(scope="module")
def port() -> int:
    """Where Bridge is, as far as the browser knows: its own port may be in use on this machine."""
    return free_port()


@pytest.fixture(scope="module")
def browser(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    film = write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")
    with browsing(film, SCREENS, f"--host-resolver-rules=MAP localhost:33334 127.0.0.1:{port}") as running_browser:
        yield running_browser


def publish(browser: Browser, address: str) -> None:
    page = Visit(browser).open(address)
    expect(page.get_by_role("radio", name="Grace Hopper")).to_be_checked()
    go_live(page, "glass")


@pytest.fixture(scope="module")
def painted(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A viewer's address with a caller on air; view i is painted red with 10 x i."""
    with served(Settings(data_dir=tmp_path_factory.mktemp("painted"), port=0), painted_services) as (address, _):
        publish(browser, address)
        yield f"{address}view/glass"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, WATCHED, no_viewport=True)
    yield visit
    visit.context.close()


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """The small display's calibration file."""
    path = tmp_path / "visual.json"
    path.write_text(json.dumps(RECORD))
    return path


def glass(record: dict[str, Any] = RECORD, **more: Any) -> Any:
    return display(record, (1536, 1024, 6, 4, 1.0), "portrait", record["serial"], GLASS) | more


def hologram(visit: Visit, address: str) -> Page:
    """The viewer's page in hologram mode; it has asked Bridge."""
    page = visit.open(address)
    expect(page.locator("#stage")).to_have_attribute("data-state", "live")
    page.get_by_role("radio", name="Hologram").check()
    expect(page.get_by_role("button", name="Look again")).to_be_enabled()
    return page


def test_the_panel_shows_what_the_plain_twin_makes_of_the_decoded_quilt(
    browser: Browser, visit: Visit, port: int, tmp_path: Path
) -> None:
    """The whole way: a caller, the relief engine, H.264, WebRTC, and the fake Bridge's calibration; then that of a panel of cells."""
    cells, cell_file = as_record(replace(CELLS, width=640, height=480)), tmp_path / "visual.json"
    cell_file.write_text(cells)
    with (
        running(display(), glass(), http_port=port) as bridge,
        served(Settings(data_dir=tmp_path / "data", port=0)) as (address, _),
    ):
        publish(browser, address)
        page = hologram(visit, f"{address}view/glass")
        expect(page.get_by_text("LKG-T00001, 640 × 480 pixels, told by Looking Glass Bridge.")).to_be_visible()
        fill_screen(visit, page, GLASS)
        expect_right(page)
        assert bridge.fake.errors == []
        assert bridge.fake.calls == ["enter_orchestration", "available_output_devices", "exit_orchestration"]

        striped = frozen(page)
        expect(page.locator(".controls")).to_have_css("opacity", "0")
        seen = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))

        page.locator("#glass-file").set_input_files(cell_file)
        expect(page.locator("#glass-found")).to_contain_text(
            "Looking Glass, 640 × 480 pixels, from its calibration file"
        )
        celled = frozen(page)
        assert visit.complaints == []

    assert np.array_equal(seen, striped[1]), "what is on the screen is the canvas, pixel by pixel"
    for record, (decoded, drawn) in ((RECORD, striped), (cells, celled)):
        calibration = parse(record)
        assert decoded[..., :3].std() > 20, "a face is no even grey"
        assert off(drawn, interlace(decoded, TILING, calibration), calibration, TILING.views).max() <= 2
        other = interlace(decoded, Tiling.of(screen("telequilt")), calibration)
        assert off(drawn, other, calibration, TILING.views).max() > 20


def test_a_panel_is_drawn_from_geometry_at_its_own_number_of_views(
    browser: Browser, port: int, tmp_path: Path, sample_portrait: FaceObservation
) -> None:
    """Of a display that asks for 45 views; none is rendered or sent."""
    native = display(RECORD, (600, 810, 5, 9, 4 / 3), "portrait", RECORD["serial"], GLASS)
    with (
        running(display(), native, http_port=port),
        served(Settings(data_dir=tmp_path, port=0), acted_services(sample_portrait)) as (address, app),
    ):
        cameras, visit = Cameras(address), Visit(browser, WATCHED + WISHING, no_viewport=True)
        try:
            cameras.publish("glass")
            page = hologram(visit, f"{address}view/glass")
            expect(page.locator("#stage")).to_have_attribute("data-drawn", "here")
            fill_screen(visit, page, GLASS)
            expect_right(page)
            expect(page.get_by_text("45 views of 120 × 90 pixels, drawn on this device")).to_be_attached()
            session = app.state.lobby.channels["glass"].session
            assert session.drawn
            shown = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), float)
            assert shown.std() > 20
        finally:
            visit.context.close()
            cameras.close()


def test_only_where_every_pixel_fits_is_it_shown(visit: Visit, painted: str, record: Path) -> None:
    page = hologram(visit, painted)
    page.locator("#glass-file").set_input_files(record)
    expect_wrong(page, "on a screen of 1024 × 720 pixels; the Looking Glass has 640 × 480")
    fill_screen(visit, page, SCALED)
    expect_wrong(page, "scaled to 125 %")
    expect(page.locator("#glass-faults")).to_contain_text("Set the scale of the Looking Glass to 100 %")
    fill_screen(visit, page, GLASS)
    expect_right(page)
    fill_screen(visit, page, MAIN)  # where windows go whose screen is unplugged
    expect_wrong(page, "on a screen of 1024 × 720 pixels")
    fill_screen(visit, page, GLASS)
    expect_right(page)

    devices = visit.context.new_cdp_session(page)
    metrics = {"width": 640, "height": 480, "deviceScaleFactor": 1.25, "mobile": False}
    devices.send("Emulation.setDeviceMetricsOverride", metrics)
    expect_wrong(page, "scaled to 125 %")
    devices.send("Emulation.setDeviceMetricsOverride", metrics | {"deviceScaleFactor": 1, "height": 440})
    expect_wrong(page, "640 × 440 pixels")
    devices.send("Emulation.clearDeviceMetricsOverride")
    expect_right(page)

    painted_frames = "[drawn, document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames]"
    first = page.evaluate(painted_frames)
    page.wait_for_function("(before) => drawn > before + 5", arg=first[0])
    draws, pictures = np.subtract(page.evaluate(painted_frames), first)
    assert 0 < draws <= pictures + 2, "each picture is drawn once"

    page.evaluate(
        "lost = document.querySelector('.panel').getContext('webgl2').getExtension('WEBGL_lose_context'); lost.loseContext()"
    )
    expect_wrong(page, "The graphics card has dropped this page")
    page.evaluate("lost.restoreContext()")
    expect_right(page)
    page.get_by_role("radio", name="Window").check(force=True)
    expect(page.locator("#stage canvas")).to_be_visible()
    expect(page.locator(".panel")).to_have_count(0)
    assert [words for words in visit.complaints if "ERR_CONNECTION_REFUSED" not in words] == []


def test_without_bridge_a_file_does_and_is_remembered(visit: Visit, painted: str, record: Path, tmp_path: Path) -> None:
    page = hologram(visit, painted)
    problem = page.locator("#glass-problem")
    expect(problem).to_contain_text("Looking Glass Bridge does not answer on this computer. Start it and look again")
    expect(page.get_by_role("button", name="Show on the Looking Glass")).to_be_hidden()

    (tmp_path / "letter.json").write_text("Dear sir or madam")
    page.locator("#glass-file").set_input_files(tmp_path / "letter.json")
    expect(problem).to_contain_text("letter.json is not JSON")
    (tmp_path / "half.json").write_text(json.dumps(RECORD | {"pitch": "NaN"}))
    page.locator("#glass-file").set_input_files(tmp_path / "half.json")
    expect(problem).to_contain_text('half.json: pitch is "NaN", not a number from 1 to 1000')
    (tmp_path / "huge.json").write_bytes(b" " * ((1 << 20) + 1))
    page.locator("#glass-file").set_input_files(tmp_path / "huge.json")
    expect(problem).to_contain_text("larger than")
    (tmp_path / "boast.json").write_text(json.dumps(RECORD | {"screenW": 16384, "screenH": 16384}))
    page.locator("#glass-file").set_input_files(tmp_path / "boast.json")
    expect_wrong(page, "the Looking Glass has 16384 × 16384")
    assert page.evaluate("document.querySelector('.panel').width") <= 1024, "nothing is set up for what does not fit"

    page.locator("#glass-file").set_input_files(record)
    expect(page.locator("#glass-found")).to_have_text("LKG-T00001, 640 × 480 pixels, from its calibration file.")
    expect(problem).to_be_hidden()
    page.reload()
    page.get_by_role("radio", name="Hologram").check()
    expect(page.locator("#glass-found")).to_contain_text("from its calibration file")
    page.get_by_role("button", name="Forget this file").click()
    expect(page.locator("#glass-found")).to_have_text("No display yet.")
    expect(page.get_by_role("button", name="Look again")).to_be_focused()

    dropped = page.evaluate_handle(
        """(text) => {
      const held = new DataTransfer();
      held.items.add(new File([text], "visual.json", { type: "application/json" }));
      return held;
    }""",
        record.read_text(),
    )
    page.dispatch_event("#setup", "drop", {"dataTransfer": dropped})
    expect(page.locator("#glass-found")).to_contain_text("LKG-T00001")


def test_a_browser_that_cannot_draw_it_says_so_at_once(browser: Browser, painted: str, record: Path) -> None:
    visit = Visit(browser, WITHOUT_WEBGL)
    page = hologram(visit, painted)
    expect(page.locator("#glass-problem")).to_contain_text("no WebGL 2 with full precision. Switch on graphics")
    page.locator("#glass-file").set_input_files(record)
    expect(page.locator("#glass-faults")).to_contain_text("no WebGL 2 with full precision")
    visit.context.close()


def test_one_button_brings_the_page_onto_the_display(visit: Visit, painted: str, record: Path) -> None:
    page = hologram(visit, painted)
    page.locator("#glass-file").set_input_files(record)
    page.get_by_role("button", name="Show on the Looking Glass").click()
    expect(page.locator("#glass-way")).to_contain_text(
        "not allowed to tell screens apart. Move this window onto the Looking Glass, then press F"
    )
    assert page.evaluate("asked") == []

    session = visit.context.browser.new_browser_cdp_session()  # type: ignore[union-attr]
    owner = next(one for one in session.send("Target.getTargets")["targetInfos"] if one["url"] == page.url)
    session.send(
        "Browser.grantPermissions", {"permissions": ["windowManagement"], "browserContextId": owner["browserContextId"]}
    )
    page.get_by_role("button", name="Show on the Looking Glass").click()
    page.wait_for_function("() => asked.length > 0")
    assert page.evaluate("asked") == ["LKG-T00001"]
    page.keyboard.press("f")
    page.locator("#setup-title").dblclick()
    assert page.evaluate("asked") == ["LKG-T00001", "here", "here"]


def test_of_several_displays_one_is_chosen(visit: Visit, painted: str, port: int) -> None:
    scaled = variant(
        "displayProblems",
        {"0": variant("0", {"errorType": variant("errorType", "invalidScale")}, "VARIANT_MAP")},
        "VARIANT_MAP",
    )
    wide = RECORD | {"serial": "LKG-T00002", "screenW": 1024, "screenH": 720}
    with running(glass(), display(), glass(wide, displayProblems=scaled), http_port=port):
        page = hologram(visit, painted)
        expect(page.locator("#glass-found")).to_have_text("Several displays are connected. Which one is yours?")
        expect(page.locator("#glass-step")).to_be_hidden()
        page.get_by_role("radio", name=re.compile("LKG-T00002")).check()
        expect(page.locator("#glass-found")).to_contain_text("LKG-T00002, 1024 × 720 pixels")
        expect(page.locator("#glass-found")).to_contain_text("its scale is not 100 %")
        fill_screen(visit, page, MAIN)
        expect_right(page)
        page.get_by_role("radio", name="Window").check(force=True)
    assert visit.complaints == []


def test_bridge_without_a_looking_glass(visit: Visit, painted: str, port: int) -> None:
    with running(display(), glass(calibration=""), glass(calibration='{"pitch": NaN}'), http_port=port) as bridge:
        page = hologram(visit, painted)
        problem = page.locator("#glass-problem")
        expect(problem).to_contain_text("The calibration that Bridge gives for LKG-T00001 is empty.")
        expect(problem).to_contain_text("The calibration that Bridge gives for LKG-T00001 is not JSON.")
        bridge.fake.displays[1:] = []
        page.get_by_role("button", name="Look again").click()
        expect(problem).to_contain_text("Bridge runs, but sees no Looking Glass")
        bridge.fake.displays.append(glass())
        page.get_by_role("button", name="Look again").click()
        expect(page.locator("#glass-found")).to_contain_text("told by Looking Glass Bridge")


def in_turn(*answers: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    """For `misbehaving`: the last answer again and again."""
    left = list(answers)
    return lambda peer: (left.pop(0) if len(left) > 1 else left[0])(peer)


READABLE = "200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: PUT"
HOSTILE = {
    "html": saying(b"<!doctype html><title>It works</title>", READABLE),
    "huge": saying(b'"' + b"x" * (5 << 20) + b'"', READABLE),
    "no map": saying(b"[1, 2]", READABLE),
    "null": saying(b"null", READABLE),
    "refusal": saying(envelope(None, "Failure"), READABLE),
    "odd status": saying(envelope("token", {"deep": []}), READABLE),
    "a text for displays": saying(envelope("token"), READABLE),
    "odd displays": saying(
        envelope({"0": None, "1": 7, "2": {"value": {"hwid": {"a": 1}, "hardwareVersion": []}}}), READABLE
    ),
    "redirect": saying(b"", READABLE.replace("200 OK", "307 Elsewhere\r\nLocation: http://localhost:33334/again")),
    "not for us": saying(envelope("token")),
    "an error": saying(b"oops", READABLE.replace("200 OK", "500 Oops")),
    "half an answer": saying(b"{", READABLE, length=500),
    "nothing": lambda peer: None,
    "gone in the middle": in_turn(*[saying(envelope("token"), READABLE)] * 2, lambda peer: None),
    "silence": lambda peer: peer.recv(1),  # until the page has had enough
}


def test_whatever_answers_in_bridges_place_is_told_in_plain_words(
    visit: Visit, painted: str, port: int, record: Path
) -> None:
    page = hologram(visit, painted)
    said = {}
    for name, answer in HOSTILE.items():
        with misbehaving(answer, port):
            page.get_by_role("button", name="Look again").click()
            expect(page.get_by_role("button", name="Look again")).to_be_enabled()
            said[name] = page.locator("#glass-problem").inner_text()
            expect(page.locator("#glass-found")).to_have_text("No display yet.")
    absent = {"redirect", "not for us", "an error", "half an answer", "nothing", "gone in the middle", "silence"}
    for name, words in said.items():
        assert ("does not answer on this computer" if name in absent else "is not Looking Glass Bridge") in words, (
            name,
            words,
        )
    assert not [words for words in visit.complaints if "Uncaught" in words], visit.complaints
    page.locator("#glass-file").set_input_files(record)
    expect(page.locator("#glass-found")).to_contain_text("LKG-T00001")
