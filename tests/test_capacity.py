"""Capacity decides with made-up costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capacity import Capacity, Load

QUICK = Load("quick", {"cpu:0": 0.004, "cpu:1": 0.010})


def test_the_first_caller_is_always_let_in():
    heavy = Capacity(limit=0.85, frames_per_second=25)
    assert heavy.with_another([], "heavy").fits
    assert not heavy.with_another([Load("heavy", {"cuda:0": 2.0})], "heavy").fits
    assert heavy.with_another([], "heavy").fits, "still the first, once the other has gone"


def test_callers_are_let_in_until_the_busiest_device_is_full():
    capacity, live = Capacity(0.85, 25), [QUICK]
    while capacity.with_another(live, "quick").fits:
        live.append(QUICK)
    estimate = capacity.with_another(live, "quick")
    assert len(live) == 3  # four at 25 frames of 10 ms would take all of cpu:1
    assert estimate.utilisation == {"cpu:0": 0.4, "cpu:1": 1.0}
    assert estimate.fullest == "cpu:1 at 100%"


def test_who_is_not_watched_yet_counts_as_one_who_is():
    capacity = Capacity(0.85, 25)
    unwatched = Load("quick", {})
    assert capacity.with_another([unwatched] * 3, "quick").fits, "nothing is known yet"
    assert capacity.with_another([QUICK, unwatched], "quick").utilisation["cpu:1"] == pytest.approx(0.75)
    assert not capacity.with_another([unwatched] * 3, "quick").fits, "what a caller costs is remembered"


def test_engines_are_told_apart():
    capacity = Capacity(0.85, 25)
    slow = Load("slow", {"cpu:1": 0.020})
    assert capacity.with_another([slow], "never seen").fits
    assert capacity.with_another([QUICK, slow], "quick").utilisation["cpu:1"] == pytest.approx(1.0)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0.0001, 0.1), min_size=1), min_size=1, max_size=5))
def test_one_caller_more_never_makes_room(costs):
    capacity = Capacity(0.85, 25)
    live = [Load("engine", busy) for busy in costs]
    before = capacity.with_another(live, "engine").utilisation
    after = capacity.with_another([*live, Load("engine", costs[-1])], "engine").utilisation
    assert all(after[device] >= share for device, share in before.items())
