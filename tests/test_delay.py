"""Sound is held back for as long as pictures are old, and follows them so slowly that nobody hears it, or at once where nobody can."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.media.delay import (
    DEAD_BAND,
    EARLY,
    FEW,
    GROSSLY,
    LATE,
    LONGEST,
    NEAR,
    NEWEST,
    PICTURES,
    QUICKLY,
    SLOWLY,
    STEADILY,
    SUDDEN,
    Delay,
)
from server.webrtc.voice_line import LATEST, PATIENCE, Said, VoiceLine


def followed(delay: Delay, ages: list[float], begin: float = 0.0, silent: bool = False) -> list[float]:
    """What sound is held back for with each packet while pictures come, 25 a second."""
    held = []
    for number, age in enumerate(ages):
        delay.picture(age)
        for half in (0, 1):
            seconds = delay.at(begin + (number + half / 2) / 25, silent)
            assert seconds is not None
            held.append(seconds)
    return held


def test_it_is_not_known_before_a_picture_and_then_at_once():
    delay = Delay()
    assert delay.at(0.0) is None
    delay.picture(0.15)
    assert delay.at(0.0) == 0.15


def test_ages_that_tremble_move_nothing():
    held = followed(Delay(), [0.15 + 0.008 * (-1) ** number for number in range(100)])
    assert max(held) - min(held) <= 2 * DEAD_BAND


def test_one_late_picture_moves_nothing():
    delay = Delay()
    followed(delay, [0.1] * 50)
    assert followed(delay, [0.4, 0.4, *[0.1] * 20], 2.0) == [0.1] * 44


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-0.1, 2.0), min_size=2, max_size=120))
def test_it_never_moves_faster_than_can_go_unheard_and_never_out_of_bounds(ages):
    held = followed(Delay(), ages)
    assert all(0 <= one <= LONGEST for one in held)
    assert all(abs(b - a) <= QUICKLY / 50 + 1e-9 for a, b in pairwise(held))


def within(held: list[float], age: float, bar: float) -> float:
    """Seconds until sound is within `bar` of pictures so old."""
    return next(number for number, one in enumerate(held) if abs(one - age) <= bar) / 50


def test_pictures_that_have_become_older_are_followed_soon():
    delay = Delay()
    followed(delay, [0.04] * PICTURES)
    held = followed(delay, [0.17] * 200, PICTURES / 25)
    assert within(held, 0.17, GROSSLY + DEAD_BAND) <= FEW / 25 + 0.05 + 0.040 / QUICKLY
    assert within(held, 0.17, EARLY + DEAD_BAND) <= NEWEST / 25 + 0.05 + 0.040 / QUICKLY
    assert within(held, 0.17, NEAR) <= SUDDEN / 25 + 0.05 + (EARLY - NEAR) / QUICKLY
    assert abs(held[-1] - 0.17) <= DEAD_BAND + SLOWLY * 1.5 + 0.03


def test_pictures_that_have_become_younger_are_followed_gently_unless_sound_is_too_late_to_be_borne():
    delay = Delay()
    followed(delay, [0.17] * PICTURES)
    held = followed(delay, [0.04] * 400, PICTURES / 25)
    assert max(a - b for a, b in pairwise(held)) <= STEADILY / 50 + 1e-9
    assert within(held, 0.04, NEAR) <= SUDDEN / 25 + 0.05 + (0.13 - NEAR) / STEADILY
    late = Delay()
    followed(late, [0.4] * PICTURES)
    held = followed(late, [0.1] * SUDDEN, PICTURES / 25)
    assert within(held, 0.1, LATE + DEAD_BAND) <= NEWEST / 25 + 0.05 + (0.3 - LATE) / QUICKLY


def test_a_script_of_ages_that_jump_twice_stays_where_people_bear_it_once_it_is_followed():
    """Check 3 of a call's lips: 40, 170 and 40 ms, twenty seconds each. What is outside are the 0.3 s before sound moves, and what
    it takes to the edge: none of it is late, and no pause between two packets grows by more than 5 ms."""
    ages = [0.04] * 500 + [0.17] * 500 + [0.04] * 500
    held = followed(Delay(), ages)
    offsets = [1e3 * (one - ages[number // 2]) for number, one in enumerate(held)]
    outside = [number / 50 for number, one in enumerate(offsets) if not -90 <= one <= 185]
    assert outside
    assert max(outside) <= 20 + FEW / 25 + 0.040 / QUICKLY + 0.05
    assert max(abs(b - a) for a, b in pairwise(held)) <= 0.005 + 1e-9


def test_where_sound_is_borne_it_moves_gently_and_beyond_that_no_further_than_to_the_edge():
    """Pictures that wander slowly, 50 ms up and down in four seconds, and then are 150 ms older than sound for 1.6."""
    wander = [0.09 + 0.05 * math.sin(2 * math.pi * number / 100) for number in range(1000)]
    delay = Delay()
    held = followed(delay, wander)
    assert max(abs(b - a) for a, b in pairwise(held)) <= STEADILY / 50 + 1e-9
    spell = followed(delay, [held[-1] + 0.15] * 40, 40.0)
    assert max(spell) == pytest.approx(held[-1] + 0.15 - EARLY, abs=DEAD_BAND)
    back = followed(delay, [0.09] * 300, 41.6)
    assert max(a - b for a, b in pairwise(back)) <= STEADILY / 50 + 1e-9


def test_of_ages_that_wander_the_older_ones_are_followed_and_sound_stands_still():
    """A busy machine: half the pictures are 60 ms older, in spells of a quarter of a second."""
    ages = [0.04 + 0.06 * (number // 6 % 2) for number in range(600)]
    held = followed(Delay(), ages)[600:]
    assert max(held) - min(held) <= 0.02
    assert min(held) >= 0.1 - DEAD_BAND - 0.01


def test_spells_of_less_than_two_seconds_move_nothing_and_what_lasts_is_followed_gently():
    """What is held back for longer is taken by receivers for a link that delays."""
    delay = Delay()
    followed(delay, [0.05] * PICTURES)
    spell = [0.05 + EARLY] * (SUDDEN - 1) + [0.05] * 100 + [0.25] * (FEW - 1)
    spell += [0.05] * 100 + [0.05 + GROSSLY] * (NEWEST - 1) + [0.05] * 100
    assert followed(delay, spell, PICTURES / 25) == [0.05] * 2 * len(spell)
    mostly = [0.05 if number % 5 == 0 else 0.15 for number in range(2 * PICTURES)]
    held = followed(delay, mostly, 2 * PICTURES / 25)
    assert max(b - a for a, b in pairwise(held)) <= STEADILY / 50 + 1e-9
    assert held[-1] == pytest.approx(0.15, abs=DEAD_BAND + 1e-9)


def test_in_silence_it_follows_at_once():
    delay = Delay()
    followed(delay, [0.04] * PICTURES)
    assert followed(delay, [0.17] * (SUDDEN + 5), PICTURES / 25, silent=True)[-1] == 0.17


def test_the_offset_is_what_sound_is_late():
    delay = Delay()
    assert delay.offset is None
    for _ in range(10):
        delay.picture(0.15)
        delay.sound(0.17)
    assert delay.offset == pytest.approx(0.02)


# ---- the line ----


def said(number: int, at: float | None = None, payload: bytes = b"abc", level: int | None = None) -> Said:
    return Said(number * 960, payload, number * 0.02 if at is None else at, level)


def positions(leaving: list[Said]) -> list[int]:
    return [one.position // 960 for one in leaving]


def test_a_first_picture_that_comes_late_is_forgotten_within_three_seconds():
    """A call begins with pictures that are older than any later on; whoever comes meanwhile keeps back what is late."""
    held = followed(Delay(), [0.3, *[0.05] * 200])
    assert within(held, 0.05, NEAR) <= SUDDEN / 25 + 0.1 + 0.25 / QUICKLY


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.floats(0.25, 0.4))
def test_whatever_overtook_on_its_way_leaves_in_order_while_it_is_held(order, delay):
    line = VoiceLine()
    for number in order:
        line.put(said(number), 0.22)
    left = [one for step in range(60) for one in line.ready(delay, 0.22 + step * 0.01)]
    assert positions(left) == list(range(12))
    assert line.late == 0


def test_each_packet_leaves_when_its_time_has_come():
    line = VoiceLine()
    for number in range(5):
        line.put(said(number), number * 0.02)
    assert line.due(0.1, 0.08) == pytest.approx(0.1)
    assert positions(line.ready(0.1, 0.099)) == []
    assert positions(line.ready(0.1, 0.121)) == [0, 1]
    assert line.due(0.1, 0.121) == pytest.approx(0.14)


def test_a_late_one_leaves_at_once_a_too_late_one_never():
    line = VoiceLine()
    line.put(said(0), 0.1 + LATEST - 0.01)
    assert positions(line.ready(0.1, 0.1 + LATEST - 0.01)) == [0]
    line.put(said(1), 0.12 + LATEST + 0.01)
    assert line.ready(0.1, 0.12 + LATEST + 0.01) == []
    assert line.late == 1


def test_what_was_passed_or_comes_twice_is_left_out():
    line = VoiceLine()
    for number in (1, 1, 2):
        line.put(said(number), 0.04)
    assert positions(line.ready(0.0, 0.04)) == [1, 2]
    line.put(said(0), 0.05)
    assert line.ready(0.0, 0.05) == []
    assert line.late == 2


def test_a_delay_that_shrinks_turns_nothing_round():
    line = VoiceLine()
    line.put(said(0), 0.0)
    assert positions(line.ready(0.2, 0.2)) == [0]
    line.put(said(1), 0.2)
    assert line.due(0.0, 0.2) == 0.2


def test_sound_waits_for_a_picture_but_not_for_ever():
    line = VoiceLine()
    now, left = 0.0, []
    for number in range(round(PATIENCE / 0.02) + 3):
        now = number * 0.02
        line.put(said(number), now)
        left = line.ready(None, now)
        assert not left or now > PATIENCE
    assert left
    assert left[-1].captured == pytest.approx(now)


def test_packets_that_nobody_hears_are_known():
    assert said(0, payload=b"x").silent
    assert said(0, level=90).silent
    assert not said(0, level=30).silent
    assert not said(0).silent
