import pytest

from pipeline.clock import UNKNOWN, Percentiles, StageClock, StageTimes, percentiles


def test_a_stage_on_several_renderers_counts_from_first_to_last():
    clock = StageClock(captured=10.0)
    clock.mark("render", 10.02, 10.05)
    clock.mark("render", 10.01, 10.03)
    assert clock.spans["render"] == (10.01, 10.05)
    assert clock.age == pytest.approx(0.05)


def test_percentiles_are_nearest_rank_in_milliseconds():
    assert percentiles([0.001 * i for i in range(1, 101)]) == Percentiles(50.0, 95.0, 99.0)
    assert percentiles([0.001 * i for i in range(1, 21)]) == Percentiles(10.0, 19.0, 20.0)
    assert percentiles([0.003, 0.001, 0.002]) == Percentiles(2.0, 3.0, 3.0)
    assert percentiles([0.007]) == Percentiles(7.0, 7.0, 7.0)
    assert percentiles([]) == Percentiles(0.0, 0.0, 0.0)


def test_the_rate_counts_only_recent_frames():
    times = StageTimes()
    for i in range(100):
        clock = StageClock(captured=i * 0.04)
        clock.mark("encode", i * 0.04, i * 0.04 + 0.01)
        times.add(clock, views=0)
    assert times.rate(now=4.0) == pytest.approx(25.0)
    assert times.rate(now=60.0) == 0.0
    assert times.age.p50 == pytest.approx(10.0)


def test_the_window_forgets_the_oldest():
    times = StageTimes(window=10)
    for i in range(30):
        clock = StageClock(captured=float(i))
        clock.mark("drive", float(i), i + (1.0 if i < 20 else 0.002))
        times.add(clock, views=0)
    assert times.stages["drive"].p99 == pytest.approx(2.0)


def test_a_frames_cost_is_that_of_those_of_which_most_was_watched():
    times = StageTimes()
    for i in range(30):
        clock, views = StageClock(captured=float(i)), (24, 1, 0)[i % 3]
        clock.spend("cpu:0", 0.002)
        if views:
            clock.spend("cpu:1", 0.010 if views > 1 else 0.001)
            clock.spend("cpu:1", 0.005 if i else 9.0)  # the first frame compiled something
        times.add(clock, views)
    assert times.cost.busy == {"cpu:0": pytest.approx(0.002), "cpu:1": pytest.approx(0.015)}
    assert (times.cost.views, times.cost.frames) == (24, 10)
    times.forget_cost()
    assert times.cost == StageTimes().cost == UNKNOWN
