"""Flow decides with made-up times: no thread, no clock."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clock import StageClock
from pipeline.flow import ANYWAY, LEFT, REPLACED, SPARED, STALE, Flow
from pipeline.frame import Frame


def frame(number: int, at: float = 0.0) -> tuple[StageClock, Frame]:
    return StageClock(at), Frame(np.zeros((2, 2, 3), np.uint8), at, number)


def test_the_newest_frame_takes_the_waiting_place():
    flow = Flow(depth=1)
    for number in range(5):
        flow.offer(*frame(number))
    (work,) = flow.ready(now=0.1)
    assert work.frame.sequence == 4
    assert flow.dropped == {REPLACED: 4}


@pytest.mark.parametrize("kept", [1.0, 0.84, 0.5])
def test_of_a_share_the_others_are_left_out_evenly_and_counted(kept: float):
    flow, taken = Flow(depth=1), []
    flow.kept = kept
    for number in range(100):
        flow.offer(*frame(number))
        for job in flow.ready(now=0.0):
            taken.append(job.frame.sequence)
            flow.settle(job)
    assert len(taken) == pytest.approx(100 * kept, abs=1)
    assert flow.dropped[SPARED] == 100 - len(taken)
    assert set(np.diff(taken)) <= {int(1 // kept), int(-(-1 // kept))}
    flow.kept = 1.0
    flow.offer(*frame(100))
    assert flow.ready(now=0.0), "all of them again"


def test_depth_bounds_the_frames_under_way():
    flow = Flow(depth=2)
    started = []
    for number in range(4):
        flow.offer(*frame(number))
        started += flow.ready(now=0.0)
    assert [work.frame.sequence for work in started] == [0, 1]
    flow.settle(started[0])
    assert [work.frame.sequence for work in flow.ready(now=0.0)] == [3]


def test_a_frame_that_waited_too_long_is_not_shown():
    flow = Flow(depth=1, stale_after=0.5)
    flow.offer(*frame(0, at=1.0))
    assert flow.ready(now=1.6) == []
    assert flow.dropped == {STALE: 1}


def test_where_every_frame_is_late_one_is_shown_now_and_then():
    flow, shown = Flow(depth=1, stale_after=0.5), []
    for number in range(100):  # ten seconds of a machine on which all takes 0.8
        flow.offer(*frame(number, at=number / 10))
        for job in flow.ready(now=number / 10 + 0.8):
            shown.append(job.frame.sequence / 10)
            flow.settle(job)
    assert len(shown) >= 10 / (ANYWAY + 0.2) - 1
    assert np.diff(shown).max() <= ANYWAY + 0.2
    assert flow.dropped[STALE] == 100 - len(shown), "the others are left out, and counted"
    flow.offer(*frame(100, at=10.0))
    assert flow.ready(now=10.1), "and all that is in time again"


def test_a_failed_frame_is_counted_under_its_stage():
    flow = Flow()
    flow.offer(*frame(0))
    (work,) = flow.ready(now=0.0)
    flow.settle(work, failed_in="render")
    assert flow.dropped == {"failed in render": 1}
    assert flow.idle


def test_a_caller_who_left_starts_nothing_more():
    flow = Flow()
    flow.offer(*frame(0))
    flow.close()
    flow.offer(*frame(1))
    assert flow.ready(now=0.0) == []
    assert flow.dropped == {LEFT: 2}


@given(st.lists(st.sampled_from(["offer", "ready", "settle"]), max_size=60), st.integers(1, 4))
def test_no_frame_is_lost_uncounted_and_order_holds(actions: list[str], depth: int):
    flow, offered, started, settled = Flow(depth), 0, [], 0
    for action in actions:
        if action == "offer":
            flow.offer(*frame(offered))
            offered += 1
        elif action == "ready":
            started += flow.ready(now=0.0)
        elif settled < len(started):
            flow.settle(started[settled])
            settled += 1
        assert len(started) - settled <= depth
    sequences = [work.frame.sequence for work in started]
    assert sequences == sorted(set(sequences))
    flow.close()
    assert offered == len(started) + flow.dropped.total()


def test_settling_twice_is_our_mistake():
    flow = Flow()
    flow.offer(*frame(0))
    (work,) = flow.ready(now=0.0)
    flow.settle(work)
    with pytest.raises(ValueError, match="not in list"):
        flow.settle(work)
