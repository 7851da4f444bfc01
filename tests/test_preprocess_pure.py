"""The parts of preprocess that decide without pictures: rigid fit, smoothing, following, neutral, suitability."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import PortraitRejected
from pipeline.preprocess.canonical import CANONICAL
from pipeline.preprocess.expression import JAW, LIDS, SMILE, Opening, at_rest
from pipeline.preprocess.following import Place, Presence, most_prominent, the_same
from pipeline.preprocess.neutral import TYPICAL, Neutral
from pipeline.preprocess.rigid import fit, nearest_rotation
from pipeline.preprocess.smoothing import OneEuro, Response
from pipeline.preprocess.suitability import Seen, require

RATE = 25.0
angles = st.floats(-3.0, 3.0)


def rotation(vector: tuple[float, float, float]) -> np.ndarray:
    x, y, z = vector
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.linalg.norm(vector)
    if turn < 1e-9:
        return np.eye(3)
    return np.eye(3) + np.sin(turn) / turn * skew + (1 - np.cos(turn)) / turn**2 * skew @ skew


@given(st.tuples(angles, angles, angles), st.floats(0.01, 100), st.tuples(angles, angles, angles))
def test_the_fit_finds_any_similarity_again(turn, scale, shift):
    source = CANONICAL[::7].astype(np.float64)
    found = fit(source, scale * source @ rotation(turn).T + shift)
    assert found.scale == pytest.approx(scale)
    np.testing.assert_allclose(found.rotation, rotation(turn), atol=1e-9)
    np.testing.assert_allclose(found.undo(found.apply(source)), source, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_the_fit_never_mirrors(seed):
    source, target = np.random.default_rng(seed).normal(size=(2, 12, 3))
    assert np.linalg.det(fit(source, target).rotation) == pytest.approx(1.0)
    assert np.linalg.det(nearest_rotation(source[:3])) == pytest.approx(1.0)


def test_the_filter_lets_a_leap_through_and_calms_trembling():
    noise = np.random.default_rng(0).normal(scale=0.01, size=200)
    leap = noise + np.where(np.arange(200) >= 100, 1.0, 0.0)
    smooth = OneEuro(Response(rest_hz=2.0, per_speed=5.0))
    seen = np.array([smooth.update(np.array(value), i / RATE) for i, value in enumerate(leap)])
    assert np.abs(np.diff(seen[:100])).mean() < 0.5 * np.abs(np.diff(leap[:100])).mean()
    assert seen[101] > 0.8


def test_the_filter_is_still_where_time_is():
    smooth = OneEuro(Response(1.0, 0.0))
    first = smooth.update(np.zeros(3), 1.0)
    np.testing.assert_array_equal(smooth.update(np.ones(3), 1.0), first)
    np.testing.assert_array_equal(smooth.update(np.ones(3), 0.5), first)


@given(st.floats(-5, 5), st.lists(st.floats(0.001, 1.0), min_size=1, max_size=20))
def test_the_filter_leaves_a_constant_alone(value, steps):
    smooth = OneEuro(Response(2.0, 5.0))
    for now in np.cumsum(steps):
        assert smooth.update(np.array(value), float(now)) == pytest.approx(value)


def presences(seen: list[bool], rate: float = RATE) -> tuple[list[float], Presence]:
    presence = Presence()
    return [presence.update(one, i / rate) for i, one in enumerate(seen)], presence


@pytest.mark.parametrize("rate", [5.0, 25.0, 60.0])
def test_a_lost_face_is_held_then_eased_to_rest_within_a_second_and_back_within_0_3(rate):
    second = round(rate)
    levels, _ = presences([True] * second + [False] * 2 * second + [True] * second, rate)
    lost, back = second, 3 * second
    assert levels[lost - 1] == 1.0
    assert levels[lost + int(0.2 * rate) - 1] == 1.0
    assert levels[lost - 1 + second] == 0.0
    assert levels[back + int(0.3 * rate)] == pytest.approx(1.0)
    falling = np.diff(levels[lost:back])
    assert (falling <= 0).all()
    assert falling.min() >= -1.0 / 0.6 / rate - 1e-6


def test_one_missed_frame_is_not_seen():
    levels, _ = presences([True] * 20 + [False] + [True] * 5)
    assert min(levels[10:]) == 1.0


def test_a_face_is_waited_for_as_long_as_it_was_worth():
    _, followed_long = presences([True] * 50 + [False] * 15)
    assert followed_long.waiting
    _, gone = presences([True] * 50 + [False] * 30)
    assert not gone.waiting
    _, mistake = presences([True] * 2 + [False] * 3)
    assert not mistake.waiting


@given(st.lists(st.tuples(st.booleans(), st.floats(-0.1, 0.5)), max_size=60))
def test_presence_stays_in_range_whatever_the_clock_does(events):
    presence, now = Presence(), 0.0
    for seen, step in events:
        now += step
        assert 0.0 <= presence.update(seen, now) <= 1.0


def test_the_face_that_is_followed_is_the_nearest_not_the_largest():
    caller, visitor = Place(0.3, 0.5, 0.15), Place(0.6, 0.5, 0.25)
    assert most_prominent([caller, visitor]) == 1
    assert the_same(Place(0.31, 0.5, 0.15), [visitor, caller]) == 1
    assert the_same(Place(0.31, 0.5, 0.15), [visitor]) is None
    assert the_same(caller, []) is None
    assert most_prominent([]) is None


def test_a_face_out_of_sight_may_have_moved_further():
    before, after = Place(0.3, 0.5, 0.15), Place(0.42, 0.5, 0.15)
    assert not after.could_have_come_from(before)
    assert after.could_have_come_from(before, unseen=0.5)


def test_the_fields_move_what_they_say_by_what_they_say():
    rest = Opening.of(CANONICAL)
    assert Opening.of(CANONICAL + JAW).mouth - rest.mouth == pytest.approx(1.0, abs=1e-4)
    assert rest.right_eye - Opening.of(CANONICAL + 0.5 * LIDS[0]).right_eye == pytest.approx(0.5, abs=1e-4)
    assert rest.left_eye - Opening.of(CANONICAL + 0.5 * LIDS[1]).left_eye == pytest.approx(0.5, abs=1e-4)
    wider = np.linalg.norm((CANONICAL + SMILE)[61] - (CANONICAL + SMILE)[291])
    assert wider - np.linalg.norm(CANONICAL[61] - CANONICAL[291]) == pytest.approx(2.0, abs=0.2)
    mirrored = JAW * [-1, 1, 1]
    np.testing.assert_allclose(np.sort(mirrored[:468], axis=0), np.sort(JAW[:468], axis=0), atol=0.05)


@given(st.floats(0, 2), st.floats(0, 0.9), st.floats(0, 0.9))
def test_at_rest_mouths_are_shut_and_eyes_are_open(mouth, right, left):
    shape = CANONICAL + mouth * JAW + 0.6 * right * LIDS[0] + 0.6 * left * LIDS[1]
    rested = Opening.of(at_rest(shape, TYPICAL))
    assert rested.mouth == pytest.approx(TYPICAL.mouth, abs=1e-4)
    assert rested.right_eye == pytest.approx(TYPICAL.right_eye, abs=1e-4)
    assert rested.left_eye == pytest.approx(TYPICAL.left_eye, abs=1e-4)
    np.testing.assert_allclose(at_rest(at_rest(shape, TYPICAL), TYPICAL), at_rest(shape, TYPICAL), atol=1e-4)


BASE = at_rest(CANONICAL, Opening(mouth=0.06, right_eye=0.85, left_eye=0.85))
"A made-up caller: lips met, eyes a little smaller than typical."


def talking(second: float) -> np.ndarray:
    """Talks all the time, blinks every three seconds."""
    shape = BASE + (0.6 - 0.6 * np.cos(2 * np.pi * 3 * second)) * JAW
    shut = 0.6 * max(0.0, 1 - abs(second % 3 - 1.5) / 0.15)
    return shape + shut * (LIDS[0] + LIDS[1])


BEGINNINGS = {
    "at rest": (BASE, 0.0),
    "with an open mouth": (BASE + 1.3 * JAW, 0.0),
    "with closed eyes": (BASE + 0.6 * LIDS[0] + 0.6 * LIDS[1], 0.0),
    "with a smile": (BASE + 0.6 * SMILE, 0.0),
    "with the head turned, which bends the shape": (BASE + np.abs(BASE[:, :1]) * [0.05, 0.0, 0.02], 40.0),
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_the_neutral_finds_the_rest_of_someone_who_begins(beginning):
    neutral, (first, turned) = Neutral(), BEGINNINGS[beginning]
    estimates = [neutral.update(first, turned, i / RATE) for i in range(15)]
    estimates += [neutral.update(talking(i / RATE), 3.0, (15 + i) / RATE) for i in range(int(6 * RATE))]
    found = Opening.of(estimates[-1])
    truth = Opening.of(BASE)
    assert found.mouth == pytest.approx(truth.mouth, abs=0.1)
    assert found.right_eye == pytest.approx(truth.right_eye, abs=0.1)
    assert found.left_eye == pytest.approx(truth.left_eye, abs=0.1)
    assert np.abs(estimates[-1] - BASE).mean() < 0.06
    steps = [np.abs(b - a).max() for a, b in pairwise(estimates)]
    assert max(steps) < 0.12


@pytest.mark.parametrize("opening", [0.5, 0.6, 1.25])
def test_narrow_and_wide_eyes_are_not_taken_for_tired_or_startled_ones(opening):
    lids = LIDS[0] + LIDS[1]
    shape = at_rest(CANONICAL, Opening(0.06, 1.3, 1.3)) - (opening - 1.3) * lids
    neutral = Neutral()
    for i in range(int(6 * RATE)):
        shut = 0.35 * max(0.0, 1 - abs(i / RATE % 3 - 1.5) / 0.15)
        found = Opening.of(neutral.update(shape + shut * lids, 3.0, i / RATE))
        assert i < 5 * RATE or found.right_eye == pytest.approx(opening, abs=0.06)


def test_a_yawn_or_a_long_look_away_does_not_move_the_neutral():
    neutral = Neutral()
    talk = [neutral.update(talking(i / RATE), 2.0, i / RATE) for i in range(int(10 * RATE))]
    yawn = [neutral.update(BASE + 2.0 * JAW, 2.0, 10 + i / RATE) for i in range(int(2 * RATE))]
    bent = BASE + np.abs(BASE[:, :1]) * [0.08, 0.0, 0.03]
    away = [neutral.update(bent, 45.0, 12 + i / RATE) for i in range(int(5 * RATE))]
    assert np.abs(yawn[-1] - talk[-1]).max() < 0.1
    assert np.abs(away[-1] - talk[-1]).max() < 0.15


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1), st.floats(0, 180), st.floats(-0.1, 5)), max_size=30))
def test_the_neutral_stays_a_face_whatever_comes(events):
    neutral, now = Neutral(), 0.0
    for mouth, blink, turned, step in events:
        now += step
        found = neutral.update(CANONICAL + mouth * JAW + 0.6 * blink * (LIDS[0] + LIDS[1]), turned, now)
        assert np.isfinite(found).all()
        assert np.abs(found - CANONICAL).max() < 1.0
        assert Opening.of(found).mouth < 0.75


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen(()), "no_face"),
        (Seen((20.0,)), "too_small"),
        (Seen((200.0, 150.0)), "several_faces"),
        (Seen((200.0,), luma=9.0, contrast=8.0), "too_dark"),
        (Seen((200.0,), luma=170.0, contrast=8.0), "too_flat"),
        (Seen((200.0,), yaw=-60.0), "too_turned"),
        (Seen((200.0,), pitch=55.0), "too_turned"),
    ],
)
def test_a_rejection_says_which_and_what_to_do(seen, reason):
    with pytest.raises(PortraitRejected) as rejected:
        require(seen)
    assert rejected.value.reason == reason
    assert any(word in str(rejected.value) for word in ("Use", "Move", "Cut", "Turn", "Look"))


def test_bystanders_and_three_quarter_views_are_accepted():
    require(Seen((200.0, 60.0), yaw=31.0, pitch=-12.0))


def test_dark_skin_is_not_darkness():
    require(Seen((200.0,), luma=20.0, contrast=30.0))
