"""Callers on the same devices: real sessions, real threads, painted views."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation
from engines.options import EngineOptions
from engines.shared_volume import Sampling
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from pipeline.devices.placement import preset
from pipeline.flow import REPLACED
from tests.callers import PAPER, QUILT, SMALL, Caller, alone, assert_same
from tests.painted import PaintedEngine, PaintedState, still_face
from tests.renderer_bench import until


class SharedPaint(PaintedEngine):
    """Painted views in batches of eight; notes which callers' states each batch held, and waits at the gate."""

    abilities: ClassVar[Abilities] = Abilities(batches=True)

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


def test_views_in_shared_batches_are_those_rendered_alone(threads):
    engine, executor = SharedPaint(), threads(preset("cpu"))
    watched = [(SMALL,), (QUILT,), (SMALL, QUILT.only(3)), (SMALL,)]
    callers = [Caller(engine, preset("cpu"), executor, *screens) for screens in watched]
    engine.gate.clear()
    callers[0].offer(1)
    until(lambda: engine.batches)
    for number, caller in enumerate(callers[1:], start=2):
        caller.offer(number)
    until(lambda: executor.shares_waiting == 3)
    engine.gate.set()
    until(lambda: all(len(caller.pictures) == len(screens) for caller, screens in zip(callers, watched, strict=True)))
    assert any(len(set(batch)) > 1 for batch in engine.batches), "no batch held two callers"
    for number, (caller, screens) in enumerate(zip(callers, watched, strict=True), start=1):
        assert_same(caller.pictures, alone(PaintedEngine(), number, *screens))
        caller.session.close()


@pytest.mark.parametrize("placement", [preset("cpu"), PAPER], ids=lambda p: p.name)
def test_a_neural_network_shows_each_caller_the_same_in_company(placement, threads):
    engine = Voodoo3d(
        EngineOptions(runtime="eager", synthetic_weights=True),
        network=synthetic.network(Architecture(64, 16)),
        samples=Samples(8, 8),
        sampling=Sampling.EXACT,  # a shared volume is as large as the views it is made for: other shares, other grid
        views_at_once=4,
    )
    assert engine.abilities.batches
    executor, avatar = threads(placement), engine.enrol(still_face())
    callers = [Caller(engine, placement, executor, avatar=avatar) for _ in range(3)]
    for caller in callers:
        caller.offer(7)
    until(lambda: all(caller.pictures for caller in callers), 60)
    expected = alone(engine, 7, avatar=avatar)
    for caller in callers:
        assert_same(caller.pictures, expected, most=1)  # float32 sums of other lengths, rounded to bytes
        caller.session.close()


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


def test_newer_frames_wait_in_one_place_and_what_was_taken_up_is_shown(threads, caplog):
    engine = SharedPaint()
    caller = Caller(engine, preset("cpu"), executor := threads(preset("cpu")), depth=2)
    engine.gate.clear()
    for number in range(5):
        caller.offer(number)
        until(lambda: engine.batches)
        until(lambda number=number: executor.shares_waiting == min(number, 1))
    assert caller.session.report().drops == {REPLACED: 2}
    engine.gate.set()
    until(lambda: len(caller.pictures) == 3)
    caller.session.close()
    assert [picture.sequence for picture in caller.pictures] == [0, 1, 4]
    assert engine.drives == 3, "none for nothing"
    assert caplog.text == ""


class Slow(PaintedEngine):
    """Renders in fifty milliseconds."""

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        time.sleep(0.05)
        return super().render(state, cameras)


def test_reports_say_how_busy_each_device_is_with_a_frame_that_is_watched(threads):
    placement = preset("cpu")
    caller = Caller(Slow(), placement, threads(placement), SMALL)
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
    assert busy["cpu:1"] >= 50 > busy["cpu:0"] > 0


def test_a_batch_that_is_shared_is_charged_by_the_view(threads):
    engine, placement = SharedPaint(), preset("cpu")
    executor = threads(placement)
    first, small, single = (Caller(engine, placement, executor, one) for one in (SMALL, SMALL, QUILT.only(3)))
    engine.gate.clear()
    first.offer(0)
    until(lambda: engine.batches)
    small.offer(1)
    single.offer(2)
    until(lambda: executor.shares_waiting == 2)
    engine.gate.set()
    until(lambda: small.session.report().frames and single.session.report().frames)
    assert sorted(engine.batches[1]) == [1, 2], "six views and one, in a batch of eight"
    shares = [caller.session.report().busy["cpu:1"] for caller in (small, single)]
    assert shares[0] == pytest.approx(6 * shares[1], rel=0.01, abs=0.0035)  # a report has thousandths
    for caller in (first, small, single):
        caller.session.close()
