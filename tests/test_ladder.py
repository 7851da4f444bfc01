"""The ladder of detail: down under load, up after calm, never to and fro; of a simulated machine that does so much work a second."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.channels.ladder import (
    CALM,
    LOWEST_FPS,
    OLDEST,
    OURS,
    PATIENCE,
    RUNGS,
    SETTLES,
    Ladder,
    Seen,
    bits,
    first_that_fits,
    fitting,
)

LOOK = 0.25
COST = 0.040
"Seconds of work in a frame at full detail."


class Machine:
    """Makes frames of a camera of 25 a second, two at a time, and as fast as it may: `speed` is told by the time."""

    def __init__(self, speed: Callable[[float], float], arriving: float = 25.0) -> None:
        self.ladder, self.now = Ladder(), 0.0
        self.rungs: list[tuple[float, int]] = [(0.0, 0)]
        self.fps = self.age = 0.0
        self.held: list[bool] = []
        "At each look, whether rate and age were as they are to be."
        self._speed, self._arriving = speed, arriving
        self._arrived = self._made = 0.0

    def run(self, seconds: float, held: bool = False) -> Machine:
        until = self.now + seconds
        while self.now < until:
            self.now += LOOK
            rung = self.ladder.made
            work = COST * rung.work / rung.frames / max(self._speed(self.now), 1e-3)
            wanted = self._arriving * rung.frames
            self.fps = min(wanted, 1 / work)
            crowded = self.fps < wanted
            self.age = 2.5 * work if crowded else 1.2 * work
            self.held.append(self.fps >= LOWEST_FPS and self.age <= OLDEST)
            self._arrived += self._arriving * LOOK
            self._made += self.fps * LOOK
            if self.ladder.look(Seen(int(self._arrived), int(self._made), self.age, held), self.now):
                self.rungs.append((self.now, self.ladder.rung))
        return self


def test_a_machine_that_is_fast_enough_gives_up_nothing():
    assert Machine(lambda now: 1.6).run(600).rungs == [(0.0, 0)]


def test_a_hiccup_costs_no_detail():
    assert Machine(lambda now: 0.2 if 10 <= now < 10.5 else 1.6).run(60).rungs == [(0.0, 0)]


def test_it_goes_down_as_far_as_the_work_fits_and_holds_rate_and_age():
    machine = Machine(lambda now: 1.6 if now < 10 else 0.6).run(25)
    assert 0 < machine.ladder.rung < len(RUNGS) - 1
    assert machine.fps >= LOWEST_FPS
    assert machine.age <= OLDEST
    assert machine.rungs[1][0] <= 10 + 2.5, "within two seconds and a half"


@pytest.mark.parametrize("share", [0.34, 0.4, 0.5, 0.7, 0.9])
def test_as_long_as_a_third_of_the_work_fits_rate_and_age_hold(share: float):
    machine = Machine(lambda now: share).run(5)
    machine.held.clear()
    machine.run(300)
    assert sum(machine.held) >= 0.93 * len(machine.held), "all the time but when more is tried"


def test_it_comes_up_again_step_by_step_once_there_is_calm():
    machine = Machine(lambda now: 0.35 if now < 30 else 2.0).run(300)
    assert machine.ladder.rung == 0
    ups = [rung for at, rung in machine.rungs if at > 30]
    assert ups == sorted(ups, reverse=True)
    assert all(later - earlier >= PATIENCE for earlier, later in pairwise(at for at, _ in machine.rungs if at > 30))


def test_at_the_bottom_it_stays_where_nothing_fits():
    machine = Machine(lambda now: 0.05).run(120)
    assert machine.ladder.rung == len(RUNGS) - 1
    assert machine.ladder.steps["up"] == 0


@settings(max_examples=60, deadline=None)
@given(speed=st.floats(0.05, 3.0))
def test_whatever_a_machine_can_do_it_does_not_go_to_and_fro(speed: float):
    machine = Machine(lambda now: speed).run(1800)
    assert len(machine.rungs) <= 14, "in half an hour, each failed try waiting three times as long as the one before"
    assert len([at for at, _ in machine.rungs if at > 1200]) <= 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.05, 3.0), min_size=20, max_size=60))
def test_whatever_the_load_does_steps_are_apart_and_up_by_one(speeds: list[float]):
    machine = Machine(lambda now: speeds[int(now / 7) % len(speeds)]).run(7.0 * len(speeds))
    for (before, was), (at, rung) in pairwise(machine.rungs[1:]):
        assert at - before >= SETTLES
        assert rung >= was - 1
        assert rung > was or at - before >= PATIENCE


def test_where_full_detail_is_wanted_it_is_made_and_nothing_else_before_that_is_over():
    machine = Machine(lambda now: 0.5).run(20)
    assert machine.ladder.rung > 0
    machine.run(30, held=True)
    assert machine.rungs[-1][1] == 0
    assert machine.run(20).ladder.rung > 0


def test_a_source_that_sends_little_says_nothing_of_the_machine():
    assert Machine(lambda now: 0.05, arriving=2.0).run(60).rungs == [(0.0, 0)]


def test_a_slow_camera_is_not_a_slow_machine():
    assert Machine(lambda now: 1.6, arriving=10.0).run(60).rungs == [(0.0, 0)]


def test_between_too_much_and_something_to_spare_nothing_changes():
    assert fitting(25, 22, (CALM + OURS) / 2) == 1.0
    assert fitting(25, 25, CALM / 2) > 1.0
    assert fitting(25, 25, OURS * 1.01) < 1.0
    assert fitting(25, 12, 0.05) == pytest.approx(0.9 * 0.48)
    assert fitting(25, 21, CALM / 2, frames=0.84) > 1.0, "who is to make 21 makes all"
    assert fitting(25, 19, CALM / 2, frames=0.84) < 1.0, "and yet 20 are the least"


def test_rungs_cost_ever_less_of_both():
    for upper, lower in pairwise(RUNGS):
        assert lower.work < upper.work
        assert lower.bits <= upper.bits
    assert RUNGS[-1].work < 1 / 3, "as long as a third of the work fits"
    assert RUNGS[-1].frames * 25 >= LOWEST_FPS
    assert first_that_fits(1.0) == 0
    assert first_that_fits(0.5) == next(number for number, rung in enumerate(RUNGS) if rung.work <= 0.5)
    assert first_that_fits(0.01) is None


def test_it_counts_bits_for_whoever_has_a_narrow_link():
    link, carried = Ladder(bits), 0.3
    steps = [link.judge(min(carried / link.made.bits, 1.0), 0.25 * number) for number in range(200)]
    assert steps.count(True) == 1
    assert RUNGS[link.rung].bits <= carried < RUNGS[link.rung - 1].bits


def test_a_hiccup_does_not_keep_detail_from_coming_back():
    restless = Machine(lambda now: 0.5 if now < 20 else 0.5 if now % 5 < 0.5 else 2.0).run(60)
    assert max(rung for at, rung in restless.rungs) > 0
    assert restless.ladder.rung < max(rung for at, rung in restless.rungs)


def test_what_fits_is_shared_out_at_once_and_given_back_as_a_try():
    one, other = Machine(lambda now: 1.6).run(20), Machine(lambda now: 1.6).run(20)
    assert [machine.ladder.share(3, 20.0) for machine in (one, other)] == [True, True]
    assert one.ladder.shared
    assert one.run(2).ladder.rung == 3
    assert one.ladder.share(0, 22.0), "the other has left"
    assert one.run(60).rungs[-1][1] == 0
    strained = other.ladder
    assert strained.share(1, 22.0)
    looks = [strained.judge(0.5, 22.0 + 0.25 * number) for number in range(20)]
    assert any(looks), "more was tried than fits: back by one"
    assert not strained.shared
    assert not strained.share(0, 40.0), "who has found it too much is not sent up because somebody leaves"


def test_of_what_nobody_watches_all_detail_is_meant_but_for_what_is_left_for_it():
    for shared in (False, True):
        ladder = Ladder()
        if shared:
            ladder.share(3, 0.0)
        else:
            assert any(ladder.judge(0.5, 0.25 * number) for number in range(20))
        ladder.look(Seen(100, 0, 0.0, idle=True), 30.0)
        assert ladder.rung == (3 if shared else 0)


def test_who_is_filmed_keeps_all_detail_though_what_fits_is_shared_out():
    machine = Machine(lambda now: 1.6).run(5, held=True)
    assert not machine.ladder.share(3, machine.now)
    assert machine.ladder.rung == 0
