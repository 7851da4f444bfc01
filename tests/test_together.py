"""Callers on the same devices, and devices that fail under them: real sessions, real threads, painted views."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from display.optics import Cameras
from display.screen import Screen, screen
from display.views import ViewSet
from engines.contract import FaceObservation, SharesBatches
from engines.shared_volume import Sampling
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from pipeline import session as session_module
from pipeline.executors.inline import Inline
from pipeline.executors.threads import LOOK_EVERY
from pipeline.flow import LEFT, REPLACED
from pipeline.frame import Frame
from pipeline.placement import Placement, preset
from pipeline.roster import LAST_PATIENCE, LEAST_PATIENCE
from pipeline.session import Session
from pipeline.stages import Picture
from tests.painted import PaintedEngine, PaintedState, StillObserver, still_face

QUILT = screen("telequilt")
SMALL = replace(
    QUILT, name="small", columns=3, rows=2, quilt_width=96, quilt_height=64, yaws_degrees=QUILT.yaws_degrees[:6]
)
EIGHT = replace(SMALL, name="eight", columns=4, quilt_width=128, yaws_degrees=QUILT.yaws_degrees[:8])
PAPER = preset("paper").on_cpu()


class SharedPaint(PaintedEngine):
    """Painted views in batches of eight; notes which callers' states each batch held, and waits at the gate."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.drives = 0
        self.gate = threading.Event()
        self.gate.set()

    @property
    def views_at_once(self) -> int:
        return 8

    def drive(self, avatar: str, seen: FaceObservation) -> PaintedState:
        self.drives += 1
        return super().drive(avatar, seen)

    def render_many(self, requests: Sequence[tuple[PaintedState, Cameras]]) -> list[ViewSet]:
        self.batches.append([state.tint for state, _ in requests])
        assert self.gate.wait(10)
        return [self.render(state, cameras) for state, cameras in requests]


class Caller:
    """A session that somebody watches."""

    def __init__(self, engine: Any, placement: Placement, executor: Any, *screens: Screen, **more: Any) -> None:
        self.pictures: list[Picture] = []
        self.gone: list[str] = []
        self.observer = more.pop("observer", StillObserver())
        avatar = more.pop("avatar", "avatar")
        more = {"marked": False} | more  # the mark wants larger tiles
        self.session = Session(
            engine, avatar, self.observer, placement, executor, self.pictures.append, gone=self.gone.append, **more
        )
        for one in screens or (SMALL,):
            self.session.watch(one)

    def offer(self, number: int) -> None:
        self.session.offer(Frame(np.zeros((4, 4, 3), np.uint8), captured=time.monotonic(), sequence=number))

    def shows(self, number: int) -> None:
        """Offer a frame and wait for its picture."""
        before = len(self.pictures)
        self.offer(number)
        until(lambda: len(self.pictures) > before)
        assert self.pictures[-1].sequence == number


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def alone(engine: Any, number: int, *screens: Screen, **more: Any) -> list[Picture]:
    """What a caller sees with nobody else about and nothing spread."""
    caller = Caller(engine, preset("cpu"), Inline(), *screens, **more)
    caller.offer(number)
    return caller.pictures


def assert_same(pictures: Sequence[Picture], expected: Sequence[Picture], most: int = 0) -> None:
    by_screen = {picture.screen: picture.yuv for picture in expected}
    assert {picture.screen for picture in pictures} == set(by_screen)
    for picture in pictures:
        assert np.abs(picture.yuv.astype(int) - by_screen[picture.screen]).max() <= most


def test_views_in_shared_batches_are_those_rendered_alone(threads):
    engine, executor = SharedPaint(), threads(preset("cpu"))
    watched = [(SMALL,), (QUILT,), (SMALL, QUILT.only(3)), (SMALL,)]
    callers = [Caller(engine, preset("cpu"), executor, *screens) for screens in watched]
    engine.gate.clear()
    callers[0].offer(1)
    until(lambda: engine.batches)
    for number, caller in enumerate(callers[1:], start=2):
        caller.offer(number)
    until(lambda: executor._renderers._sharing.shares_waiting == 3)
    engine.gate.set()
    until(lambda: all(len(caller.pictures) == len(screens) for caller, screens in zip(callers, watched, strict=True)))
    assert any(len(set(batch)) > 1 for batch in engine.batches), "no batch held two callers"
    for number, (caller, screens) in enumerate(zip(callers, watched, strict=True), start=1):
        assert_same(caller.pictures, alone(PaintedEngine(), number, *screens))
        caller.session.close()


@pytest.mark.parametrize("placement", [preset("cpu"), PAPER], ids=lambda p: p.name)
def test_a_neural_network_shows_each_caller_the_same_in_company(placement, threads):
    engine = Voodoo3d(
        synthetic.network(Architecture(64, 16)),
        noise=True,
        samples=Samples(8, 8),
        sampling=Sampling.EXACT,  # a shared volume is as large as the views it is made for: other shares, other grid
        runtime="eager",
        views_at_once=4,
    )
    assert isinstance(engine, SharesBatches)
    executor, avatar = threads(placement), engine.enrol(still_face())
    callers = [Caller(engine, placement, executor, avatar=avatar) for _ in range(3)]
    for caller in callers:
        caller.offer(7)
    until(lambda: all(caller.pictures for caller in callers), 60)
    expected = alone(engine, 7, avatar=avatar)
    for caller in callers:
        assert_same(caller.pictures, expected, most=1)  # float32 sums of other lengths, rounded to bytes
        caller.session.close()


class Breaking(PaintedEngine):
    """Misbehaves on the threads of some renderers."""

    def __init__(self) -> None:
        self.raising: set[str] = set()
        self.hanging: set[str] = set()
        self.struck = threading.Event()
        self.held = threading.Semaphore(0)
        self.release = threading.Event()

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        here = threading.current_thread().name.removeprefix("stage-")
        time.sleep(0.002)
        if self.raising or self.hanging:  # the others wait for the first, so that it gets its share
            if here in self.raising | self.hanging:
                self.struck.set()
            assert self.struck.wait(10)
        if here in self.raising:
            raise RuntimeError("an illegal memory access was encountered")
        if here in self.hanging:
            self.held.release()
            assert self.release.wait(20)
        return super().render(state, cameras)


def test_a_renderer_that_raises_costs_no_frame(threads, caplog):
    engine, executor = Breaking(), threads(PAPER, now=lambda: 0.0)
    caller = Caller(engine, PAPER, executor, EIGHT)  # two views for each renderer
    caller.shows(0)
    engine.raising = {"cpu:3"}
    for number in range(1, 12):
        caller.shows(number)
        assert_same(caller.pictures[-1:], alone(PaintedEngine(), number, EIGHT))
    report = caller.session.report()
    caller.session.close()
    assert report.drops == {}
    assert report.frames == 12
    assert [one.device for one in executor.devices() if not one.up] == ["cpu:3"]


def test_a_renderer_that_hangs_stops_nobody_for_long_and_costs_no_frame(threads):
    now, engine = [0.0], Breaking()
    executor = threads(PAPER, now=lambda: now[0])
    callers = [Caller(engine, PAPER, executor) for _ in range(2)]
    for number in range(8):
        for caller in callers:
            caller.shows(number)
    engine.hanging = {"cpu:4"}
    for caller in callers:
        caller.offer(8)
    assert engine.held.acquire(timeout=10)
    renderers = executor._renderers
    until(lambda: not renderers._sharing.waiting and sum(map(renderers._roster.busy, PAPER.render)) == 1)
    now[0] += 1.1 * LEAST_PATIENCE
    until(lambda: all(caller.pictures[-1].sequence == 8 for caller in callers))
    for number in range(9, 15):
        for caller in callers:
            caller.shows(number)
            assert_same(caller.pictures[-1:], alone(PaintedEngine(), number, SMALL))
    assert not engine.release.is_set(), "all that while it hung"
    assert [one.device for one in executor.devices() if one.hangs] == ["cpu:4"]
    engine.hanging.clear()
    engine.release.set()
    for caller in callers:
        assert [picture.sequence for picture in caller.pictures] == list(range(15))
        assert caller.session.report().drops == {}
        caller.session.close()


class Compiling(PaintedEngine):
    """Slow on each thread's first batch, as a neural engine is that has to be loaded there."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        here = threading.current_thread().name
        if here not in self.known:
            self.known.add(here)
            time.sleep(3 * LEAST_PATIENCE)
        return super().render(state, cameras)


def test_a_renderer_that_is_slow_at_first_is_not_taken_for_one_that_hangs(threads, caplog):
    engine, executor = Compiling(), threads(PAPER)
    callers = [Caller(engine, PAPER, executor) for _ in range(2)]
    for number in range(4):
        for caller in callers:
            caller.shows(number)
    for caller in callers:
        assert caller.session.report().drops == {}
        caller.session.close()
    assert len(engine.known) == len(PAPER.render)
    assert [one.drops for one in executor.devices()] == [0] * len(PAPER.devices)
    assert caplog.text == ""


def test_a_session_ends_once_and_says_why_when_nobody_is_left_to_render(threads, caplog):
    engine, executor = Breaking(), threads(PAPER)
    engine.raising = set(PAPER.render)
    caller = Caller(engine, PAPER, executor)
    number = 0
    while not caller.gone:
        caller.offer(number := number + 1)
        time.sleep(0.002)
        assert number < 5000
    assert len(caller.gone) == 1
    assert caller.gone[0].startswith("no renderer is left (cpu:2: RuntimeError: an illegal memory access")
    caller.offer(number)
    caller.session.close()
    assert caller.pictures == []
    assert caller.session.report().drops[LEFT] >= 1
    assert caplog.text.count("stage render failed") == 1


class Overlapping(PaintedEngine):
    """Renders a frame only once the next one has been driven."""

    def __init__(self) -> None:
        self.driven = [threading.Event() for _ in range(4)]

    def drive(self, avatar: str, seen: Any) -> PaintedState:
        state = super().drive(avatar, seen)
        self.driven[state.tint].set()
        return state

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        assert self.driven[state.tint + 1].wait(10), "driving waited for rendering"
        return super().render(state, cameras)


def test_the_next_frame_is_driven_while_this_one_is_rendered(threads):
    engine = Overlapping()
    caller = Caller(engine, PAPER, threads(PAPER))
    caller.offer(0)
    caller.offer(1)
    until(lambda: caller.pictures)
    engine.driven[2].set()
    until(lambda: len(caller.pictures) == 2)
    caller.session.close()
    assert caller.session.report().drops == {}


class SlowToMove(PaintedEngine):
    """Drives a face that is not seen in no time, as a neural engine does, and one that is seen when it is let."""

    def __init__(self) -> None:
        self.driving, self.let = threading.Event(), threading.Event()

    def drive(self, avatar: str, seen: FaceObservation) -> PaintedState:
        if seen.presence:
            self.driving.set()
            assert self.let.wait(20)
        return super().drive(avatar, seen)


class ComesLate(StillObserver):
    """Sees nobody in the first ten frames."""

    def observe(self, frame: Frame) -> FaceObservation:
        return replace(super().observe(frame), presence=float(frame.sequence >= 10))


def test_the_first_face_to_be_seen_is_not_taken_for_a_hang_since_none_was_driven_in_no_time(threads):
    now, engine, placement = [0.0], SlowToMove(), preset("cpu")
    caller = Caller(engine, placement, threads(placement, now=lambda: now[0]), observer=ComesLate())
    for number in range(10):
        caller.shows(number)
    caller.offer(10)
    assert engine.driving.wait(10)
    now[0] += 10 * LAST_PATIENCE
    time.sleep(3 * LOOK_EVERY)
    engine.let.set()
    until(lambda: len(caller.pictures) == 11)
    assert caller.gone == []
    now[0] += 1
    engine.let.clear()
    engine.driving.clear()
    caller.offer(11)
    assert engine.driving.wait(10)
    now[0] += 10 * 10 * LAST_PATIENCE + 1
    until(lambda: caller.gone)
    engine.let.set()
    caller.session.close()


def test_newer_frames_wait_in_one_place_and_what_was_taken_up_is_shown(threads, caplog):
    engine = SharedPaint()
    caller = Caller(engine, preset("cpu"), executor := threads(preset("cpu")), depth=2)
    engine.gate.clear()
    for number in range(5):
        caller.offer(number)
        until(lambda: engine.batches)
        until(lambda number=number: executor._renderers._sharing.shares_waiting == min(number, 1))
    assert caller.session.report().drops == {REPLACED: 2}
    engine.gate.set()
    until(lambda: len(caller.pictures) == 3)
    caller.session.close()
    assert [picture.sequence for picture in caller.pictures] == [0, 1, 4]
    assert engine.drives == 3, "none for nothing"
    assert caplog.text == ""


def test_reports_say_how_busy_each_device_is_with_a_frame_that_is_watched(threads):
    placement = preset("cpu")
    caller = Caller(Breaking(), placement, threads(placement), SMALL)
    caller.session.unwatch(SMALL)
    for number in range(3):
        caller.offer(number)
        until(lambda number=number: caller.session.report().frames == number + 1)
    assert caller.session.report().busy == {}, "nobody watched"
    caller.session.watch(SMALL)
    for number in range(3, 6):
        caller.shows(number)
    until(lambda: caller.session.report().frames == 6)
    busy = caller.session.report().busy
    caller.session.close()
    assert set(busy) == {"cpu:0", "cpu:1", "cpu:2"}
    assert busy["cpu:1"] >= 2.0 > busy["cpu:0"] > 0


def test_a_batch_that_is_shared_is_charged_by_the_view(threads):
    engine, placement = SharedPaint(), preset("cpu")
    executor = threads(placement)
    first, small, single = (Caller(engine, placement, executor, one) for one in (SMALL, SMALL, QUILT.only(3)))
    engine.gate.clear()
    first.offer(0)
    until(lambda: engine.batches)
    small.offer(1)
    single.offer(2)
    until(lambda: executor._renderers._sharing.shares_waiting == 2)
    engine.gate.set()
    until(lambda: small.session.report().frames and single.session.report().frames)
    assert sorted(engine.batches[1]) == [1, 2], "six views and one, in a batch of eight"
    shares = [caller.session.report().busy["cpu:1"] for caller in (small, single)]
    assert shares[0] == pytest.approx(6 * shares[1], rel=0.01)
    for caller in (first, small, single):
        caller.session.close()


class Stuck(StillObserver):
    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.release.set()
        self.entered = threading.Event()

    def observe(self, frame: Frame) -> Any:
        self.entered.set()
        assert self.release.wait(20)
        return super().observe(frame)


def test_closing_leaves_a_frame_behind_that_does_not_end_and_its_observer_is_let_go_when_it_does(
    threads, monkeypatch, caplog
):
    monkeypatch.setattr(session_module, "CLOSING_PATIENCE", 0.1)
    observer = Stuck()
    caller = Caller(PaintedEngine(), preset("cpu"), threads(preset("cpu")), observer=observer)
    caller.shows(0)
    until(lambda: caller.session.report().frames == 1)
    observer.release.clear()
    observer.entered.clear()
    caller.offer(1)
    assert observer.entered.wait(10)
    caller.session.close()
    assert "closed without it" in caplog.text
    assert not observer.closed
    observer.release.set()
    until(lambda: observer.closed)
