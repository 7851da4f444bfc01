"""The threads executor on CUDA devices: streams, events, copies between devices, and a whole session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from display.colour import Layout
from display.optics import Cameras
from display.planar import converted
from display.quilt import compose
from display.screen import Screen, fan_yaws
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation, Footprint
from pipeline.clock import StageClock
from pipeline.devices import gpus, planner, timing
from pipeline.devices.placement import Placement, preset
from pipeline.devices.timing import Span
from pipeline.devices.transfer import Readback, Replicated, fence, working_on
from pipeline.executors import Failure, Task
from pipeline.executors.inline import Inline
from pipeline.frame import Frame
from pipeline.session import Session
from pipeline.stages import Picture
from tests.painted import StillObserver

pytestmark = pytest.mark.gpu
TWO = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")

SMALL = Screen("small", 3, 2, 96, 64, 1.5, fan_yaws(6))
CYCLES = 100_000_000
"Some 50 ms of a GPU."
ONE_GPU = Placement("one", "cpu:0", "cuda:0", ("cuda:0",), "cuda:0", "cpu:1")


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


@dataclass(frozen=True)
class PaintedState:
    tint: torch.Tensor
    "[] uint8, where it was driven."


class GpuPaint:
    """As tests.painted.PaintedEngine, with states and views on the GPU of whichever thread works, after a while of its time."""

    name: ClassVar[str] = "painted on a GPU"
    wants: ClassVar[frozenset[str]] = frozenset()
    abilities: ClassVar[Abilities] = Abilities(footprint=Footprint(2**20, 2**20, 2**20, drive_work=1.0, view_work=1.0))
    noise = False

    def __init__(self, cycles: int = 0) -> None:
        self.cycles = cycles
        self.driven_on: list[torch.device] = []
        self.rendered_on: list[torch.device] = []

    def warm_up(self) -> None:
        pass

    def enrol(self, portrait: FaceObservation) -> torch.Tensor:
        return torch.zeros((), dtype=torch.uint8, device="cuda")

    def drive(self, avatar: torch.Tensor, seen: FaceObservation) -> PaintedState:
        self._work()
        self.driven_on.append(avatar.device)
        return PaintedState(avatar + int(seen.landmarks[0, 0]) % 256)

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        self._work()
        self.rendered_on.append(state.tint.device)
        size = (len(cameras), cameras.height, cameras.width, 4)
        images = torch.full(size, 255, dtype=torch.uint8, device=state.tint.device)
        views = torch.arange(cameras.first, cameras.first + len(cameras), device=images.device)
        images[..., 0] = (10 * views % 256).to(torch.uint8)[:, None, None]
        images[..., 1], images[..., 2] = state.tint, 200
        return ViewSet(images, cameras.first)

    def _work(self) -> None:
        if self.cycles:
            torch.cuda._sleep(self.cycles)


def frame(number: int) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), captured=time.monotonic(), sequence=number)


def plain(number: int) -> np.ndarray:
    """What a frame's quilt is, painted in one go on the CPU."""
    images = torch.full((6, 32, 32, 4), 255, dtype=torch.uint8)
    images[..., 0] = (10 * torch.arange(6)).to(torch.uint8)[:, None, None]
    images[..., 1], images[..., 2] = number, 200
    return converted(compose([ViewSet(images, 0)], SMALL, None).pixels, Layout.I420).numpy()


def opened(engine: GpuPaint, placement: Placement, executor: Any) -> tuple[Session, list[Picture]]:
    pictures: list[Picture] = []
    avatar = engine.enrol(None)  # type: ignore[arg-type]
    session = Session(engine, avatar, StillObserver(), placement, executor, pictures.append, marked=False)
    session.watch(SMALL)
    return session, pictures


def test_each_devices_thread_works_on_a_stream_of_its_own(threads):
    executor, found, ended = threads(ONE_GPU), [], threading.Event()

    def look() -> None:
        found.append((torch.cuda.current_device(), torch.cuda.current_stream()))

    executor.submit([Task("look", "cuda:0", look), Task("look", "cuda:0", look)], lambda _: ended.set())
    assert ended.wait(60)
    assert found[0] == found[1]
    assert found[0][0] == 0
    assert found[0][1] != torch.cuda.default_stream(0)


def test_a_step_has_ended_when_the_gpu_has_come_to_its_end_and_its_thread_goes_on_telling(threads):
    executor, log, ended = threads(ONE_GPU), [], threading.Event()
    marks: list[torch.cuda.Event] = []

    def long() -> None:
        torch.cuda._sleep(CYCLES)
        marks.append(torch.cuda.Event())
        marks[0].record()
        log.append("told")

    def after() -> None:
        log.append("done" if marks[0].query() else "too early")
        ended.set()

    executor.submit([Task("drive", "cuda:0", long), Task("after", "cpu:1", after)], lambda _: None)
    executor.submit([Task("drive", "cuda:0", lambda: log.append("the next is told"))], lambda _: None)
    assert ended.wait(60)
    assert log == ["told", "the next is told", "done"]


def test_what_goes_wrong_in_a_task_is_told_and_the_gpu_goes_on(threads):
    executor, told = threads(ONE_GPU), list[Failure | None]()

    def bad() -> None:
        torch.ones(2, device="cuda").add_(torch.ones(3, device="cuda"))

    executor.submit([Task("drive", "cuda:0", bad)], told.append)
    executor.submit([Task("drive", "cuda:0", lambda: None)], told.append)
    until(lambda: len(told) == 2)
    assert told[0] is not None
    assert told[0].stage == "drive"
    assert told[1] is None


def test_a_value_on_its_way_to_the_host_is_waited_for_and_what_lands_is_whole():
    made = torch.zeros(1 << 20, device="cuda")
    torch.cuda._sleep(CYCLES)
    made += 7
    carried = Replicated({"a": made})
    assert (carried.on("cpu:3")["a"] == 7).all()
    assert carried.on("cuda:0")["a"] is made
    torch.cuda._sleep(CYCLES)
    made += 1
    readback = Readback(made)
    assert (readback.array() == 8).all()


def test_a_value_of_the_host_goes_to_the_gpu_once_without_a_wait():
    carried = Replicated([torch.arange(1000)])
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = carried.on("cuda:0")[0]
        carried.send("cuda:0")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert carried.copies == 1
    assert (there.cpu() == torch.arange(1000)).all()


def test_times_are_the_gpus_and_nobody_waits_for_them():
    begun = timing.instant("cuda:0", time.monotonic)
    torch.cuda._sleep(CYCLES)
    ended = timing.instant("cuda:0", time.monotonic)
    clock = StageClock(captured=0.0)
    timing.mark_times(clock, [Span("drive", "cuda:0", begun, ended)])
    assert clock.spans == {}, "not yet"
    torch.cuda.synchronize()
    timing.mark_times(clock, [Span("drive", "cuda:0", begun, ended)])
    began, over = clock.spans["drive"]
    assert over - began > 0.005
    assert abs(over - time.monotonic()) < 5, "by the host's clock"


def test_a_session_over_one_gpu_shows_what_the_plain_way_shows(threads):
    engine = GpuPaint(cycles=CYCLES // 20)
    session, pictures = opened(engine, ONE_GPU, threads(ONE_GPU))
    for number in range(12):
        session.offer(frame(number))
        until(lambda number=number: len(pictures) > number)
    until(lambda: session.report().frames == 12)
    report, cost = session.report(), session.cost()
    session.close()
    assert report.drops == {}
    for number, picture in enumerate(pictures):
        assert picture.sequence == number
        assert (picture.yuv == plain(number)).all()
    assert {device.type for device in (*engine.driven_on, *engine.rendered_on)} == {"cuda"}
    assert cost.busy["cuda:0"] > 0


def test_inline_is_the_plain_way_here_too():
    session, pictures = opened(GpuPaint(), ONE_GPU, Inline())
    session.offer(frame(5))
    session.close()
    assert (pictures[0].yuv == plain(5)).all()


def test_two_callers_share_the_gpu_and_neither_sees_the_other(threads):
    executor = threads(ONE_GPU)
    callers = [opened(GpuPaint(cycles=CYCLES // 50), ONE_GPU, executor) for _ in range(2)]
    for number in range(10):
        for offset, (session, _) in enumerate(callers):
            session.offer(frame(number + 100 * offset))
        until(lambda number=number: all(len(pictures) > number for _, pictures in callers))
    for offset, (session, pictures) in enumerate(callers):
        session.close()
        for number, picture in enumerate(pictures):
            assert (picture.yuv == plain(number + 100 * offset)).all()


@TWO
def test_a_value_is_copied_once_to_another_gpu_which_waits_for_it_by_itself():
    with working_on("cuda:0"):
        made = torch.zeros(1 << 22, device="cuda")
        torch.cuda._sleep(CYCLES)
        made += 3
        carried = Replicated(made)
    carried.send("cuda:1")
    with working_on("cuda:1"):
        there = carried.on("cuda:1")
        assert there.device.index == 1
        doubled = there * 2
        end = fence("cuda:1")
    assert carried.copies == 1
    assert end is not None
    end.wait()
    assert (doubled == 6).all()
    assert carried.on("cuda:1") is there


@TWO
def test_a_session_over_two_gpus_drives_on_one_and_renders_on_both(threads):
    place = Placement("two", "cpu:0", "cuda:1", ("cuda:0", "cuda:1"), "cuda:0", "cpu:1")
    engine = GpuPaint(cycles=CYCLES // 20)
    session, pictures = opened(engine, place, threads(place))
    for number in range(12):
        session.offer(frame(number))
        until(lambda number=number: len(pictures) > number)
    session.close()
    for number, picture in enumerate(pictures):
        assert (picture.yuv == plain(number)).all()
    assert {device.index for device in engine.driven_on} == {1}, "where the avatar was carried to"
    assert {device.index for device in engine.rendered_on} == {0, 1}


def test_the_planner_takes_the_gpus_that_are_here():
    found = gpus.present()
    assert [one.name for one in found] == [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    assert all(0 < one.free_bytes <= one.memory_bytes for one in found)
    planned = planner.chosen("auto", found[:1], "engine", GpuPaint.abilities.footprint, 24)
    assert planned.placement == preset("one-gpu") or "left out" in " ".join(planned.explanation)
