"""What waits for a viewer, and how fast packets leave: decisions, told what comes and when."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from display.colour import Layout
from display.screen import PRODUCT, screen
from pipeline.stages import Picture
from server.media.encode import AccessUnit, form_for
from server.media.present import Presenter
from server.media.rates import PACKET_BYTES
from server.media.viewer_track import NO_KEYFRAME, SLOW, SendQueue, ViewerTrack
from server.webrtc.pacing import REMEMBERED, REPEATS_APART, Bucket, Repeats


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


async def test_the_age_of_a_stream_counts_from_the_arrival_to_a_viewers_sender(monkeypatch: pytest.MonkeyPatch):
    loop, whole = asyncio.get_running_loop(), screen(PRODUCT)
    presenter, track = Presenter(lambda _: form_for(256, 128, 25), "libx264"), ViewerTrack()
    presenter.join(track, whole)
    clock = Clock(loop.time())
    monkeypatch.setattr(loop, "time", clock)
    for number in range(20):
        arrived = clock()
        yuv = np.full((192, 256), 9 * number, np.uint8)
        await asyncio.to_thread(presenter.present, Picture(whole, yuv, Layout.I420, number, arrived))
        await asyncio.sleep(0)
        clock.now = arrived + (0.300 if number == 7 else 0.050)  # until its sender takes it
        await track.recv()
        clock.now = arrived + 0.400
    (told,) = presenter.reports()
    assert (told.age.p50, told.age.p99) == (pytest.approx(50), pytest.approx(300))
    assert presenter.age_lately(2.2) == pytest.approx(0.050), "of the newest five; the old one is forgotten"
    assert presenter.age_lately(60) == pytest.approx(0.050), "one of twenty is what the 95th percentile leaves out"
    presenter.leave(track)
    assert presenter.age_lately(60) == 0.0


class Clock:
    """A loop's time, set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


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


def test_over_a_narrow_link_packets_leave_no_faster_than_it_carries():
    bucket = Bucket()
    bucket.take(0.0)
    bucket.narrow(5e6)
    now = 1.0
    for _ in range(80):  # a keyframe of 96 kB
        now += bucket.take(now)
    assert now - 1.0 == pytest.approx(80 * PACKET_BYTES * 8 / 5e6, rel=0.15)
    bucket.narrow(None)
    assert all(bucket.take(5.0) == 0 for _ in range(32))


async def test_what_is_held_goes_on_with_what_was_coming_or_with_a_keyframe_where_that_is_given_up():
    whole = screen(PRODUCT)
    small = whole.scaled(0.5)
    presenter, track = Presenter(lambda _: form_for(256, 128, 25), "libx264"), ViewerTrack()

    async def made(form, number):
        yuv = np.full((192, 256), 9 * number, np.uint8)
        await asyncio.to_thread(presenter.present, Picture(form, yuv, Layout.I420, number, number / 25))
        await asyncio.sleep(0)
        return track.waiting.take()

    presenter.show(track, whole)
    assert await made(whole, 0) is not None
    track.hold()
    assert await made(whole, 1) is not None, "nothing else is coming"
    presenter.show(track, small)
    track.hold()
    assert [await made(whole, number) for number in (2, 3)] == [None, None]
    first = await made(small, 4)
    assert first is not None
    assert first.keyframe
    assert track.screens == {small}
    assert await made(small, 5) is not None
    presenter.show(track, whole)
    track.hold()
    presenter.show(track, small)
    again = await made(small, 40)  # keyframes are half a second apart
    assert again is not None
    assert again.keyframe, "it missed nothing, but might have"


def test_a_packet_is_not_sent_again_before_it_can_have_come():
    repeats = Repeats()
    assert repeats.worth(7, 1.0)
    assert not repeats.worth(7, 1.0 + REPEATS_APART / 2)
    assert repeats.worth(8, 1.0 + REPEATS_APART / 2)
    assert repeats.worth(7, 1.0 + REPEATS_APART)
    assert all(repeats.worth(number, 2.0) for number in range(5000)), "and no more is remembered than there is use for"
    assert len(repeats._at) <= REMEMBERED
