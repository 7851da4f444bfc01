"""Devices that fail, hang or are slow under callers: real sessions, real threads, painted views."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import FaceObservation
from pipeline import session as session_module
from pipeline.devices.placement import preset
from pipeline.executors.health import LAST_PATIENCE, LEAST_PATIENCE
from pipeline.executors.watch import LOOK_EVERY
from pipeline.flow import LEFT
from pipeline.frame import Frame
from tests.callers import EIGHT, PAPER, SMALL, Caller, alone, assert_same
from tests.painted import PaintedEngine, PaintedState, StillObserver
from tests.renderer_bench import Clock, until


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
    until(lambda: executor.shares_waiting == 0 and executor.batches_under_way == 1)
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

    def __init__(self, clock: Clock) -> None:
        self.clock, self.compiling = clock, 0
        self.executor: Any = None
        self.known: set[str] = set()
        self.lock = threading.Lock()

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        here = threading.current_thread().name
        if here not in self.known:
            self.known.add(here)
            self._count(1)
            until(lambda: self.executor.batches_under_way <= self.compiling)  # only first ones take their time
            self.clock.now += 3 * LEAST_PATIENCE
            time.sleep(3 * LOOK_EVERY)
            self._count(-1)
        return super().render(state, cameras)

    def _count(self, more: int) -> None:
        with self.lock:
            self.compiling += more


def test_a_renderer_that_is_slow_at_first_is_not_taken_for_one_that_hangs(threads, caplog):
    engine = Compiling(clock := Clock())
    engine.executor = executor = threads(PAPER, now=clock)
    callers = [Caller(engine, PAPER, executor) for _ in range(2)]
    number = 0
    while len(engine.known) < len(
        PAPER.render
    ):  # whoever is free takes a share: not all have had one after a few frames
        for caller in callers:
            caller.shows(number)
        number += 1
        assert number < 500
    for caller in callers:
        assert caller.session.report().drops == {}
        caller.session.close()
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
