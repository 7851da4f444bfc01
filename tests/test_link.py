"""A viewer's link: down to what it carries within seconds, up by trying with ever more patience; of a simulated link."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from display.screen import screen
from server.channels.forms import sent_as, steps
from server.channels.link import AFTER_FAILURE, LONGEST, PATIENCE, PROVEN, Link

QUILT = screen("telequilt")
FORMS = steps(QUILT, 24, sound=True)
RATES = [float(sent_as(form, 25).bitrate) if form is not None else 0.0 for form in FORMS]
MEGABIT = 1e6


class Wire:
    """Carries so many bits a second, told by the time; its receiver reports each second, as Chromium does."""

    def __init__(self, carries: Callable[[float], float], chance: Callable[[float], float] = lambda now: 0.0) -> None:
        """`chance`: the share that is lost whatever is sent."""
        self.link, self.now, self._carries, self._chance = Link(RATES), 0.0, carries, chance
        self.steps: list[tuple[float, int]] = [(0.0, 0)]
        self.over = 0.0
        "Seconds in which more was sent than is carried."

    def run(self, seconds: float) -> Wire:
        until = self.now + seconds
        while self.now < until:
            self.now = round(self.now + 0.25, 2)
            sent, carried = RATES[self.link.step], self._carries(self.now)
            self.over += 0.25 * (sent > carried)
            if self.now % 1 == 0 and sent:
                self.link.estimated(min(sent, carried), self.now)  # it shows congestion, never headroom
                self.link.reported(1 - min(1.0, carried / sent) * (1 - self._chance(self.now)), self.now)
            if self.link.look(sent, self.now):
                self.steps.append((self.now, self.link.step))
        return self


def test_a_wide_link_gives_up_nothing():
    assert Wire(lambda now: 100 * MEGABIT).run(600).steps == [(0.0, 0)]


@pytest.mark.parametrize("carries", [0.6, 1.0, 2.0, 5.0, 9.0])
def test_a_narrow_link_is_fitted_within_seconds(carries: float):
    wire = Wire(lambda now: carries * MEGABIT).run(5)
    assert RATES[wire.link.step] <= carries * MEGABIT
    assert len(wire.steps) == 2, "in one step"
    if carries >= 2:
        assert RATES[wire.link.step] > 0


def test_five_megabits_carry_eight_views():
    wire = Wire(lambda now: 5 * MEGABIT).run(5)
    form = FORMS[wire.link.step]
    assert form is not None
    assert (form.views, form.tile_width, form.every) == (8, 256, 1)


def test_a_hiccup_costs_nothing():
    wire = Wire(lambda now: (11 if 10 < now <= 11 else 100) * MEGABIT).run(30)
    assert wire.steps == [(0.0, 0)]


def test_more_is_tried_ever_more_rarely():
    wire = Wire(lambda now: 5 * MEGABIT).run(1800)
    tries = [now for (now, step), (_, before) in zip(wire.steps[1:], wire.steps, strict=False) if step < before]
    waits = [b - a for a, b in pairwise(tries)]
    assert tries[0] == pytest.approx(wire.steps[1][0] + PATIENCE, abs=5)
    assert waits[0] == pytest.approx(AFTER_FAILURE, abs=10)
    assert all(b == pytest.approx(min(2 * a, LONGEST), rel=0.2) for a, b in pairwise(waits)), waits
    assert wire.over < 0.02 * 1800, "hardly ever too much"


def test_a_link_that_recovers_gets_everything_back():
    wire = Wire(lambda now: (2 if now < 20 else 100) * MEGABIT).run(20)
    assert wire.link.step > 0
    wire.run((PATIENCE + PROVEN) * len(RATES) + 2 * AFTER_FAILURE)
    assert wire.link.step == 0


def test_after_nothing_but_sound_pictures_are_tried_again():
    wire = Wire(lambda now: 0.1 * MEGABIT if now < 10 else 100 * MEGABIT).run(9)
    assert FORMS[wire.link.step] is None
    wire.run(PATIENCE + 10)
    assert FORMS[wire.link.step] is not None


def test_who_loses_nothing_keeps_a_picture():
    """A receiver that lacks time says of any link that it is narrower than what comes."""
    link = Link(RATES)
    for second in range(120):
        link.estimated(0.7 * RATES[link.step], float(second))
        link.reported(0.0, float(second))
        link.look(RATES[link.step], second + 0.5)
        assert RATES[link.step] > 0, second
    assert FORMS[link.step + 1] is None


@given(st.lists(st.floats(0.1, 30), min_size=1, max_size=8))
@example([1.0, 1.0, 2.0, 2.0, 2.0, 12.0, 1.0])  # narrower just after a try that failed
@settings(max_examples=50, deadline=None)
def test_it_never_leaves_its_steps_and_never_flutters(carried: list[float]):
    wire = Wire(lambda now: carried[min(int(now // 30), len(carried) - 1)] * MEGABIT).run(30 * len(carried))
    assert all(0 <= step < len(RATES) for _, step in wire.steps)
    ups = [now for (now, step), (_, before) in zip(wire.steps[1:], wire.steps, strict=False) if step < before]
    assert all(b - a >= PATIENCE - 1 for a, b in pairwise(ups))


@pytest.mark.parametrize("views", [1, 3, 6, 8, 10, 12, 20, 24, None])
@pytest.mark.parametrize("sound", [True, False])
def test_every_viewer_has_steps_of_ever_fewer_bits(views: int | None, sound: bool):
    forms = steps(QUILT, views, sound)
    first = forms[0]
    assert first is not None
    assert first.views == (views or 24), "what it wants is the most it gets"
    assert (forms[-1] is None) == sound
    rates = [sent_as(form, 25).bitrate for form in forms if form is not None]
    assert rates == sorted(set(rates), reverse=True)
    if views is None:
        assert {(form.columns, form.rows) for form in forms if form is not None} == {(6, 4)}, "its tiling stays"


@pytest.mark.parametrize("chance", [0.01, 0.05, 0.15, 0.25])
def test_what_is_lost_by_chance_takes_no_picture_away(chance: float):
    luck = random.Random(1)
    wire = Wire(lambda now: 100 * MEGABIT, lambda now: luck.gauss(chance, chance / 8)).run(300)
    assert wire.link.step == 0
    assert len(wire.steps) <= 3, "it has looked once whether less is lost of less"


def test_a_narrow_link_that_loses_by_chance_too_is_fitted():
    wire = Wire(lambda now: 5 * MEGABIT, lambda now: 0.15).run(60)
    form = FORMS[wire.link.step]
    assert form is not None
    assert wire.over < 6


def test_what_is_lost_by_chance_no_more_counts_no_more():
    wire = Wire(lambda now: (100 if now < 120 else 14) * MEGABIT, lambda now: 0.15 if now < 60 else 0.0).run(115)
    assert wire.link.step == 0
    wire.run(15)
    assert RATES[wire.link.step] <= 14 * MEGABIT


def test_one_report_of_a_line_that_was_down_is_no_narrow_link():
    wire = Wire(lambda now: 100 * MEGABIT, lambda now: 0.9 if now == 10.0 else 0.0).run(30)
    assert wire.steps == [(0.0, 0)]


def test_an_estimate_that_catches_up_is_waited_for():
    link, sent = Link(RATES), RATES[2]
    assert link.flooded(5 * MEGABIT, 0.0)
    assert link.step == 2
    estimate, now = 0.8 * MEGABIT, 0.0
    while now < 30:
        now += 1.0
        estimate = min(1.08 * estimate, 1.5 * sent)  # as receivers raise theirs while nothing queues
        link.estimated(estimate, now)
        link.reported(0.0, now)
        assert not link.look(sent, now) or link.step < 2, "never down"


def test_a_flood_is_answered_at_once_and_with_a_picture():
    link = Link(RATES)
    assert link.pace is None
    assert link.flooded(0.31 * RATES[0], 10.0)
    form = FORMS[link.step]
    assert form is not None
    assert RATES[link.step] < 0.31 * RATES[0]
    assert link.pace is not None
    assert RATES[link.step] < link.pace < RATES[0]
    assert not Link(RATES[:1]).flooded(0.01 * RATES[0], 10.0), "whose detail is not to be changed keeps it"
    poor = Link(RATES)
    assert poor.flooded(0.001 * RATES[0], 10.0)
    assert FORMS[poor.step] is not None
    assert not poor.flooded(0.001 * RATES[0], 10.0)
