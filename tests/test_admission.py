"""Whether one caller more may come in: real servers, real peers, and engines that take their time or break."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import ClassVar

import av
import httpx
import pytest
from playwright.sync_api import expect

from display.optics import Cameras
from display.views import ViewSet
from pipeline.clock import Cost
from pipeline.devices.capacity import ENOUGH_FRAMES, Load
from pipeline.devices.placement import Placement, preset
from pipeline.executors.health import MOST_IN_A_ROW
from pipeline.session import Session
from server.channels import admission, ladder
from server.channels.admission import Admission
from server.channels.ladder import RUNGS, first_that_fits
from server.problems import Problem
from server.settings import Settings
from tests.browsing import PLENTY, Visit, browsing, go_live, served, start, write_calm
from tests.live import Client, Clip, painted_services, serving, settings_for, until
from tests.painted import PaintedEngine, PaintedState

VIEWS = 24
RATE = 5
"Frames a second that room is kept for: with stages that take tenths of a second, a machine that others keep busy adds little."
HALF_FULL = 0.120 / VIEWS
"Seconds a view that take up 0.6 of a lone renderer."
CPU, PAPER = preset("cpu"), preset("paper").on_cpu()


class Slow(PaintedEngine):
    """In the place of the default engine. Takes so many seconds for each view, and leaves the processor to others meanwhile."""

    name: ClassVar[str] = "relief"

    def __init__(self, per_view: float) -> None:
        self.per_view = per_view
        self.breaks = False

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        if self.breaks:
            raise RuntimeError("an illegal memory access was encountered")
        time.sleep(self.per_view * len(cameras))
        return super().render(state, cameras)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that sleep share no cores: what is tested is what their devices can do."""
    monkeypatch.setattr(admission, "cores", lambda: 64)


@asynccontextmanager
async def server(folder: Path, engine: PaintedEngine, placement: Placement = CPU, rate: int = RATE):
    settings = settings_for(folder, max_channels=16, frames_per_second=rate)
    async with (
        serving(settings, lambda settings: painted_services(settings, engine, placement)) as (base, app),
        httpx.AsyncClient(base_url=base, timeout=30) as http,
    ):
        yield http, app


@asynccontextmanager
async def server_with_one(folder: Path, engine: PaintedEngine, placement: Placement = CPU, rate: int = RATE):
    """Where "first" is live, somebody watches, and what that costs is known."""
    async with server(folder, engine, placement, rate) as (http, app), Client(http) as first, Client(http) as viewer:
        assert (await first.publish("first")).status_code == 201, "whatever he costs: there is nobody to protect"
        await viewer.view("first")
        session = app.state.lobby.channels["first"].session
        await until(lambda: session.cost().frames >= ENOUGH_FRAMES)
        yield http, first, viewer, session


async def test_a_caller_too_many_is_told_when_to_come_again_and_comes_in_once_another_has_left(tmp_path: Path):
    async with (
        server_with_one(tmp_path, Slow(HALF_FULL)) as (http, first, viewer, _),
        Client(http) as second,
        Client(http) as third,
    ):
        refused = await second.publish("second")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        problem = refused.json()
        assert problem["type"] == "urn:telequilt:problem:too-many-callers"
        assert "one caller more would make everybody's picture late (cpu:1 at " in problem["detail"]
        assert problem["utilisation"]["cpu:1"] > 1
        ready = await http.get("/readyz")
        assert ready.status_code == 200, "who watches the first must still get here"
        assert ready.json()["callers"].startswith("every place is taken")
        metrics = (await http.get("/metrics")).text
        assert 'telequilt_turned_away_total{who="callers"} 1.0' in metrics
        assert 'telequilt_device_up{device="cpu:1",placement="cpu"} 1.0' in metrics
        shown = len(viewer.pictures)
        await viewer.seen(shown + 5)
        await first.hang_up()
        assert (await http.get("/readyz")).json() == {"status": "ready", "callers": "welcome"}
        assert (await third.publish("third")).status_code == 201


async def test_the_same_callers_fit_on_more_renderers(tmp_path: Path):
    async with (
        server_with_one(tmp_path, Slow(RATE * HALF_FULL), PAPER, rate=1) as (http, _, _, session),
        Client(http) as second,
    ):
        assert (await second.publish("second")).status_code == 201
        answer = (await http.get("/api/devices")).json()
        assert [place["name"] for place in answer["places"]] == ["paper on cpu"]
        assert {one["device"] for one in answer["places"][0]["devices"]} == set(PAPER.devices)
        renderers = [answer["utilisation"][device] for device in PAPER.render]
        each = RATE * HALF_FULL * VIEWS / len(renderers)
        assert 2 * each == pytest.approx(0.3), "two callers, each 0.6 of one renderer"
        # sleeps last at least as long as they should, and on a busy machine longer; counted twice it were twice as much
        took = sum(session.cost().busy[device] for device in PAPER.render) / len(renderers)
        assert 0.29 < sum(renderers) / len(renderers) < 1.6 * 2 * max(each, took)


async def test_a_second_caller_of_a_quick_engine_comes_in(tmp_path: Path):
    async with server_with_one(tmp_path, Slow(0.0), rate=1) as (http, _, _, _), Client(http) as second:
        assert (await second.publish("second")).status_code == 201


class Unhurried(Clip):
    """A camera of few pictures: what its frames cost is no trouble, only what those of a quick one would."""

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(0.1)
        return await super().recv()


async def test_a_caller_who_fits_with_less_detail_comes_in_and_all_are_stepped_down_together_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ladder, "OURS", 60.0)  # however late they are on a busy machine: what callers cost decides here
    monkeypatch.setattr(ladder, "LOWEST_SHARE", 0.0)
    monkeypatch.setattr(Session, "cost", lambda _: Cost({"cpu:1": 0.7 / 25}, VIEWS, ENOUGH_FRAMES))
    settings = settings_for(tmp_path, adapt=True, max_channels=16, frames_per_second=25)
    async with AsyncExitStack() as stack:
        base, app = await stack.enter_async_context(serving(settings, painted_services))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=base, timeout=30))
        callers = [await stack.enter_async_context(Client(http)) for _ in range(6)]
        viewer = await stack.enter_async_context(Client(http))
        assert (await callers[0].publish("0", Unhurried())).status_code == 201
        await viewer.view("0")
        channels = app.state.lobby.channels
        await viewer.seen(3)
        assert channels["0"].ladder.rung == 0
        assert (await callers[1].publish("1", Unhurried())).status_code == 201, "with all detail two would be too much"
        rungs = [one.ladder.rung for one in channels.values()]
        assert rungs == 2 * [first_that_fits(0.85 / 1.4)]
        await until(lambda: channels["0"].course.at(0).state == "slowed-down")
        for facts in (await http.get("/api/channels")).json():
            assert facts["detail"]["rung"] > 0
        assert (await http.get("/api/channels/0")).json()["condition"]["why"] == "this server is shared with others"
        answers = [await caller.publish(str(number), Unhurried()) for number, caller in enumerate(callers[2:], 2)]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert "one caller more would make everybody's picture late" in refused.json()["detail"]
        for caller in callers[1:]:
            await caller.hang_up()
        await until(lambda: list(channels) == ["0"])
        await until(lambda: channels["0"].ladder.rung == 0, 60)
        assert channels["0"].slowed == ""


LIVE = [Load("quick", Cost({"cpu:1": 0.002}, 24, 250))]


def rung_beside(folder: Path, slowed: list[int], adapt: bool = True) -> int:
    settings = settings_for(folder, adapt=adapt)
    return Admission(settings).check(LIVE * max(1, len(slowed)), [RUNGS[one] for one in slowed], "quick", [])


def test_who_comes_while_somebody_is_slowed_down_has_a_part_of_what_fits(tmp_path: Path):
    assert rung_beside(tmp_path, []) == 0, "nobody is: what it should cost decides"
    assert rung_beside(tmp_path, [1]) == first_that_fits(RUNGS[1].work / 2)
    assert rung_beside(tmp_path, [2, 0]) == first_that_fits((RUNGS[2].work + 1) / 3)
    with pytest.raises(Problem, match="others keep this machine busy") as refused:
        rung_beside(tmp_path, [len(RUNGS) - 1])
    assert refused.value.status == 503


def test_where_all_detail_is_kept_nobody_comes_in_who_fits_with_less(tmp_path: Path):
    assert rung_beside(tmp_path, [], adapt=False) == 0
    heavy = [Load("quick", Cost({"cpu:1": 0.030}, 24, 250))]
    with pytest.raises(Problem, match="one caller more"):
        Admission(settings_for(tmp_path, adapt=False)).check(heavy, [], "quick", [])
    assert Admission(settings_for(tmp_path, adapt=True)).check(heavy, [], "quick", []) == first_that_fits(0.85 / 1.5)


async def test_devices_that_have_failed_end_calls_refuse_callers_and_take_them_once_they_work(tmp_path: Path):
    engine = Slow(0.0)
    async with (
        server(tmp_path, engine) as (http, app),
        Client(http) as caller,
        Client(http) as viewer,
        Client(http) as second,
        Client(http) as third,
    ):
        await caller.publish("first")
        await viewer.view("first")
        await viewer.seen(3)
        engine.breaks = True
        await until(lambda: not app.state.lobby.channels)
        await until(lambda: caller.connection.connectionState == "closed")
        refused = await second.publish("second")
        assert refused.status_code == 503
        assert refused.json()["type"] == "urn:telequilt:problem:devices-failed"
        assert "cpu:1: RuntimeError: an illegal memory access was encountered" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) > 0
        metrics = (await http.get("/metrics")).text
        assert 'telequilt_device_up{device="cpu:1",placement="cpu"} 0.0' in metrics
        assert 'telequilt_device_drops_total{device="cpu:1",placement="cpu"} 1.0' in metrics
        engine.breaks = False
        ready = 0
        deadline = time.monotonic() + 60
        while ready != 200 and time.monotonic() < deadline:
            ready = (await http.get("/readyz")).status_code
        assert ready == 200, "it is tried again after a pause"
        assert (await third.publish("third")).status_code == 201
        channel = app.state.lobby.channels["third"]
        async with Client(http) as again:
            await again.view("third")
            await again.seen(3)
        assert channel.session.report().drops.get("failed in render", 0) <= MOST_IN_A_ROW


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_the_callers_page_says_that_every_place_is_taken(tmp_path: Path):
    expect.set_options(timeout=PLENTY)
    settings = Settings(data_dir=tmp_path / "data", port=0, frames_per_second=RATE)
    with (
        browsing(write_calm(tmp_path / "camera.y4m")) as browser,
        served(settings, lambda settings: painted_services(settings, Slow(HALF_FULL))) as (address, app),
    ):
        first, second = Visit(browser), Visit(browser)
        page = first.open(address)
        go_live(page, "first")
        session = app.state.lobby.channels["first"].session
        deadline = time.monotonic() + 120
        while session.cost().frames < ENOUGH_FRAMES:
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        late = second.open(address)
        start(late, "second")
        problem = late.locator("#start-problem")
        expect(problem).to_contain_text(
            "Every place is taken: one caller more would make everybody's picture late (cpu:1 at"
        )
        expect(problem).to_contain_text("Try again when somebody has left.")
        expect(problem).to_be_in_viewport()
        expect(late.get_by_role("button", name="Start", exact=True)).to_be_enabled()
        expect(page.locator("#stage")).to_have_attribute("data-state", "live")
