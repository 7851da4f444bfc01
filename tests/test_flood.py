"""That a link has become narrow is told from what its receiver misses within half a second; accidents are no flood."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from server.channels.flood import Flood

PER_SECOND = 1500
SIZE = 1333
"Of packets of 16 Mbit/s, a second, and their bytes."
BEHIND = 0.1
"Seconds until a receiver tells what it missed: a queue that is full, and the way back."


def told(lost: Callable[[float, int], bool], seconds: float = 4.0) -> list[tuple[float, float]]:
    """(when, the bits a second that get through) of each time that it is a flood; the numbers wrap on their way."""
    flood, found, missing = Flood(), [], []
    for n in range(round(seconds * PER_SECOND)):
        now, number = n / PER_SECOND, (65_000 + n) % 65_536
        flood.sent(number, SIZE, now)
        if lost(now, n):
            missing.append((now + BEHIND, number))
        if n % 15:  # a receiver looks each 10 ms
            continue
        due = [number for at, number in missing if at <= now]
        missing = [one for one in missing if one[0] > now]
        if due and (through := flood.missed(due, now)) is not None:
            found.append((now, through))
    return found


def test_a_link_that_becomes_narrow_is_noticed_within_half_a_second():
    (at, through), *_ = told(lambda now, n: now > 2.0 and n % 16 >= 5)
    assert 2.0 < at < 2.5
    assert through == pytest.approx(5 / 16 * 8 * SIZE * PER_SECOND, rel=0.3)


def test_what_is_sent_again_takes_its_part_of_the_link():
    flood = Flood()
    for n in range(600):
        flood.sent(n, SIZE, n / PER_SECOND)
        flood.repeated(SIZE, n / PER_SECOND)
    carried = flood.missed((n for n in range(600) if n % 4), 0.4)
    assert carried == pytest.approx(2 / 4 * 8 * SIZE * PER_SECOND, rel=0.05), "a quarter of it, and as much again"


@pytest.mark.parametrize(
    "lost",
    [
        lambda now, n: False,
        lambda now, n: random.Random(n).random() < 0.15,  # a radio's ordinary losses
        lambda now, n: 2.0 < now < 2.2,  # nothing at all for a moment
        lambda now, n: 1.0 < now < 3.0,  # nor for longer: a line that is down is not narrow
        lambda now, n: now % 1.0 < 0.06,  # the end of each keyframe
    ],
)
def test_accidents_are_no_flood(lost):
    assert told(lost) == []


def test_of_little_that_is_sent_nothing_is_concluded():
    flood = Flood()
    for n in range(100):
        flood.sent(n, SIZE, n * 0.02)
        assert flood.missed([n], n * 0.02) is None


def test_what_was_sent_before_is_forgotten():
    flood = Flood()
    for n in range(600):
        flood.sent(n, SIZE, n / PER_SECOND)
    flood.forget()
    assert flood.missed(range(600), 0.4) is None


def test_only_what_has_left_lately_is_lacking():
    flood = Flood()
    for n in range(1000):
        flood.sent(n, SIZE, n / PER_SECOND)
    assert flood.lacking(range(2000), 300.5 / PER_SECOND) == 699
    assert flood.lacking(range(100), 0.5) == 0
