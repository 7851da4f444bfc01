"""The simulated placement: by its laws and by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.lib.harness import pyplot
from benchmarks.simulate import assumed, main
from benchmarks.simulation.simulation import SETTLED_AFTER, Load, Outcome, planned, simulated
from benchmarks.simulation.timeline import Panel, draw
from benchmarks.simulation.virtual import Costs, Events
from pipeline.devices.placement import Placement, preset

COSTS = Costs(preprocess=0.008, drive=0.010, render=0.002, per_view=0.0005, compose=0.003, encode=0.006)
PAPER = preset("paper")
SPREAD_OUT = Placement("spread out", "cpu:0", "cpu:1", ("cpu:2",), "cpu:3", "cpu:4")


def test_a_frame_that_meets_no_other_takes_the_sum_of_its_stages():
    outcome = simulated(PAPER, COSTS, Load(camera_rate=10))
    assert outcome.fps == 10
    assert outcome.age.p50 == outcome.age.p99 == pytest.approx(1e3 * COSTS.whole(6))
    assert outcome.drops == {}


def test_what_lies_between_stages_is_added_for_each_thread_that_takes_over():
    handing = replace(COSTS, hand_over=0.001)
    apart = simulated(SPREAD_OUT, handing, Load(camera_rate=5))
    assert apart.age.p50 == pytest.approx(1e3 * COSTS.whole(24) + 5)
    together = simulated(preset("cpu"), handing, Load(camera_rate=5))
    assert together.age.p50 == pytest.approx(1e3 * COSTS.whole(24) + 3)


def test_the_slowest_device_sets_the_pace_and_what_comes_too_fast_is_dropped():
    outcome = simulated(SPREAD_OUT, COSTS, Load(camera_rate=200, depth=8))
    slowest = COSTS.of("render", 24)
    assert outcome.fps == pytest.approx(1 / slowest, rel=0.02)
    assert outcome.busy["cpu:2"] == pytest.approx(1.0, abs=0.01)
    after = {
        device: outcome.busy[device] for device in ("cpu:3", "cpu:4")
    }  # those before it work for frames that are lost
    assert after == pytest.approx({"cpu:3": COSTS.compose / slowest, "cpu:4": COSTS.encode / slowest}, rel=0.02)
    assert sum(outcome.drops.values()) > 0


def test_two_frames_under_way_bound_the_pace_by_the_way_of_a_frame():
    outcome = simulated(SPREAD_OUT, COSTS, Load(camera_rate=200, depth=1))
    assert outcome.fps == pytest.approx(1 / COSTS.whole(24), rel=0.15)  # and waits for the next camera picture


def test_each_device_does_one_thing_at_a_time_and_each_frame_goes_its_way_in_order():
    outcome = simulated(PAPER, COSTS, Load(callers=3, camera_rate=40))
    by_device: dict[str, list[tuple[float, float]]] = {}
    by_frame: dict[tuple[int, int], list[str]] = {}
    for span in sorted(outcome.spans, key=lambda span: (span.begun, span.ended)):
        by_device.setdefault(span.device, []).append((span.begun, span.ended))
        by_frame.setdefault((span.caller, span.frame), []).append(span.stage)
    for spans in by_device.values():
        assert all(one[1] <= following[0] + 1e-9 for one, following in pairwise(sorted(set(spans))))
    whole = ["preprocess", "drive", "render", "render", "render", "render", "compose", "encode"]
    assert all(way == whole for way in by_frame.values() if "encode" in way)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_equal_callers_get_equal_shares(count: int):
    for share in (0.25, 0.5):
        outcome = simulated(planned(count, 24), assumed(share), Load(callers=4, camera_rate=30, seconds=3))
        assert outcome.slowest_fps > 0.95 * outcome.fps


def test_more_gpus_are_never_slower_for_one_caller():
    rates = [
        simulated(planned(count, 24), assumed(0.25), Load(camera_rate=90, seconds=3)).fps for count in (1, 2, 4, 7)
    ]
    assert rates == sorted(rates)
    assert rates[-1] > 2 * rates[0]


def test_more_than_ten_gpus_are_told_apart():
    placement = planned(16, 24)
    outcome = simulated(placement, assumed(0.5), Load(callers=2, camera_rate=30, seconds=1))
    assert len(placement.gpus) > 10
    assert set(outcome.busy) == set(placement.devices)
    assert outcome.fps == 30


def test_the_same_question_has_the_same_answer():
    load = Load(callers=2, camera_rate=33, seconds=2)
    assert simulated(PAPER, COSTS, load) == simulated(PAPER, COSTS, load)


def test_events_happen_in_time_and_at_one_time_as_announced():
    events, happened = Events(), []
    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b")):
        events.at(when, lambda name=name: happened.append((name, events.now)))
    events.run()
    assert happened == [("a", 1.0), ("b", 1.0), ("c", 2.0)]


def test_the_timeline_shows_every_device_and_stage(tmp_path: Path):
    if pyplot() is None:
        pytest.skip("matplotlib is not installed")
    outcome: Outcome = simulated(PAPER, COSTS, Load(callers=2))
    path = tmp_path / "timeline.png"
    assert draw(
        [Panel("two callers", PAPER.devices, outcome.spans)], SETTLED_AFTER, 0.1, "the paper's seven GPUs", path
    )
    assert path.stat().st_size > 10_000


def test_the_command_writes_a_table_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sys.argv", ["simulate", "--gpus", "1", "2", "--callers", "1", "--out", str(tmp_path)])
    main()
    assert "2 " in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["simulate", "--placement", "paper", "--callers", "1", "2", "--out", str(tmp_path)])
    main()
    assert {"simulation.json", "simulation_paper.json"} <= {path.name for path in tmp_path.iterdir()}
