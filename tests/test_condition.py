"""How a channel is said to go, by made-up times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.channels.condition import (
    FIRST_PICTURE,
    LARGE_ENOUGH,
    NO_FACE_AFTER,
    SMALLEST,
    STILL_AFTER,
    TOO_FAR_AFTER,
    UNDECODED_AFTER,
    Condition,
    Course,
    Facts,
    State,
)
from server.webrtc.backlog import LOST, NO_KEYFRAME, TOO_SLOW

GOING = Facts(connected=True, arrived=None, decoded=None)


def after(*facts: tuple[float, Facts]) -> Condition:
    course = Course(0.0)
    for now, one in facts:
        course.update(one, now)
    return course.at(facts[-1][0])


def going(now: float, **more: object) -> tuple[float, Facts]:
    return now, replace(Facts(connected=True, arrived=now, decoded=now), **more)  # type: ignore[arg-type]


def test_it_is_connecting_until_its_first_picture():
    assert after((5.0, Facts(connected=False, arrived=None, decoded=None))).state is State.CONNECTING
    assert after((0.0, GOING), (FIRST_PICTURE - 0.1, GOING)).state is State.CONNECTING
    assert after((0.0, GOING), going(1.0)) == Condition(State.LIVE, "", 0.0)


def test_a_connected_caller_who_sends_nothing_is_not_live():
    told = after((0.0, GOING), (FIRST_PICTURE + 0.1, GOING))
    assert (told.state, told.why) == (State.UNDECODED, "no picture has come")


def test_of_what_cannot_be_decoded_the_reason_of_late_is_told():
    early = replace(GOING, arrived=1.0, lost={"too large": 30})
    late = replace(GOING, arrived=6.0, lost={"too large": 31, "no keyframe": 20})
    assert after((0.0, GOING), (5.0, replace(early, arrived=5.0))).why == "too large"
    told = after((0.0, GOING), (1.0, early), (6.0, late))
    assert (told.state, told.why) == (State.UNDECODED, "no keyframe")
    assert after((0.0, GOING), (6.0, replace(late, lost={}))).why == "pictures come, and none of them can be decoded"


def test_a_source_that_stands_still_is_told_from_one_that_cannot_be_decoded_any_more():
    now = 10 + STILL_AFTER + 0.1
    still = Facts(connected=True, arrived=10.0, decoded=10.0)
    assert after(going(10.0), (now, still)).state is State.STILL
    now = 10 + UNDECODED_AFTER + 0.1
    assert after(going(10.0), (now, replace(still, arrived=now, lost={"broken": 9}))) == Condition(
        State.UNDECODED, "broken", 0.0
    )


def test_a_busy_machine_that_waits_for_a_keyframe_is_not_said_to_decode_nothing():
    looks = [going(10.0)]
    for number in range(1, 16):
        lost = {TOO_SLOW: 3, NO_KEYFRAME: 6 * number}
        looks.append((10 + number / 4, Facts(connected=True, arrived=10 + number / 4, decoded=10.0, lost=lost)))
        assert after(*looks).state is State.LIVE
    looks.append(going(14.1, lost={TOO_SLOW: 3, NO_KEYFRAME: 96}))
    assert after(*looks).state is State.LIVE


@pytest.mark.parametrize("cause", [TOO_SLOW, LOST, "pictures cannot be decoded"])
def test_what_made_a_keyframe_necessary_is_told_and_not_that_one_is_waited_for(cause: str):
    looks = [going(10.0)]
    for number in range(1, 30):
        lost = {cause: 1, NO_KEYFRAME: 6 * number}
        looks.append((10 + number / 4, Facts(connected=True, arrived=10 + number / 4, decoded=10.0, lost=lost)))
    assert (after(*looks).state, after(*looks).why) == (State.UNDECODED, cause)
    looks.append(going(20.0, lost={cause: 1, NO_KEYFRAME: 200}))
    looks += [
        (
            20 + number,
            Facts(connected=True, arrived=20.0 + number, decoded=20.0, lost={cause: 1, NO_KEYFRAME: 200 + number}),
        )
        for number in range(1, 6)
    ]
    assert after(*looks).why == NO_KEYFRAME, "of late nothing else has happened"


def test_a_face_may_turn_away_for_a_moment():
    assert after(going(1.0), going(2.0, presence=0.0)).state is State.LIVE
    gone = [going(1.0), *(going(1.0 + number, presence=0.0) for number in range(1, 5))]
    assert gone[-1][0] - 1.0 > NO_FACE_AFTER
    assert after(*gone).state is State.NO_FACE
    assert after(*gone, going(6.0)).state is State.LIVE


def test_a_face_may_be_small_for_a_moment_and_then_is_asked_to_come_closer():
    far = [going(float(number), face=SMALLEST - 1) for number in range(4)]
    assert after(*far[:3]).state is State.LIVE
    assert far[3][0] > TOO_FAR_AFTER
    assert after(*far).state is State.TOO_FAR
    assert after(*far, going(4.0)).state is State.TOO_FAR, "unseen for a moment, it has not come closer"
    assert after(*far, going(4.0, face=SMALLEST + 1)).state is State.TOO_FAR, "the limit is no place to tremble at"
    assert after(*far, going(4.0, face=SMALLEST * LARGE_ENOUGH)).state is State.LIVE
    unseen = [going(4.0 + number, presence=0.0) for number in range(4)]
    assert after(*far, *unseen).state is State.NO_FACE
    assert after(*far, *unseen, going(8.0, face=SMALLEST - 1)).state is State.LIVE


def test_what_is_worse_is_said_first():
    slowed = {"slowed": "the processor is busy"}
    assert after(going(1.0, **slowed)) == Condition(State.SLOWED, "the processor is busy", 0.0)
    unseen = [going(float(number), presence=0.0, **slowed) for number in range(5)]
    assert after(*unseen).state is State.NO_FACE
    assert after(going(1.0, failing="cuda:0: no answer", **slowed)).state is State.FAILING


def test_it_says_since_when():
    course = Course(0.0)
    changes = [course.update(*reversed(going(number / 2))) for number in range(9)]  # type: ignore[arg-type]
    assert changes == [True] + 8 * [False]
    assert course.at(4.0).seconds == 4.0


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (GOING, "nothing could be decoded for 30 s: no picture has come"),
        (replace(GOING, arrived=0.0, decoded=0.0), "no new picture came for 600 s"),
    ],
)
def test_who_keeps_a_place_for_nothing_ends_with_the_reason(facts: Facts, reason: str):
    course = Course(0.0)
    ends = []
    for now in range(700):
        course.update(facts, float(now))
        ends.append(course.overdue(float(now), undecoded=30.0, still=600.0))
    assert ends[0] == ""
    assert ends[-1] == reason
    assert ends[:30] == [""] * 30


def test_a_call_that_goes_on_never_has_to_end():
    course = Course(0.0)
    for now in range(2000):
        course.update(*reversed(going(float(now), presence=0.0)))  # type: ignore[arg-type]
        assert course.overdue(float(now), undecoded=30.0, still=600.0) == ""


TIMES = st.none() | st.floats(0, 100)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans(), TIMES, TIMES, st.sampled_from([0.0, 1.0])), max_size=20))
def test_whatever_comes_there_is_one_state_and_it_never_lasts_longer_than_the_call(looks):
    course = Course(0.0)
    for now, connected, arrived, decoded, presence in sorted(looks, key=lambda look: look[0]):
        course.update(Facts(connected, arrived, decoded, presence=presence), now)
        told = course.at(now)
        assert 0 <= told.seconds <= round(now, 1)
        assert told.state is not State.LIVE or decoded is not None
