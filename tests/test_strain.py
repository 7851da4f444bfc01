"""What a call gives up when its pictures grow old: first most pictures of those who say nothing; and who speaks is back at once."""

from __future__ import annotations

from server.calls.strain import PATIENCE, QUIET_AFTER, SHARES, STRAINED_FOR, Strain

EVERY = 0.25


def look(strain: Strain, age: float, seconds: float, now: float) -> float:
    """The time after so many seconds of pictures of that age."""
    for _ in range(round(seconds / EVERY)):
        now += EVERY
        strain.look(age, now)
    return now


def test_a_hiccup_costs_nothing_and_old_pictures_make_the_quiet_ones_rare():
    strain = Strain()
    now = look(strain, 0.4, STRAINED_FOR - 1, 0.0)
    now = look(strain, 0.2, 1, now)
    now = look(strain, 0.4, STRAINED_FOR - 1, now)
    assert strain.step == 0
    now = look(strain, 0.4, 2, now)
    strain.hear([1], now)
    assert (strain.share(1, now), strain.share(2, now)) == (1.0, SHARES[1])
    assert SHARES[1] * 25 == 5
    now = look(strain, 0.4, 60, now)
    assert strain.share(2, now) == SHARES[-1], "and no further"


def test_who_begins_to_speak_moves_again_at_once_and_for_a_while():
    strain = Strain()
    now = look(strain, 0.4, STRAINED_FOR + 1, 0.0)
    assert strain.share(2, now) < 1
    strain.hear([2], now)
    assert strain.share(2, now) == 1.0
    assert strain.share(2, now + QUIET_AFTER - 0.1) == 1.0
    assert strain.share(2, now + QUIET_AFTER) < 1


def test_more_is_tried_once_pictures_are_young_and_later_after_a_try_that_failed():
    strain = Strain()
    now = look(strain, 0.4, STRAINED_FOR + 1, 0.0)
    now = look(strain, 0.05, PATIENCE + 1, now)
    assert strain.step == 0
    now = look(strain, 0.4, STRAINED_FOR + 1, now)
    assert strain.step == 1
    now = look(strain, 0.05, PATIENCE + 1, now)
    assert strain.step == 1, "it waits for twice as long"
    look(strain, 0.05, PATIENCE, now)
    assert strain.step == 0
