"""The call's page in a real Chromium against a real server: two people see and hear each other; seats survive reloads, kills and
second windows; hosts lead; whoever cannot come in is told why."""

from __future__ import annotations

import re
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, Route, expect

from server.settings import Settings
from tests.browsing import AS_IT_IS, FLAGS, PLENTY, Visit, browsing, chromium, painted_server, served, write_calm
from tests.live import painted_services

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
expect.set_options(timeout=PLENTY)
painted = pytest.fixture(scope="module")(painted_server)
REFUSING_SOUND = """
const given = HTMLMediaElement.prototype.play;
let tapped = false;
addEventListener("pointerdown", () => { tapped = true; }, true);
HTMLMediaElement.prototype.play = function () {
  return this.muted || tapped ? given.call(this) : Promise.reject(new DOMException("no gesture yet", "NotAllowedError"));
};
"""
"A script for `Visit`: as browsers do on pages that nobody has touched. Headless ones let everything play."
CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_calm(tmp_path_factory.mktemp("film") / "camera.y4m")


@pytest.fixture(scope="module")
def browser(film: Path) -> Iterator[Browser]:
    """Its camera films, and its microphone hears a tone, on and off each second."""
    rate = 48_000
    times = np.arange(2 * rate) / rate
    tone = 0.4 * np.sin(2 * np.pi * 300 * times) * (times < 1.2)
    with wave.open(str(film.with_name("tone.wav")), "wb") as file:
        file.setparams((1, 2, rate, len(tone), "NONE", ""))
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    with browsing(film, f"--use-file-for-fake-audio-capture={film.with_name('tone.wav')}") as browser:
        yield browser


class Called:
    """One call, by its host's token."""

    def __init__(self, address: str, app: FastAPI, **wanted: Any) -> None:
        self.address, self.app = address, app
        app.state.quotas.calls.forgive()  # tests make more calls than people do
        made = httpx.post(f"{address}api/calls", json=wanted).json()
        self.name, self.link = made["call"], address + made["host"]["link"]
        self._authorized = {"Authorization": f"Bearer {made['host']['token']}"}

    @property
    def rules(self) -> Any:
        return self.app.state.calls.conferences[self.name].rules

    def tell(self, method: str, rest: str, body: Any = None) -> Any:
        url = f"{self.address}api/calls/{self.name}{rest}"
        answer = httpx.request(method, url, json=body, headers=self._authorized)
        return answer.json() if answer.content else None

    def invited(self, **wanted: Any) -> str:
        return self.address + self.tell("POST", "/invitations", wanted)["link"]


@pytest.fixture
def call(painted: tuple[str, FastAPI]) -> Iterator[Called]:
    made = Called(*painted, title="Tea")
    yield made
    httpx.request("DELETE", f"{made.address}api/calls/{made.name}", headers=made._authorized)


def join(page: Page, name: str) -> Page:
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    page.get_by_role("textbox", name="Your name").fill(name)
    page.locator("#agree").check()
    page.get_by_role("button", name="Join the call").click()
    return page


def inside(page: Page) -> Page:
    expect(page.locator("body")).to_have_attribute("data-at", "call")
    return page


def sees(page: Page, name: str) -> None:
    place = page.locator(".place", has_text=name)
    expect(place).to_have_attribute("data-state", "live")
    expect(place.get_by_role("img", name=f"AI avatar of {name}")).to_be_visible()


def test_two_people_see_and_hear_each_other_and_not_themselves(browser: Browser, call: Called) -> None:
    visits = Visit(browser, AS_IT_IS), Visit(browser, AS_IT_IS)
    bo, ana = visits[0].open(call.link), visits[1].open(call.invited(name="Ana"))
    asked: list[str] = []
    bo.on("request", lambda request: asked.append(request.url) if "/whep/" in request.url else None)
    inside(join(bo, "Bo"))
    expect(bo.get_by_text("You are alone here")).to_be_visible()
    expect(ana.get_by_role("textbox", name="Your name")).to_have_value("Ana")
    inside(join(ana, "Ana"))
    sees(bo, "Ana")
    sees(ana, "Bo")
    for page in (bo, ana):
        expect(page.locator(".place")).to_have_attribute("data-speaking", "true")
        expect(page.locator(".place video")).to_have_js_property("muted", False)
        assert page.locator(".place").count() == 1
    assert all(f"{call.name}.2" in url for url in asked), "nobody fetches itself"
    seats = call.tell("GET", "")["seats"]
    assert [(one["seat"], one["name"], one["publishing"] in ("live", "stalled")) for one in seats] == [
        (1, "Bo", True),
        (2, "Ana", True),
    ]
    assert [visit.complaints for visit in visits] == [[], []]
    assert {host for visit in visits for host in visit.hosts} - {""} == {call.address.split("/")[2]}

    ana.keyboard.press("m")
    expect(ana.get_by_role("button", name="Unmute")).to_have_attribute("aria-pressed", "true")
    expect(bo.locator(".place")).to_have_attribute("data-muted", "true")
    expect(bo.locator(".place")).to_have_attribute("data-speaking", "false")
    ana.keyboard.press("v")
    expect(bo.get_by_text("Ana’s camera is off")).to_be_visible()
    ana.keyboard.press("v")
    sees(bo, "Ana")
    looking = ana.get_by_role("button", name="Look around")
    before = looking.get_attribute("aria-pressed")
    ana.keyboard.press("l")
    assert looking.get_attribute("aria-pressed") != before

    ana.reload()
    inside(ana)
    sees(ana, "Bo")
    sees(bo, "Ana")
    expect(ana.get_by_role("button", name="Unmute")).to_be_visible()  # as it was left
    assert sorted(call.rules.seats) == [1, 2]
    ana.keyboard.press("m")
    expect(bo.locator(".place")).to_have_attribute("data-speaking", "true")

    ana.get_by_role("button", name="Leave").click()
    expect(ana.get_by_role("heading", name="You have left the call")).to_be_focused()
    expect(bo.get_by_text("You are alone here")).to_be_visible()
    expect(bo.locator("#said")).to_have_text("Ana left.")


def test_three_sit_at_a_table_that_comes_as_one_video(browser: Browser, call: Called) -> None:
    links = {"Bo": call.link, "Ana": call.invited(), "Cy": call.invited()}
    pages = {name: Visit(browser).open(link) for name, link in links.items()}
    asked: list[str] = []
    bo = pages["Bo"]
    bo.on("request", lambda request: asked.append(request.url) if "/whep/" in request.url else None)
    for (
        page
    ) in pages.values():  # all are ready before anybody comes in: what a caller costs is not known until one is watched
        expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    for name, page in pages.items():
        join(page, name)
    for page in pages.values():
        inside(page)
    expect(bo.locator("video.everybody")).to_be_attached()
    upright = re.compile(r"--aspect: 0\.75")
    expect(bo.locator(".place", has_text="Ana")).to_have_attribute("style", upright)
    expect(bo.locator(".place", has_text="Cy")).to_have_attribute("style", upright)
    assert [place.get_attribute("data-painted") for place in bo.locator(".place").all()] == ["true", "true"]
    assert any(f"/whep/{call.name}?as=table" in url for url in asked)
    bo.get_by_role("button", name="Show Cy large").click()
    widths = {name: bo.locator(".place", has_text=name).bounding_box() for name in ("Ana", "Cy")}
    assert widths["Cy"] is not None
    assert widths["Ana"] is not None
    assert widths["Cy"]["width"] > 2 * widths["Ana"]["width"]
    pages["Cy"].get_by_role("button", name="Leave").click()
    expect(bo.locator("video.everybody")).not_to_be_attached()
    sees(bo, "Ana")


def test_a_second_window_takes_the_seat_and_the_first_waits_for_a_person(browser: Browser, call: Called) -> None:
    visit, link = Visit(browser), call.invited()
    first = inside(join(visit.open(link), "Ana"))
    second = inside(visit.open(link))
    expect(first.get_by_role("heading", name="You are in this call in another window")).to_be_visible()
    seat = call.rules.seats[1]
    epoch = seat.epoch
    first.wait_for_timeout(1500)  # a socket that comes back does so after 250 ms (talk.js)
    assert seat.epoch == epoch, "two windows never fight"
    assert list(call.rules.seats) == [1]
    first.get_by_role("button", name="Take it back here").click()
    inside(first)
    expect(second.get_by_role("heading", name="You are in this call in another window")).to_be_visible()
    assert list(call.rules.seats) == [1]
    assert visit.complaints == []


def test_a_killed_browser_comes_back_to_the_same_seat(
    browser: Browser, film: Path, call: Called, tmp_path: Path
) -> None:
    profile, link = tmp_path / "profile", call.invited()
    how: dict[str, Any] = {"executable_path": chromium(), "headless": True}
    how["args"] = [*FLAGS, *CAMERA, f"--use-file-for-fake-video-capture={film}"]
    page = browser.browser_type.launch_persistent_context(profile, **how).new_page()
    page.goto(link)
    inside(join(page, "Ana"))
    seat = call.rules.seats[1]
    while not _is_written(profile, call.name):  # Chromium does it within five seconds
        page.wait_for_timeout(100)
    for process in _browsers(profile):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    context = browser.browser_type.launch_persistent_context(profile, **how)
    page = context.new_page()
    page.goto(link)  # whose one use is spent
    inside(page)
    while seat.publishing != "live":
        page.wait_for_timeout(50)
    assert (list(call.rules.seats), seat.being, seat.name) == ([1], "present", "Ana")
    context.close()


def _is_written(profile: Path, call: str) -> bool:
    """Whether what a page keeps of its seat in `call` is on the disk."""
    logs = profile.glob("**/Local Storage/leveldb/*.log")
    kept = b"".join(log.read_bytes() for log in logs)
    return call.encode() in kept and b'"seat":' in kept


def _browsers(profile: Path) -> list[psutil.Process]:
    """Those that run on it, and all that they have begun."""
    own = f"--user-data-dir={profile}"
    found = [one for one in psutil.process_iter(["cmdline"]) if own in (one.info["cmdline"] or ())]
    return [*found, *(child for one in found for child in one.children(recursive=True))]


def test_a_host_lets_in_mutes_takes_out_locks_and_ends(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    call = Called(*painted, title="Tea", approve=True)
    visit = Visit(browser)
    bo = inside(join(visit.open(call.link), "Bo"))
    bo.get_by_role("button", name="Invite somebody").click()
    bo.get_by_role("button", name="Copy invitation link").click()
    expect(bo.get_by_text(re.compile("Lets in one person, until"))).to_be_visible()
    link = bo.get_by_role("textbox", name="Link").input_value()
    assert link.startswith(f"{call.address}call/{call.name}#t=")
    bo.keyboard.press("Escape")

    ana = join(Visit(browser).open(link), "Ana")
    expect(ana.get_by_text("Waiting for the host to let you in")).to_be_visible()
    expect(bo.locator("#said")).to_have_text("Ana asks to come in.")
    bo.get_by_role("button", name="People").click()
    bo.get_by_role("button", name="Let in Ana").click()
    inside(ana)
    sees(bo, "Ana")
    bo.get_by_role("button", name="Mute Ana").click()
    expect(ana.get_by_text("The host has muted you. Press M to speak again.")).to_be_visible(timeout=PLENTY)
    ana.keyboard.press("m")
    expect(bo.locator(".place")).to_have_attribute("data-muted", "false")

    bo.get_by_role("button", name="Remove Ana").click()
    bo.get_by_role("button", name="Take out").click()
    expect(ana.get_by_role("heading", name="The host has taken you out")).to_be_visible()
    bo.get_by_role("switch", name=re.compile("Lock")).check()
    late = join(Visit(browser).open(call.invited()), "Cy")
    expect(late.get_by_role("heading", name="The call is locked")).to_be_visible()
    bo.get_by_role("button", name="End the call for everybody").click()
    bo.get_by_role("button", name="End it").click()
    expect(bo.get_by_role("heading", name="The call has ended")).to_be_visible()
    assert visit.complaints == []


def test_whoever_cannot_come_in_is_told_why(browser: Browser, call: Called) -> None:
    visit = Visit(browser)
    nobody = f"{call.address}call/{'x' * 22}#t=none"
    expect(visit.open(nobody).get_by_role("heading", name="There is no such call")).to_be_visible()
    used = call.invited(role="viewer")
    watching = Visit(browser).open(used)
    watching.get_by_role("textbox", name="Your name").fill("Di")
    watching.get_by_role("button", name="Watch the call").click()
    expect(inside(watching).get_by_text("Nobody is here yet")).to_be_visible()
    expect(watching.get_by_role("button", name="Mute")).to_be_hidden()
    again = visit.open(used)
    again.get_by_role("textbox", name="Your name").fill("Ed")
    again.get_by_role("button", name="Watch the call").click()
    expect(again.get_by_role("heading", name="This invitation has been used")).to_be_visible()
    revoked = call.tell("POST", "/invitations", {"role": "viewer"})
    call.tell("DELETE", f"/invitations/{revoked['id']}")
    late = visit.open(call.address + revoked["link"])
    late.get_by_role("textbox", name="Your name").fill("Flo")
    late.get_by_role("button", name="Watch the call").click()
    expect(late.get_by_role("heading", name="This invitation was taken back")).to_be_visible()


def test_what_is_lacking_is_said_before_anything_is_sent(browser: Browser, call: Called) -> None:
    page = Visit(browser).open(call.link)
    expect(page.locator("#mirror")).to_have_attribute("data-on", "true")
    page.get_by_role("button", name="Join the call").click()
    expect(page.get_by_role("alert").filter(has_text="Say your name first")).to_be_visible()
    expect(page.get_by_role("textbox", name="Your name")).to_be_focused()
    page.get_by_role("textbox", name="Your name").fill("Bo")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Agree first")).to_be_visible()
    assert call.rules.seats == {}
    page.get_by_role("radio", name="Live picture").check(force=True)
    expect(page.get_by_role("radiogroup", name="How the others see you")).to_be_hidden()
    expect(page.get_by_role("checkbox", name=re.compile("My camera’s picture is shown"))).to_be_visible()
    page.get_by_role("radio", name="AI avatar").check(force=True)
    page.get_by_role("button", name="See yourself as the others will").click()
    expect(page.locator("#rehearsal .place")).to_have_attribute("data-state", "live")
    page.get_by_role("button", name="Enough").click()
    expect(page.locator("#rehearsal .place")).to_have_count(0)
    expect(page.get_by_role("checkbox", name=re.compile("My face moves this avatar"))).to_be_visible()
    expect(page.get_by_role("meter")).not_to_have_attribute("aria-valuenow", "0")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (844, 390), (320, 640)])
def test_everything_fits_on_every_screen(browser: Browser, call: Called, size: tuple[int, int]) -> None:
    width, height = size
    page = Visit(browser, viewport={"width": width, "height": height}).open(call.link)
    overflow = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(overflow) <= 0
    inside(join(page, "Bo"))
    assert page.evaluate(overflow) <= 0
    for name in ("Mute", "Camera off", "Invite", "People", "Leave"):
        box = page.get_by_role("button", name=name, exact=name != "People").first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height


def test_a_call_begins_at_the_start_page(browser: Browser, painted: tuple[str, FastAPI]) -> None:
    painted[1].state.quotas.calls.forgive()
    page = Visit(browser).open(painted[0])
    page.get_by_role("button", name="Start a call").click()
    expect(page).to_have_url(re.compile(r"/call/[\w-]{22}$"))  # the key is not left in the address
    expect(page.get_by_role("button", name="Join the call")).to_be_enabled()


def handed_on(route: Route) -> None:
    """The channel goes on to somewhere else, says what the server says of it."""
    told = route.fetch()
    route.fulfill(
        response=told, json=told.json() | {"handover": {"host": "sfu.example", "since": 1, "connected": True}}
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[str, FastAPI]]:
    """Another server."""
    with served(Settings(data_dir=tmp_path / "elsewhere", port=0), painted_services) as running:
        yield running


def test_a_call_goes_out_with_everybodys_yes_and_everybody_sees_where(
    browser: Browser, call: Called, elsewhere: tuple[str, FastAPI]
) -> None:
    there, channels = elsewhere[0], elsewhere[1].state.lobby.channels
    bo, ana = (
        inside(join(Visit(browser).open(link), name)) for link, name in ((call.link, "Bo"), (call.invited(), "Ana"))
    )
    sees(bo, "Ana")
    bo.get_by_role("button", name="People").click()
    bo.get_by_role("button", name="Send this call out").click()
    bo.get_by_role("textbox", name="Address (WHIP)").fill(f"{there}whip/audience")
    bo.get_by_role("button", name="Ask everybody").click()
    expect(ana.get_by_role("heading", name="May this call go out?")).to_be_visible()
    expect(ana.get_by_text("to 127.0.0.1, and to whoever watches there")).to_be_visible()
    assert "audience" not in channels
    ana.get_by_role("button", name="I agree").click()
    for page in (bo, ana):
        expect(page.locator("#outgoing-sign")).to_have_text("Goes out to 127.0.0.1")
    watching = Visit(browser).open(f"{there}view/audience")
    expect(watching.locator("#stage")).to_have_attribute("data-state", "live")
    expect(watching.locator(".outgoing-sign")).to_be_hidden()
    watching.route("**/api/channels/audience", handed_on)
    expect(watching.get_by_text("Goes out to sfu.example")).to_be_visible()
    watching.unroute_all(behavior="ignoreErrors")
    watching.close()
    late = Visit(browser).open(call.invited())
    late.get_by_role("checkbox", name="This call goes out to 127.0.0.1").check()
    inside(join(late, "Cy"))
    expect(late.locator("#outgoing-sign")).to_be_visible()
    late.get_by_role("button", name="Leave").click()
    expect(late.locator("#over")).to_be_visible()
    expect(late.locator("#outgoing-sign")).to_be_hidden()
    ana.get_by_role("button", name="People").click()
    ana.get_by_role("button", name="Take back my yes").click()
    expect(bo.locator("#outgoing-sign")).to_be_hidden()
    expect(bo.locator("#said")).to_have_text("This call does not go out: Ana does not agree.")
    for _ in range(200):
        bo.wait_for_timeout(50)
        if "audience" not in channels:
            break
    assert "audience" not in channels


def test_where_the_browser_wants_a_tap_before_sound_a_button_starts_it(browser: Browser, call: Called) -> None:
    inside(join(Visit(browser).open(call.link), "Bo"))
    visit, link = Visit(browser, REFUSING_SOUND), call.invited(role="viewer")
    page = visit.open(link)
    page.get_by_role("textbox", name="Your name").fill("Di")
    page.get_by_role("button", name="Watch the call").click()
    inside(page)
    page = inside(visit.open(link))  # another window, in which nobody has pressed anything
    button = page.get_by_role("button", name="Start the sound")
    sees(page, "Bo")
    button.click()
    expect(button).to_be_hidden()
    expect(page.locator(".place video")).to_have_js_property("muted", False)
