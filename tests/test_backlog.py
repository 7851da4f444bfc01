"""What waits for a decoder: never for long, and what is left out is counted. Real coded pictures, made-up times."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from server.webrtc.backlog import (
    KEYFRAME_APART,
    KEYFRAME_PATIENCE,
    LATE,
    LOST,
    MOST_BYTES,
    NO_KEYFRAME,
    TOO_LARGE,
    TOO_SLOW,
    Backlog,
    Limits,
)
from server.webrtc.jitter import Coded

VP8 = SimpleNamespace(name="VP8")
KEY, DELTA = b"\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00", b"\x11"
"A 320x240 keyframe's header and another picture's."


def picture(data: bytes, arrived: float, after_loss: bool = False, codec: Any = VP8) -> Coded:
    return Coded(data, 0, arrived, after_loss, codec)


def large(width: int, height: int) -> bytes:
    return KEY[:6] + width.to_bytes(2, "little") + height.to_bytes(2, "little")


def taken(backlog: Backlog, now: float) -> list[bytes]:
    out = []
    while (one := backlog.take(now)) is not None:
        out.append(one[0].data)
    return out


def begun(limits: Limits = Limits(8_000_000)) -> Backlog:
    backlog = Backlog(limits)
    assert not backlog.offer(picture(KEY, 0.0), 0.0)
    assert taken(backlog, 0.0) == [KEY]
    return backlog


def test_all_is_decoded_where_there_is_time():
    backlog = begun()
    for number in range(1, 100):
        assert not backlog.offer(picture(DELTA, number * 0.04), number * 0.04)
        assert taken(backlog, number * 0.04) == [DELTA]
    assert backlog.lost.total() == 0


def test_nothing_that_waited_too_long_is_decoded_and_nothing_that_builds_upon_it():
    backlog = begun()
    for number in range(1, 5):
        backlog.offer(picture(DELTA, number * 0.04), number * 0.04)
    assert backlog.take(0.04 + LATE + 0.01) is None
    assert backlog.lost == {TOO_SLOW: 4}
    assert backlog.offer(picture(DELTA, 0.6), 0.6), "a keyframe is asked for"
    assert backlog.lost[NO_KEYFRAME] == 1
    assert not backlog.offer(picture(KEY, 0.7), 0.7)
    assert taken(backlog, 0.7) == [KEY]


def test_it_goes_on_with_a_keyframe_that_waits_already():
    backlog = begun()
    for number, data in enumerate([DELTA, DELTA, KEY, DELTA], 1):
        backlog.offer(picture(data, number * 0.04), number * 0.04)
    assert taken(backlog, 0.04 + LATE + 0.01) == [KEY, DELTA]


def test_a_keyframe_overtakes_what_is_late():
    backlog = begun()
    backlog.offer(picture(DELTA, 0.1), 0.1)
    backlog.offer(picture(KEY, 0.1 + LATE * 0.6), 0.1 + LATE * 0.6)
    assert taken(backlog, 0.1 + LATE * 0.6) == [KEY]


@pytest.mark.parametrize("slower", [1.5, 3.0, 12.0])
def test_a_decoder_slower_than_its_caller_shows_pictures_of_now(slower):
    """A caller of 30 fps who sends a keyframe 100 ms after he is asked; a decoder that takes `slower` times as long."""
    backlog, free, ages, due = Backlog(Limits(8_000_000)), 0.0, [], 0.0
    for number in range(30 * 20):
        now = number / 30
        while free <= now and (one := backlog.take(free)) is not None:
            free = max(free, one[0].arrived) + slower / 30
            ages.append(free - one[0].arrived)
        free = max(free, now)
        key = number == 0 or (due and now >= due)
        due = 0.0 if key else due
        if backlog.offer(picture(KEY if key else DELTA, now), now) and not due:
            due = now + 0.1
    assert max(ages) <= LATE + slower / 30
    assert len(ages) > 0.3 * 30 * 20 / slower


@pytest.mark.parametrize("hears", [True, False])
def test_a_decoder_that_always_comes_too_late_shows_something_now_and_then(hears):
    """`hears`: its sender makes keyframes when asked."""
    backlog, shown, asked = begun(), [0.0], False
    for number in range(1, 300):  # half a minute
        now = number / 10
        asked |= backlog.offer(picture(KEY if asked and hears else DELTA, now), now)
        asked &= number % 2 == 0
        if number % 5 == 0 and backlog.take(now + LATE + 0.1) is not None:  # later than all that waits
            shown.append(now)
    assert max(later - earlier for earlier, later in itertools.pairwise([*shown, 30.0])) <= 5.0
    assert backlog.lost[TOO_SLOW] > 0


def test_after_a_loss_it_waits_for_a_keyframe_and_asks_now_and_then():
    backlog = begun()
    asked = []
    for number in range(1, 40):
        now = number * 0.04
        if backlog.offer(picture(DELTA, now, after_loss=number == 1), now):
            asked.append(now)
    assert asked[0] == 0.04
    assert all(b - a >= KEYFRAME_APART for a, b in itertools.pairwise(asked))
    assert backlog.lost[LOST] == 1
    assert taken(backlog, 1.6) == []


def test_who_hears_no_request_is_decoded_as_it_comes_after_a_while():
    backlog = begun()
    backlog.offer(picture(DELTA, 1.0, after_loss=True), 1.0)
    later = 1.0 + KEYFRAME_PATIENCE
    backlog.offer(picture(DELTA, later), later)
    assert taken(backlog, later) == [DELTA]


def test_nothing_is_decoded_before_the_first_keyframe():
    backlog = Backlog(Limits(8_000_000))
    for number in range(200):
        backlog.offer(picture(DELTA, number * 0.04), number * 0.04)
        assert backlog.take(number * 0.04) is None


def test_too_large_a_picture_is_refused_before_decoding_with_all_that_builds_upon_it():
    backlog = begun(Limits(320 * 240))
    asked = [
        backlog.offer(picture(data, 1.0), 1.0) for data in [large(8000, 8000), DELTA, DELTA, large(320, 241), DELTA]
    ]
    assert taken(backlog, 1.0) == []
    assert backlog.lost == {TOO_LARGE: 5}
    assert backlog.announced == (320, 241)
    assert not any(asked), "the next one would be as large"
    backlog.offer(picture(KEY, 1.1), 1.1)
    assert taken(backlog, 1.1) == [KEY]


def test_what_waits_is_bounded_in_bytes():
    backlog = begun()
    for _ in range(40):
        backlog.offer(picture(KEY + bytes(MOST_BYTES // 8), 1.0), 1.0)
        assert backlog._bytes <= MOST_BYTES
    assert backlog.lost[TOO_SLOW] > 0
