"""Health decides with made-up times who renders: no thread, no clock."""

from __future__ import annotations

import pytest

from pipeline.executors.health import (
    FIRST_PATIENCE,
    LAST_PATIENCE,
    LONGEST_PAUSE,
    MOST_IN_A_ROW,
    NEW_SIZE_PATIENCE,
    PATIENCE,
    Health,
)

ENGINE = "engine"


def warm(*devices: str, seconds: float = 0.02) -> Health:
    """Renderers that have each rendered ten views in `seconds`, at time zero."""
    health = Health(devices, now=-1.0)
    for device in devices:
        health.begin(device, "warm", ENGINE, [10], -seconds)
        assert health.ended(device, "warm", 0.0)
    return health


def test_a_renderer_that_raises_is_dropped_while_another_is_left():
    health = warm("a", "b")
    health.begin("a", 1, ENGINE, [10], 1.0)
    assert health.failed("a", 1, "out of memory", 1.1)
    assert health.up == ["b"]
    assert health.gone(1.1) is None
    report = health.report(1.6)[0]
    assert (report.up, report.reason, report.hangs, report.drops) == (False, "out of memory", False, 1)
    assert report.retry_in == pytest.approx(0.5)


def test_the_last_renderer_is_kept_until_it_has_failed_many_times_in_a_row():
    health = warm("a")
    for number in range(MOST_IN_A_ROW - 1):
        health.begin("a", number, ENGINE, [10], number)
        assert not health.failed("a", number, "broken", number)
    health.begin("a", "good", ENGINE, [10], 20.0)
    assert health.ended("a", "good", 20.1)
    for number in range(MOST_IN_A_ROW):
        assert health.gone(30.0) is None
        health.begin("a", number, ENGINE, [10], 30.0)
        health.failed("a", number, "broken", 30.0)
    assert health.gone(30.5) == "a: broken"
    assert health.gone(31.0) is None, "it may be tried again"


def test_a_renderer_that_does_not_answer_is_suspected_after_ten_times_its_usual_time():
    health = warm("a", "b", seconds=1.0)
    health.begin("a", 1, ENGINE, [10], 5.0)
    assert health.overdue(5.0 + PATIENCE - 0.1) == {}
    assert health.overdue(5.0 + PATIENCE + 0.1) == {"a": pytest.approx(PATIENCE + 0.1)}


def test_quick_renderers_are_given_half_a_second_and_single_views_no_less():
    health = warm("a", "b")
    health.begin("a", 1, ENGINE, [1], 0.0)
    assert health.ended("a", 1, 0.002)
    health.begin("a", 2, ENGINE, [1, 10], 5.0)
    assert health.overdue(5.49) == {}
    assert list(health.overdue(5.51)) == ["a"]


def test_a_number_of_views_that_is_new_to_a_renderer_may_have_to_be_recorded_first():
    health = warm("a", "b")
    for device in ("a", "b"):
        health.begin(device, 1, ENGINE, [10, 8], 5.0)
    assert health.overdue(4.9 + NEW_SIZE_PATIENCE) == {}
    assert list(health.overdue(5.1 + NEW_SIZE_PATIENCE)) == ["a", "b"]
    assert health.ended("a", 1, 5.04)
    health.begin("a", 2, ENGINE, [8], 9.0)
    assert list(health.overdue(9.9)) == ["a"], "from then on it is usual"


def test_a_first_batch_may_compile_and_the_last_renderer_gets_more_time():
    health = Health(["a", "b"], now=0.0)
    health.begin("a", 1, ENGINE, [10], 0.0)
    assert health.overdue(FIRST_PATIENCE - 1) == {}
    assert list(health.overdue(FIRST_PATIENCE + 1)) == ["a"]
    last = warm("a")
    last.begin("a", 1, ENGINE, [10], 0.0)
    assert last.overdue(LAST_PATIENCE - 1) == {}
    assert list(last.overdue(LAST_PATIENCE + 1)) == ["a"]
    other = warm("a", "b")
    other.begin("a", 1, "an engine that is new to it", [10], 0.0)
    assert other.overdue(FIRST_PATIENCE - 1) == {}


def test_what_a_hanging_renderer_held_comes_back_and_its_late_answer_is_not_wanted():
    health = warm("a", "b")
    for batch in (1, 2):
        health.begin("a", batch, ENGINE, [10], 1.0)
    assert health.drop("a", "does not answer", 2.0) == [1, 2]
    assert health.report(3.0)[0].hangs
    assert health.report(3.0)[0].retry_in is None
    assert health.due(100.0) == [], "its thread is still busy"
    assert not health.ended("a", 1, 100.0)
    assert not health.failed("a", 2, "late", 101.0)
    assert health.due(101.5) == []
    assert health.due(102.0) == ["a"]
    assert health.busy("a") == 0


def test_a_dropped_renderer_is_tried_after_ever_longer_pauses():
    health = warm("a", "b")
    health.begin("a", 0, ENGINE, [10], 0.0)
    health.failed("a", 0, "broken", 0.0)
    now, pauses = 0.0, []
    for number in range(8):
        began = now
        while not health.due(now):
            now += 0.5
        pauses.append(now - began)
        health.retry("a", now)
        assert health.works == ["b"], "it is only tried: its result does not count"
        health.begin("a", number, ENGINE, [10], now)
        assert health.failed("a", number, "broken", now)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE]
    now += LONGEST_PAUSE
    health.retry("a", now)
    health.begin("a", "good", ENGINE, [10], now)
    assert health.ended("a", "good", now)
    assert health.up == ["a", "b"]


def test_the_pause_is_short_again_after_a_minute_without_failures():
    health = warm("a", "b")
    for begin, pause in ((0.0, 1.0), (10.0, 2.0), (20.0, 4.0), (100.0, 1.0)):
        health.begin("a", begin, ENGINE, [10], begin)
        health.failed("a", begin, "broken", begin)
        assert health.report(begin)[0].retry_in == pause
        health.retry("a", begin + pause)
        health.begin("a", "good", ENGINE, [10], begin + pause)
        health.ended("a", "good", begin + pause)


def test_with_nobody_up_the_one_that_is_tried_does_the_work():
    health = warm("a", "b")
    for device in ("a", "b"):
        health.drop(device, f"{device} broke", 1.0)
    assert health.gone(1.5) == "a: a broke; b: b broke"
    health.retry("b", 2.0)
    assert health.works == ["b"]
    assert health.gone(2.0) is None


def test_a_renderer_is_pardoned_where_the_frame_was_to_blame():
    health = warm("a", "b")
    health.begin("a", 1, ENGINE, [10], 1.0)
    assert health.failed("a", 1, "not a number", 1.0)
    health.begin("b", 2, ENGINE, [10], 1.1)
    assert not health.failed("b", 2, "not a number", 1.2, blameless=True)
    health.pardon("a", 1.2)
    assert health.up == ["a", "b"]
    assert [one.drops for one in health.report(2.0)] == [0, 0]


def test_who_fails_at_every_frame_is_given_up_however_blameless():
    health = warm("a", "b")
    for number in range(MOST_IN_A_ROW):
        for device in ("a", "b"):
            health.begin(device, number, ENGINE, [10], number)
            health.failed(device, number, "out of memory", number, blameless=device == "b")
        health.pardon("a", number)
    assert health.up == []
