"""Devices that do not answer: who is waited for, how long, and who is told. Real threads on CPU devices, with a made-up clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from pipeline.devices.placement import Placement
from pipeline.executors import DeviceGone, Failure, Task, chain, watch
from pipeline.executors.health import LAST_PATIENCE, able
from tests.renderer_bench import ONE, Bench, Clock, Frame, until


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
        assert frame.ended.wait(10)
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

    four.executor.submit([Task("drive", "cpu:0", hang)], told.append)
    assert stuck.wait(10)
    behind = four.submit(Frame("a", 1))
    clock.now += LAST_PATIENCE + 1
    assert behind.ended.wait(10)
    until(lambda: told)
    assert all(isinstance(failure.error, DeviceGone) for failure in (*told, *behind.told) if failure)
    assert f"cpu:0: has not answered for {LAST_PATIENCE + 1:.0f} s; only a restart frees its thread" in str(told[0])
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
        four.executor.submit([Task("drive", "cpu:0", work, lambda: kind)], told.append)

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
    time.sleep(3 * watch.LOOK_EVERY)
    assert len(told) == 20
    release.set()
    until(lambda: len(told) == 22)
    assert set(told) == {None}, "nor who waited behind it"


def test_who_waits_behind_a_first_batch_that_compiles_waits(bench):
    clock, release = Clock(), threading.Event()
    alone = bench(Placement("alone", "cpu:0", "cpu:0", ("cpu:0",), "cpu:0"), now=clock)
    for _ in range(5):
        ended = threading.Event()
        alone.executor.submit([Task("drive", "cpu:0", lambda: None)], lambda _, ended=ended: ended.set())
        assert ended.wait(10)
    alone.behaviour["cpu:0"] = lambda parts: release.wait(20) and None
    frames = [alone.submit(Frame("a", 0))]
    until(lambda: alone.batches)
    frames.append(alone.submit(Frame("a", 1)))
    clock.now += 6 * LAST_PATIENCE
    time.sleep(3 * watch.LOOK_EVERY)
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


def test_closing_does_not_wait_for_ever_for_a_thread_that_hangs(monkeypatch, caplog):
    monkeypatch.setattr(chain, "CLOSING_PATIENCE", 0.2)
    monkeypatch.setattr(chain, "LEAVING_PATIENCE", 0.1)
    one, release = Bench(ONE), threading.Event()
    one.behaviour["cpu:1"] = lambda parts: release.wait(20) and None
    one.submit(Frame("a", 1))
    until(lambda: one.batches)
    with caplog.at_level(logging.ERROR):
        one.executor.close()
    assert "the thread of cpu:1 hangs and is left behind" in caplog.text
    release.set()
