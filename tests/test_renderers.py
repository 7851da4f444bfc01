"""Renderers that fail, hang, come back, and share batches: real threads on CPU devices, clocks made up where one decides."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from queue import SimpleQueue
from typing import Any

import pytest

from pipeline.executors import DeviceGone, Failure, Rendered, Spread, Task, threads
from pipeline.executors.threads import Threads
from pipeline.placement import Placement
from pipeline.roster import LAST_PATIENCE, MOST_IN_A_ROW, able

FOUR = Placement("four", "cpu:0", "cpu:0", ("cpu:1", "cpu:2", "cpu:3", "cpu:4"), "cpu:5")
ONE = Placement("one", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2")


class Clock:
    """Time as the test makes it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Frame:
    """One caller's frame: which views were kept, who rendered them, what was told in the end."""

    caller: str
    number: int
    views: int = 24
    kept: list[int] = field(default_factory=list)
    by: Counter[str] = field(default_factory=Counter)
    told: list[Failure | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def whole(self) -> bool:
        return sorted(self.kept) == list(range(self.views)) and self.told == [None]


Behaviour = Callable[[Sequence[tuple[Frame, range]]], object]


class Bench:
    """An executor whose renderers do as the test says, and the frames that went through it."""

    def __init__(self, placement: Placement, at_once: int | None = None, **more: Any) -> None:
        self.executor, self.placement, self.at_once = Threads(placement, **more), placement, at_once
        self.behaviour: dict[str, Behaviour] = {}
        self.batches: list[tuple[str, list[tuple[str, int]]]] = []
        "(Device, [(caller, views)]) of every batch begun."
        self.sent: list[tuple[str, int]] = []
        self.composed: list[Frame] = []
        self.lock = threading.Lock()

    def run(self, device: str, parts: Sequence[tuple[Frame, range]]) -> Rendered:
        with self.lock:
            self.batches.append((device, [(frame.caller, len(views)) for frame, views in parts]))
        if device in self.behaviour:
            self.behaviour[device](parts)
        return Rendered([device] * len(parts), None)

    def submit(self, frame: Frame) -> Frame:
        def keep(views: range, device: str) -> None:
            frame.kept += views
            frame.by[device] += len(views)

        def done(failure: Failure | None) -> None:
            frame.told.append(failure)
            frame.ended.set()

        spread = Spread(
            tuple(Task("render", device, lambda: None) for device in self.placement.render),
            caller=frame.caller,
            kind="engine",
            views=frame.views,
            at_once=lambda: self.at_once,
            send=lambda device: self.sent.append((device, frame.number)),
            frame=frame,
            run=self.run,
            keep=keep,
        )
        drive = Task("drive", self.placement.drive, lambda: None)
        compose = Task("compose", self.placement.display, lambda: self.composed.append(frame))
        self.executor.submit([[drive], spread, [compose]], done)
        return frame

    def finished(self, caller: str = "a", number: int = 0, views: int = 24) -> Frame:
        frame = self.submit(Frame(caller, number, views))
        assert frame.ended.wait(10), "the frame never ended"
        return frame

    def warm(self) -> None:
        """Every renderer renders its share of one frame, so that it is known what is usual."""
        meet = threading.Barrier(len(self.placement.render), timeout=10)
        self.behaviour = dict.fromkeys(self.placement.render, lambda parts: meet.wait() and None)
        assert set(self.finished("warm").by) == set(self.placement.render)
        self.behaviour.clear()
        self.batches.clear()

    def up(self) -> list[str]:
        return [one.device for one in self.executor.devices() if one.renders and one.up]


@pytest.fixture
def bench():
    made: list[Bench] = []

    def make(placement: Placement = FOUR, at_once: int | None = None, **more: Any) -> Bench:
        made.append(Bench(placement, at_once, **more))
        return made[-1]

    yield make
    for one in made:
        one.executor.close()


def held(gate: threading.Event, then: Callable[[], None]) -> None:
    assert gate.wait(10)
    then()


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def fail(parts: Sequence[tuple[Frame, range]]) -> None:
    raise RuntimeError("CUDA out of memory")


def test_views_are_shared_out_evenly_and_the_state_is_sent_to_everybody_first(bench):
    four, together = bench(), threading.Barrier(4, timeout=10)
    for device in FOUR.render:
        four.behaviour[device] = lambda parts: together.wait() and None
    frame = four.finished()
    assert frame.whole
    assert frame.by == dict.fromkeys(FOUR.render, 6)
    assert sorted(four.sent) == [(device, 0) for device in FOUR.render]


def test_who_raises_is_dropped_and_the_frame_is_rendered_by_the_others(bench, caplog):
    four = bench(now=Clock())
    four.warm()
    four.behaviour["cpu:2"] = fail
    frames = [four.finished(number=0)]
    until(lambda: frames.append(four.finished(number=len(frames))) or "cpu:2" not in four.up())
    frames += [four.finished(number=number) for number in range(len(frames), len(frames) + 10)]
    assert all(frame.whole for frame in frames), "not one is lost"
    assert four.up() == ["cpu:1", "cpu:3", "cpu:4"]
    assert [device for device, _ in four.batches].count("cpu:2") == 1
    (report,) = [one for one in four.executor.devices() if not one.up]
    assert report.reason == "RuntimeError: CUDA out of memory"
    assert (
        "renderer cpu:2 is dropped: RuntimeError: CUDA out of memory. Its views go to cpu:1, cpu:3, cpu:4"
        in caplog.text
    )
    assert able(four.executor.devices())


def test_who_does_not_answer_is_dropped_and_a_late_answer_is_not_counted(bench):
    clock = Clock()
    four, release, stuck = bench(now=clock), threading.Event(), threading.Event()
    four.warm()

    def hang(parts: Sequence[tuple[Frame, range]]) -> None:
        stuck.set()
        assert release.wait(20)

    four.behaviour = dict.fromkeys(FOUR.render, lambda parts: stuck.wait(10) and None) | {"cpu:3": hang}
    frame = four.submit(Frame("a", 1))
    assert stuck.wait(10)
    assert not frame.ended.wait(0.3), "until the deadline everybody waits"
    clock.now += 0.6
    assert frame.ended.wait(1.0), "within a second its views were rendered elsewhere"
    assert frame.whole
    del four.behaviour["cpu:3"]
    assert all(four.finished(number=number).whole for number in range(2, 6))
    (report,) = [one for one in four.executor.devices() if not one.up]
    assert (report.device, report.hangs, report.retry_in) == ("cpu:3", True, None)
    assert "has not answered for 0.6 s" in report.reason
    release.set()
    until(lambda: not any(one.hangs for one in four.executor.devices()))
    assert frame.whole, "nothing was kept twice"


def test_a_dropped_renderer_is_tried_with_work_that_does_not_count_and_comes_back(bench, caplog):
    clock = Clock()
    four, frames = bench(now=clock), count(1)
    four.warm()
    four.behaviour["cpu:2"] = fail
    until(lambda: four.finished(number=next(frames)) and "cpu:2" not in four.up())
    four.batches.clear()
    clock.now += 1.01
    assert four.finished(number=next(frames)).by["cpu:2"] == 0, "tried, and failed again"
    until(lambda: [device for device, _ in four.batches].count("cpu:2") == 1)
    until(lambda: four.executor.devices()[1].retry_in == 2.0)
    shown = threading.Event()
    four.behaviour["cpu:2"] = lambda parts: shown.wait(10)
    clock.now += 2.01
    assert four.finished(number=next(frames)).by["cpu:2"] == 0, "the frame does not wait for the trial"
    shown.set()
    until(lambda: "cpu:2" in four.up())
    assert "renderer cpu:2 is up again" in caplog.text
    until(lambda: four.finished(number=next(frames)).by["cpu:2"])


def test_a_frame_that_nobody_can_render_is_lost_and_nobody_is_dropped_for_it(bench):
    four = bench()
    four.warm()

    def choke(parts: Sequence[tuple[Frame, range]]) -> None:
        if any(frame.number == 13 for frame, _ in parts):
            raise ValueError("not a number")

    four.behaviour = dict.fromkeys(FOUR.render, choke)
    for number in range(10, 17):
        frame = four.finished(number=number)
        assert frame.whole == (number != 13)
    bad = [frame for frame in (four.finished(number=13),) if frame.told[0]]
    assert str(bad[0].told[0].error) == "not a number"
    until(lambda: four.up() == list(FOUR.render))


def test_a_shared_batch_that_fails_costs_only_the_frame_that_is_to_blame(bench):
    one, gate = bench(ONE, at_once=12), threading.Event()

    def choke(parts: Sequence[tuple[Frame, range]]) -> None:
        assert gate.wait(10)
        if any(frame.caller == "bad" for frame, _ in parts):
            raise ValueError("not a number")

    one.behaviour["cpu:1"] = choke
    first = one.submit(Frame("first", 0, 4))
    until(lambda: one.batches)
    frames = [one.submit(Frame(caller, 0, 4)) for caller in ("good", "bad", "fine")]
    until(lambda: one.executor._renderers._sharing.shares_waiting == 3)
    gate.set()
    assert all(frame.ended.wait(10) for frame in (first, *frames))
    assert [len(parts) for _, parts in one.batches] == [1, 3, 1, 1, 1]
    assert [frame.whole for frame in (first, *frames)] == [True, True, False, True]
    assert one.up() == ["cpu:1"]


def test_the_last_renderer_costs_a_frame_each_time_and_is_given_up_when_it_never_works(bench):
    clock = Clock()
    one = bench(ONE, now=clock)
    one.behaviour["cpu:1"] = fail
    told = [one.finished(number=number).told[0].error for number in range(MOST_IN_A_ROW + 3)]
    assert [type(error) for error in told] == [RuntimeError] * MOST_IN_A_ROW + [DeviceGone] * 3
    assert str(told[-1]) == "no renderer is left (cpu:1: RuntimeError: CUDA out of memory)"
    assert not able(one.executor.devices())
    clock.now += 1.01
    assert able(one.executor.devices()), "somebody may come and try"
    one.behaviour.clear()
    assert one.finished().whole
    assert one.up() == ["cpu:1"]


def test_when_everybody_hangs_the_frames_are_told_so(bench):
    clock, release = Clock(), threading.Event()
    one = bench(ONE, now=clock)
    one.warm()
    one.behaviour["cpu:1"] = lambda parts: release.wait(20) and None
    frames = [one.submit(Frame(caller, 1)) for caller in "ab"]
    until(lambda: one.batches)
    clock.now += LAST_PATIENCE - 1
    assert not frames[0].ended.wait(0.3)
    clock.now += 2
    for frame in frames:
        assert frame.ended.wait(1.0)
        assert isinstance(frame.told[0].error, DeviceGone)
    assert one.finished("c").told[0].stage == "render", "at once"
    release.set()
    until(lambda: not any(one.hangs for one in one.executor.devices()))
    clock.now += 1.01
    one.behaviour.clear()
    assert one.finished("c").whole


def test_a_device_that_nobody_can_stand_in_for_ends_the_frames_it_holds(bench):
    clock, release, stuck = Clock(), threading.Event(), threading.Event()
    four = bench(now=clock)
    four.warm()
    told: list[Failure | None] = []

    def hang() -> None:
        stuck.set()
        assert release.wait(20)

    four.executor.submit([[Task("drive", "cpu:0", hang)]], told.append)
    assert stuck.wait(10)
    behind = four.submit(Frame("a", 1))
    clock.now += LAST_PATIENCE + 1
    assert behind.ended.wait(1.0)
    until(lambda: told)
    assert all(isinstance(failure.error, DeviceGone) for failure in (*told, *behind.told) if failure)
    assert f"cpu:0 has not answered for {LAST_PATIENCE + 1:.0f} s; only a restart frees its thread" in str(told[0])
    assert not able(four.executor.devices())
    assert isinstance(four.finished("b").told[0].error, DeviceGone), "at once"
    release.set()
    until(lambda: able(four.executor.devices()))
    assert four.finished("b").whole
    assert len(told) == 1


def test_a_slow_engine_is_not_taken_for_a_thread_that_hangs_because_another_one_was_quick(bench):
    clock, release, stuck = Clock(), threading.Event(), threading.Event()
    four = bench(now=clock)
    told: list[Failure | None] = []

    def run(kind: str, work: Callable[[], None]) -> None:
        four.executor.submit([[Task("drive", "cpu:0", work, lambda: kind)]], told.append)

    def slow() -> None:
        stuck.set()
        assert release.wait(20)

    for _ in range(20):
        run("relief", lambda: None)
    until(lambda: len(told) == 20)
    run("a neural engine without a GPU", slow)
    run("relief", lambda: None)
    assert stuck.wait(10)
    clock.now += 6 * LAST_PATIENCE
    time.sleep(3 * threads.LOOK_EVERY)
    assert len(told) == 20
    release.set()
    until(lambda: len(told) == 22)
    assert set(told) == {None}, "nor who waited behind it"


def test_who_waits_behind_a_first_batch_that_compiles_waits(bench):
    clock, release = Clock(), threading.Event()
    alone = bench(Placement("alone", "cpu:0", "cpu:0", ("cpu:0",), "cpu:0"), now=clock)
    for _ in range(5):
        ended = threading.Event()
        alone.executor.submit([[Task("drive", "cpu:0", lambda: None)]], lambda _, ended=ended: ended.set())
        assert ended.wait(10)
    alone.behaviour["cpu:0"] = lambda parts: release.wait(20) and None
    frames = [alone.submit(Frame("a", 0))]
    until(lambda: alone.batches)
    frames.append(alone.submit(Frame("a", 1)))
    clock.now += 6 * LAST_PATIENCE
    time.sleep(3 * threads.LOOK_EVERY)
    assert not any(frame.ended.is_set() for frame in frames)
    release.set()
    assert all(frame.ended.wait(10) and frame.whole for frame in frames)


def test_who_waits_behind_a_batch_that_never_ends_is_told(bench):
    clock, release = Clock(), threading.Event()
    alone = bench(Placement("alone", "cpu:0", "cpu:0", ("cpu:0",), "cpu:0"), now=clock)
    assert alone.finished().whole
    alone.behaviour["cpu:0"] = lambda parts: release.wait(20) and None
    alone.submit(Frame("a", 1))
    until(lambda: len(alone.batches) == 2)
    behind = alone.submit(Frame("a", 2))
    clock.now += LAST_PATIENCE + 1
    until(lambda: alone.executor.devices()[0].hangs)
    clock.now += LAST_PATIENCE + 1
    assert behind.ended.wait(10)
    assert isinstance(behind.told[0].error, DeviceGone)
    release.set()


def test_what_was_driven_is_rendered_and_in_order(bench):
    one, gate = bench(ONE), threading.Event()
    one.behaviour["cpu:1"] = lambda parts: gate.wait(10) and None
    frames = [one.submit(Frame("a", number)) for number in range(3)]
    gate.set()
    assert all(frame.ended.wait(10) and frame.whole for frame in frames)
    assert one.composed == frames


def test_batches_are_filled_with_views_of_several_callers(bench):
    one, gate = bench(ONE, at_once=8), threading.Event()
    one.behaviour["cpu:1"] = lambda parts: gate.wait(10) and None
    frames = [one.submit(Frame("first", 0, 8))]
    until(lambda: one.batches)
    frames += [one.submit(Frame(caller, 0, 6)) for caller in "abcd"]
    until(lambda: one.executor._renderers._sharing.shares_waiting == 4)
    gate.set()
    assert all(frame.ended.wait(10) and frame.whole for frame in frames)
    assert [parts for _, parts in one.batches[1:]] == [
        [("a", 6), ("b", 2)],
        [("b", 4), ("c", 4)],
        [("c", 2), ("d", 6)],
    ]


def test_frames_are_whole_and_in_order_whoever_fails(bench):
    four, dice, frames = bench(at_once=8), random.Random(7), []

    def now_and_then(parts: Sequence[tuple[Frame, range]]) -> None:
        if dice.random() < 0.15:
            raise RuntimeError("a bad moment")

    four.behaviour = dict.fromkeys(("cpu:2", "cpu:3"), now_and_then)
    for number in range(60):
        frames += [four.submit(Frame(caller, number, views)) for caller, views in (("a", 24), ("b", 45), ("c", 1))]
        time.sleep(0.002)
    assert all(frame.ended.wait(20) for frame in frames)
    assert all(frame.whole for frame in frames), "two always work"
    for caller in "abc":
        assert [frame.number for frame in four.composed if frame.caller == caller] == list(range(60))


class Behind:
    """A device that works behind the thread that tells it what to do, as a GPU does."""

    ahead = 2

    def __init__(self) -> None:
        self._told: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._error: Exception | None = None
        self._worker.start()

    def open(self) -> None:
        pass

    def tell(self, work: Callable[[], None]) -> None:
        self._told.put(work)

    def fence(self) -> Any:
        reached = threading.Event()
        self.tell(reached.set)
        return _Reached(self, reached)

    def stop(self) -> None:
        self._told.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (work := self._told.get()) is not None:
            try:
                work()
            except Exception as error:
                self._error = error


@dataclass
class _Reached:
    device: Behind
    event: threading.Event

    def wait(self) -> None:
        assert self.event.wait(20)
        if self.device._error is not None:
            error, self.device._error = self.device._error, None
            raise error


class Devices:
    """A Behind for each device."""

    def __init__(self) -> None:
        self.made: dict[str, Behind] = {}

    def __call__(self, device: str) -> Behind:
        return self.made.setdefault(device, Behind())

    def close(self) -> None:
        for one in self.made.values():
            one.stop()


@pytest.fixture
def devices():
    made = Devices()
    yield made
    made.close()


def spread_on(
    devices: Devices, placement: Placement, work: Callable[[Any], None], caller: object, views: int
) -> Spread:
    def run(device: str, parts: Sequence[tuple[Any, range]]) -> Rendered:
        devices.made[device].tell(lambda: work(parts))
        return Rendered([None] * len(parts), devices.made[device].fence())

    tasks = tuple(Task("render", device, lambda: None) for device in placement.render)
    return Spread(tasks, caller, "e", views, lambda: None, lambda d: None, caller, run, lambda views, made: None)


def test_a_device_that_works_behind_is_given_two_batches_ahead_and_no_more(devices: Devices):
    executor, gate, told = Threads(ONE, devices), threading.Event(), []
    begun = threading.Semaphore(0)

    def work(parts: object) -> None:
        begun.release()
        assert gate.wait(10)

    for caller in range(5):
        executor.submit([spread_on(devices, ONE, work, caller, 4)], told.append)
    assert begun.acquire(timeout=10)
    renderers = executor._renderers
    until(lambda: renderers._sharing.shares_waiting == 3)
    time.sleep(0.05)
    assert renderers._sharing.shares_waiting == 3, "what is not yet told can still be shared more fairly"
    gate.set()
    until(lambda: told == [None] * 5)
    executor.close()


def test_the_next_step_begins_when_the_device_is_done_and_not_when_it_was_told(devices: Devices):
    executor, gate, log, ended = Threads(FOUR, devices), threading.Event(), [], threading.Event()
    device = devices("cpu:0")
    drive = Task("drive", "cpu:0", lambda: device.tell(lambda: held(gate, lambda: log.append("driven"))))
    compose = Task("compose", "cpu:5", lambda: log.append("composed"))
    executor.submit([[drive], [compose]], lambda _: ended.set())
    time.sleep(0.05)
    assert log == []
    gate.set()
    assert ended.wait(10)
    assert log == ["driven", "composed"]
    executor.close()


def test_renderers_are_told_before_the_state_is_there_since_their_copies_wait_for_it(devices: Devices):
    executor, gate, rendering, told = Threads(FOUR, devices), threading.Event(), threading.Event(), []
    device = devices("cpu:0")
    drive = Task("drive", "cpu:0", lambda: device.tell(lambda: held(gate, lambda: None)))
    spread = spread_on(devices, FOUR, lambda parts: rendering.set(), "a", 4)
    executor.submit([[drive], spread], told.append)
    assert rendering.wait(10), "while driving is still under way on its device"
    gate.set()
    until(lambda: told == [None])
    executor.close()


def test_what_goes_wrong_behind_counts_like_what_is_raised(devices: Devices):
    executor, told, broken = Threads(FOUR, devices), [], {"cpu:2"}

    def run(device: str, parts: Sequence[tuple[Any, range]]) -> Rendered:
        def work() -> None:
            if device in broken:
                raise RuntimeError("an illegal memory access was encountered")

        devices.made[device].tell(work)
        return Rendered([None] * len(parts), devices.made[device].fence())

    def render(caller: int) -> Spread:
        tasks = tuple(Task("render", device, lambda: None) for device in FOUR.render)
        return Spread(tasks, caller, "e", 24, lambda: None, lambda d: None, caller, run, lambda views, made: None)

    for caller in range(10):
        executor.submit([render(caller)], told.append)
        until(lambda caller=caller: len(told) == caller + 1)
    assert told == [None] * 10
    assert [one.device for one in executor.devices() if not one.up] == ["cpu:2"]
    device = devices("cpu:0")
    device.tell(lambda: fail([]))
    executor.submit([[Task("drive", "cpu:0", lambda: None)], [Task("compose", "cpu:5", lambda: None)]], told.append)
    until(lambda: len(told) == 11)
    assert told[-1].stage == "drive"
    executor.close()


def test_closing_does_not_wait_for_ever_for_a_thread_that_hangs(monkeypatch, caplog):
    monkeypatch.setattr(threads, "CLOSING_PATIENCE", 0.2)
    monkeypatch.setattr(threads, "LEAVING_PATIENCE", 0.1)
    one, release = Bench(ONE), threading.Event()
    one.behaviour["cpu:1"] = lambda parts: release.wait(20) and None
    one.submit(Frame("a", 1))
    until(lambda: one.batches)
    with caplog.at_level(logging.ERROR):
        one.executor.close()
    assert "the thread of cpu:1 hangs and is left behind" in caplog.text
    release.set()


def test_closing_finishes_what_was_submitted(bench):
    four = bench()
    frames = [four.submit(Frame(str(number), number)) for number in range(30)]
    four.executor.close()
    assert all(frame.whole for frame in frames)
