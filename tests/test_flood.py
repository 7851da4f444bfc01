"""That a link has become narrow is told from what its receiver misses within half a second; accidents are no flood."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from server.channels.flood import Flood

PER_SECOND = 1500
"Packets of 16 Mbit/s."
BEHIND = 0.1
"Seconds until a receiver tells what it missed: a queue that is full, and the way back."


def told(lost: Callable[[float, int], bool], seconds: float = 4.0) -> list[tuple[float, float]]:
    """(when, the share that gets through) of each time that it is a flood; the numbers wrap on their way."""
    flood, found, missing = Flood(), [], []
    for n in range(round(seconds * PER_SECOND)):
        now, number = n / PER_SECOND, (65_000 + n) % 65_536
        flood.sent(number, now)
        if lost(now, n):
            missing.append((now + BEHIND, number))
        if n % 15:  # a receiver looks each 10 ms
            continue
        due = [number for at, number in missing if at <= now]
        missing = [one for one in missing if one[0] > now]
        if due and (through := flood.missed(due)) is not None:
            found.append((now, through))
    return found


def test_a_link_that_becomes_narrow_is_noticed_within_half_a_second():
    (at, through), *_ = told(lambda now, n: now > 2.0 and n % 16 >= 5)
    assert 2.0 < at < 2.5
    assert through == pytest.approx(5 / 16, abs=0.1)


@pytest.mark.parametrize(
    "lost",
    [
        lambda now, n: False,
        lambda now, n: random.Random(n).random() < 0.15,  # a radio's ordinary losses
        lambda now, n: 2.0 < now < 2.2,  # nothing at all for a moment
        lambda now, n: now % 1.0 < 0.06,  # the end of each keyframe
    ],
)
def test_accidents_are_no_flood(lost):
    assert told(lost) == []


def test_of_little_that_is_sent_nothing_is_concluded():
    flood = Flood()
    for n in range(100):
        flood.sent(n, n * 0.02)
        assert flood.missed([n]) is None


def test_what_was_sent_before_is_forgotten():
    flood = Flood()
    for n in range(600):
        flood.sent(n, n / PER_SECOND)
    flood.forget()
    assert flood.missed(range(600)) is None
