"""Renderers that fail, come back, and share batches: real threads on CPU devices, clocks made up where one decides."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from itertools import count

from pipeline.executors import DeviceGone
from pipeline.executors.health import MOST_IN_A_ROW, able
from tests.renderer_bench import FOUR, ONE, Clock, Frame, fail, until


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
    four.meets("cpu:2", fail)
    frames = [four.finished(number=number) for number in range(10)]
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

    four.meets("cpu:3", hang)
    frame = four.submit(Frame("a", 1))
    assert stuck.wait(10)
    assert not frame.ended.wait(0.3), "until the deadline everybody waits"
    clock.now += 0.6
    assert frame.ended.wait(10), "its views were rendered elsewhere"
    assert frame.whole
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
    four.meets("cpu:2", fail)
    assert four.finished(number=next(frames)).whole
    assert "cpu:2" not in four.up()
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
    four.meets("cpu:2", lambda parts: None)
    assert four.finished(number=next(frames)).by["cpu:2"]


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
    until(lambda: one.executor.shares_waiting == 3)
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
    until(lambda: one.executor.shares_waiting == 4)
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


def test_closing_finishes_what_was_submitted(bench):
    four = bench()
    frames = [four.submit(Frame(str(number), number)) for number in range(30)]
    four.executor.close()
    assert all(frame.whole for frame in frames)
