"""What waits for a viewer, and how fast packets leave: decisions, told what comes and when."""

from __future__ import annotations

from server.media.encode import AccessUnit
from server.media.present import NO_KEYFRAME, SLOW, SendQueue
from server.webrtc.pacing import Bucket


def unit(number: int, keyframe: bool = False) -> AccessUnit:
    return AccessUnit(bytes([number]), keyframe, number, float(number))


def taken(waiting: SendQueue) -> list[int]:
    units = []
    while (one := waiting.take()) is not None:
        units.append(one.pts)
    return units


def test_nothing_is_sent_before_the_first_keyframe():
    waiting = SendQueue()
    assert waiting.offer(unit(0))
    assert waiting.take() is None
    assert not waiting.offer(unit(1, keyframe=True))
    assert not waiting.offer(unit(2))
    assert taken(waiting) == [1, 2]
    assert waiting.skipped == {NO_KEYFRAME: 1, SLOW: 0}


def test_a_slow_viewer_skips_to_the_next_keyframe_and_never_gets_a_picture_without_its_base():
    waiting = SendQueue(most=2)
    waiting.offer(unit(0, keyframe=True))
    waiting.offer(unit(1))
    assert waiting.offer(unit(2)), "full: a keyframe is needed"
    assert taken(waiting) == [0, 1]
    assert waiting.offer(unit(3)), "there is room, but 3 builds on 2"
    assert not waiting.offer(unit(4, keyframe=True))
    assert not waiting.offer(unit(5))
    assert taken(waiting) == [4, 5]
    assert waiting.skipped == {SLOW: 1, NO_KEYFRAME: 1}


def test_a_keyframe_takes_the_place_of_all_that_waits():
    waiting = SendQueue(most=2)
    for number in (0, 1):
        waiting.offer(unit(number, keyframe=number == 0))
    waiting.offer(unit(2, keyframe=True))
    assert taken(waiting) == [2]
    assert waiting.skipped[SLOW] == 2


def test_an_ordinary_picture_leaves_at_once_and_a_keyframe_is_spread():
    bucket = Bucket(per_second=10_000, burst=32)
    assert all(bucket.take(5.0) == 0 for _ in range(32))
    now, waits = 5.0, 0
    for _ in range(160):
        wait = bucket.take(now)
        now += wait
        waits += wait > 0
    assert 0.012 < now - 5.0 < 0.020
    assert 10 < waits < 40, "several packets go out after each pause"


def test_a_pause_earns_no_more_than_one_burst():
    bucket = Bucket(per_second=10_000, burst=4)
    bucket.take(0.0)
    assert [bucket.take(100.0) > 0 for _ in range(5)] == [False] * 4 + [True]
