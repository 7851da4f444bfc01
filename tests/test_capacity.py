"""Capacity decides with made-up costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.clock import UNKNOWN, Cost
from pipeline.devices.capacity import (
    ENOUGH_FRAMES,
    MOST_OVERHEAD,
    PROCESSOR,
    REMEMBERED,
    WHERE_DRAWN,
    WITHOUT_VIEWS,
    Capacity,
    Load,
)


def load(engine: str = "quick", views: int = 24, frames: int = 250, fps: float = 0.0, **busy: float) -> Load:
    """`busy`: a device's seconds a frame, cuda0=0.010 for cuda:0."""
    cost = Cost({f"{name[:-1]}:{name[-1]}": seconds for name, seconds in busy.items()}, views, frames)
    return Load(engine, cost, fps)


def of_many_cores() -> Capacity:
    return Capacity(frames_per_second=25, cores=64)


QUICK = load(cpu0=0.004, cpu1=0.010)
UNWATCHED = Load("quick", UNKNOWN)


def test_the_first_caller_is_always_let_in():
    slow = Capacity(25, cores=1)
    assert slow.with_another([], "heavy").fits
    assert not slow.with_another([load("heavy", cpu0=2.0)], "heavy").fits
    assert slow.with_another([], "heavy").fits, "still the first, once the other has gone"


def test_callers_are_let_in_until_the_busiest_device_is_full():
    capacity, live = of_many_cores(), [QUICK]
    while capacity.with_another(live, "quick").fits:
        live.append(QUICK)
    estimate = capacity.with_another(live, "quick")
    assert len(live) == 3  # four at 25 frames of 10 ms would take all of cpu:1
    assert estimate.utilisation == {"cpu:0": 0.4, "cpu:1": 1.0, PROCESSOR: pytest.approx(1.4 / 64, abs=1e-3)}
    assert estimate.fullest == "cpu:1 at 100%"


def test_threads_share_the_cores_and_gpus_do_not():
    everywhere = load(cpu0=0.010, cpu1=0.010, cpu2=0.010)
    assert Capacity(25, cores=4).with_another([everywhere], "quick").fits
    full = Capacity(25, cores=1).with_another([everywhere], "quick")
    assert full.fullest == "the processor at 150%"
    on_gpus = load(cuda0=0.010, cuda1=0.010, cuda2=0.010)
    assert PROCESSOR not in Capacity(25, cores=1).with_another([on_gpus], "quick").utilisation


def test_who_is_not_watched_yet_counts_as_one_who_is():
    capacity = of_many_cores()
    assert capacity.with_another([UNWATCHED] * 3, "quick").fits, "nothing is known yet"
    assert capacity.with_another([QUICK, UNWATCHED], "quick").utilisation["cpu:1"] == pytest.approx(0.75)
    assert not capacity.with_another([UNWATCHED] * 3, "quick").fits, "what a caller costs is remembered"


def test_who_shows_one_view_counts_as_one_who_shows_the_quilt():
    capacity = of_many_cores()
    single = load(views=1, cpu1=0.001)
    assert capacity.with_another([single] * 9, "quick").fits, "nothing more is known"
    assert not capacity.with_another([QUICK, *[single] * 3], "quick").fits
    assert not capacity.with_another([single] * 4, "quick").fits


def test_the_first_frames_of_a_call_prove_nothing():
    capacity = of_many_cores()
    compiling = load(frames=ENOUGH_FRAMES - 1, cpu1=3.0)
    assert capacity.with_another([compiling], "quick").fits
    assert not capacity.with_another([load(frames=ENOUGH_FRAMES, cpu1=3.0)], "quick").fits


def test_a_bad_moment_is_outvoted_and_a_good_one_too():
    capacity = of_many_cores()
    usual = [load(cpu1=0.010 + number * 1e-5) for number in range(10)]
    for cost in usual:
        capacity.now([cost])
    capacity.now([load(cpu1=0.030)])
    capacity.now([load(cpu1=0.001)])
    assert capacity.with_another([UNWATCHED], "quick").utilisation["cpu:1"] == pytest.approx(0.5, rel=0.02)


def test_what_callers_cost_now_is_believed_once_it_has_gone_on_for_a_while():
    """The cheapest ever seen would be the machine at its coolest, with nobody else there."""
    capacity = of_many_cores()
    capacity.now([load(cpu1=0.010)])
    for number in range(REMEMBERED):
        capacity.now([load(cpu1=0.020 + number * 1e-5)])
    assert capacity.with_another([UNWATCHED], "quick").utilisation["cpu:1"] == pytest.approx(1.0, rel=0.02)


def test_what_the_process_does_beside_its_devices_threads_is_counted_for_every_caller():
    """Four threads inside one call of the renderer's look like one from outside."""
    capacity = Capacity(25, cores=4)
    live = [replace(QUICK, fps=25)]  # 0.014 s a frame: 0.35 cores of its threads
    assert capacity.now(live).utilisation[PROCESSOR] == pytest.approx(0.35 / 4, abs=1e-3)
    for _ in range(60):
        capacity.measured(live, cores=1.05)
    assert capacity.now(live).utilisation[PROCESSOR] == pytest.approx(1.05 / 4, rel=0.01)
    assert capacity.with_another(live, "quick").utilisation[PROCESSOR] == pytest.approx(2.1 / 4, rel=0.01)


def test_what_else_the_process_does_is_not_all_held_against_callers():
    capacity = Capacity(25, cores=4)
    for _ in range(200):
        capacity.measured([replace(QUICK, fps=25)], cores=4.0)
    assert capacity.now([QUICK]).utilisation[PROCESSOR] == pytest.approx(MOST_OVERHEAD * 0.35 / 4, rel=0.01)


def test_while_nobody_is_watched_the_processor_tells_nothing_of_callers():
    capacity = Capacity(25, cores=4)
    for _ in range(60):
        capacity.measured([UNWATCHED], cores=3.0)
        capacity.measured([], cores=3.0)
        capacity.measured([replace(QUICK, fps=0.5)], cores=3.0)
    assert capacity.now([QUICK]).utilisation[PROCESSOR] == pytest.approx(0.35 / 4, abs=1e-3)


def test_there_is_room_for_as_much_of_the_work_as_fits():
    capacity = of_many_cores()
    assert capacity.now([QUICK] * 3).room == 1.0
    estimate = capacity.now([QUICK] * 5)
    assert estimate.room == pytest.approx(0.85 / 1.25)
    assert not estimate.fits, "with all detail"
    whole = replace(QUICK, whole=True)
    assert capacity.now([whole, *[QUICK] * 4]).room == pytest.approx((0.85 - 0.25) / 1.0), "his detail stays"
    assert capacity.now([whole] * 4).room == 0.0
    assert capacity.now([whole] * 3 + [QUICK]).room == pytest.approx((0.85 - 0.75) / 0.25)
    assert capacity.now([]).room == 1.0
    assert Capacity(25, cores=1).with_another([], "quick").room == 1.0, "the first is always let in"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(0.0001, 0.1), st.booleans()), max_size=8))
def test_what_there_is_room_for_fits(costs):
    capacity = of_many_cores()
    live = [replace(load(cpu1=seconds), whole=whole) for seconds, whole in costs]
    room = capacity.now(live).room
    assert 0 <= room <= 1
    fixed = sum(25 * seconds for seconds, whole in costs if whole)
    scaled = sum(25 * seconds for seconds, whole in costs if not whole)
    assert fixed + room * scaled <= 0.85 + 1e-6 or (room == 0 and fixed > 0.85 - 1e-6)


def test_engines_are_told_apart():
    capacity = of_many_cores()
    slow = load("slow", cpu1=0.020)
    assert capacity.with_another([slow], "never seen").fits
    assert capacity.with_another([QUICK, slow], "quick").utilisation["cpu:1"] == pytest.approx(1.0)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0.0001, 0.1), min_size=1), min_size=1, max_size=5))
def test_one_caller_more_never_makes_room(costs):
    capacity = of_many_cores()
    live = [Load("engine", Cost(busy, 24, 250)) for busy in costs]
    before = capacity.with_another(live, "engine").utilisation
    after = capacity.with_another([*live, Load("engine", Cost(costs[-1], 24, 250))], "engine").utilisation
    assert all(after[device] >= share for device, share in before.items())


def test_who_is_drawn_where_he_is_seen_costs_his_driving_alone():
    capacity = Capacity(25, cores=2)
    drawn = replace(load(views=0, cpu0=0.006), drawn=True)
    quilts = load(cpu0=0.030)
    assert capacity.now([quilts, drawn]).utilisation["cpu:0"] == pytest.approx(25 * 0.036)
    unknown = replace(UNWATCHED, drawn=True)
    share = capacity.now([quilts, unknown]).utilisation["cpu:0"] / capacity.now([quilts]).utilisation["cpu:0"] - 1
    assert share == pytest.approx(WITHOUT_VIEWS, abs=0.01), "of what a quilt is known to cost"
    watched = replace(drawn, drawn=False)
    assert capacity.now([quilts, watched]).utilisation["cpu:0"] == pytest.approx(25 * 0.060), (
        "a quilt may be wanted next"
    )


def test_what_goes_with_every_caller_is_told_apart_by_whether_views_are_rendered():
    capacity = Capacity(25, cores=2)
    drawn, quilts = replace(load(views=0, fps=25.0, cpu0=0.006), drawn=True), load(fps=25.0, cpu0=0.030)
    for _ in range(200):
        capacity.measured([quilts], 0.9)
        capacity.measured([drawn], 0.3)
        capacity.measured([quilts, drawn], 8.0)
    assert capacity.now([quilts]).utilisation[PROCESSOR] == pytest.approx(0.9 / 2, abs=0.01)
    assert capacity.now([drawn]).utilisation[PROCESSOR] == pytest.approx(0.3 / 2, abs=0.01)
    assert capacity.now([quilts, drawn]).utilisation[PROCESSOR] == pytest.approx(1.2 / 2, abs=0.01)


def test_more_fit_of_those_who_are_drawn_elsewhere():
    capacity, live = Capacity(25, cores=2), [replace(load(views=0, cpu0=0.006), drawn=True)]
    while capacity.with_another(live, "quick").fits:
        live.append(live[0])
    assert len(live) == 5


def test_who_watches_a_newcomer_is_reckoned_to_do_as_others_do():
    """Beside three who are drawn where they are seen and one whose quilt is, a quarter of a quilt."""
    drawn, quilts = replace(load(views=0, cpu0=0.006), drawn=True), load(cpu0=0.030)
    live = [drawn, drawn, drawn, quilts]
    expected = WITHOUT_VIEWS + (1 - WITHOUT_VIEWS) / 4
    before = Capacity(25, cores=64).now(live).utilisation["cpu:0"]
    more = Capacity(25, cores=64).with_another(live, "quick").utilisation["cpu:0"] - before
    assert more == pytest.approx(25 * 0.030 * expected, abs=0.002)
    cautious = Capacity(25, cores=64, alike=False).with_another(live, "quick").utilisation["cpu:0"] - before
    assert cautious == pytest.approx(25 * 0.030, abs=0.002), "where nobody can be given less, a quilt's place is kept"
    alone = Capacity(25, cores=64).with_another([quilts], "quick").utilisation["cpu:0"]
    assert alone == pytest.approx(25 * 0.060, abs=0.002), "where all have quilts sent, it is a quilt"


def test_who_is_about_to_be_rendered_is_reckoned_so_though_he_is_drawn_now():
    capacity, drawn = Capacity(25, cores=2), replace(load(views=0, cpu0=0.0065), drawn=True)
    wanted = replace(drawn, drawn=False, rendered=True)
    never = capacity.now([drawn, wanted]).utilisation["cpu:0"]
    assert never == pytest.approx(25 * (0.0065 + 0.0065 / WHERE_DRAWN), abs=0.002), "no quilt was ever seen here"
    capacity.now([load(cpu0=0.030)])
    assert capacity.now([drawn, wanted]).utilisation["cpu:0"] == pytest.approx(25 * 0.0365, abs=0.002)
    fewer = capacity.now([drawn, replace(wanted, views=8)]).utilisation["cpu:0"]
    assert fewer == pytest.approx(25 * (0.0065 + 0.030 * (WITHOUT_VIEWS + (1 - WITHOUT_VIEWS) / 3)), abs=0.002)
