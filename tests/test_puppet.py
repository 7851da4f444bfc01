"""The puppet: it repeats itself exactly, and a face tracker sees it do what its script says."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest

from pipeline import puppet
from pipeline.preprocess.expression import Opening
from pipeline.preprocess.observer import Observer, observe_portrait


@pytest.fixture(scope="module")
def player() -> puppet.Puppet:
    return puppet.Puppet()


@pytest.mark.parametrize("script", [puppet.yaw, puppet.mouth, puppet.blink])
def test_the_script_begins_again_without_a_jump(script):
    times = np.arange(0, puppet.PERIOD, 1 / puppet.RATE)
    np.testing.assert_allclose([script(t) for t in times], [script(t + puppet.PERIOD) for t in times], atol=1e-9)
    values = [script(t) for t in np.append(times, puppet.PERIOD)]
    assert max(abs(b - a) for a, b in pairwise(values)) < 0.5 * (max(values) - min(values))


def test_the_script_uses_its_range():
    times = np.arange(0, puppet.PERIOD, 1 / puppet.RATE)
    for script, low, high in ((puppet.yaw, -15, 15), (puppet.mouth, 0.05, 0.8), (puppet.blink, 0.0, 0.9)):
        values = [script(t) for t in times]
        assert min(values) <= low
        assert max(values) >= high


def test_scripted_observations_have_the_asked_for_turn_and_openings():
    portrait = observe_portrait(puppet.puppet_portrait())
    seen = puppet.scripted(portrait, yaw=20, pitch=10, roll=-8, mouth=0.5, blink=1.0)
    found = seen.head_rotation
    assert np.degrees(np.arctan2(found[0, 2], found[2, 2])) == pytest.approx(20, abs=0.1)
    assert np.degrees(np.arcsin(found[1, 2])) == pytest.approx(10, abs=0.1)
    assert np.degrees(np.arctan2(found[1, 0], found[1, 1])) == pytest.approx(-8, abs=0.1)
    rest, now = Opening.of(portrait.neutral), Opening.of(seen.shape)
    assert now.mouth - rest.mouth == pytest.approx(0.5 * puppet.WIDEST_MOUTH, abs=0.01)
    assert now.right_eye < 0.3 * rest.right_eye
    still = puppet.scripted(portrait)
    np.testing.assert_array_equal(still.shape, still.neutral)


def test_a_frame_depends_on_the_time_alone(player):
    once = player.frame(1.28)
    player.frame(5.0)
    again = player.frame(1.28)
    np.testing.assert_array_equal(once.pixels, again.pixels)
    assert once.pixels.shape == (puppet.HEIGHT, puppet.WIDTH, 3)
    assert [frame.captured for frame in islice(player.frames(), 3)] == [0.0, 0.04, 0.08]


def test_a_tracker_sees_what_the_script_says(player):
    times = np.arange(0, puppet.PERIOD, 1 / puppet.RATE)
    with Observer() as observer:
        seen = [observer.observe(player.frame(t)) for t in times]
    assert min(one.presence for one in seen[10:]) == 1.0
    openings = [Opening.of(one.shape) for one in seen]
    yaws = [np.degrees(np.arctan2(one.head_rotation[0, 2], one.head_rotation[2, 2])) for one in seen]
    truth = {name: [getattr(puppet, name)(t) for t in times] for name in ("yaw", "mouth", "blink")}
    assert np.corrcoef(truth["yaw"], yaws)[0, 1] > 0.95
    assert 0.7 < np.polyfit(truth["yaw"], yaws, 1)[0] < 1.2
    assert np.corrcoef(truth["mouth"], [one.mouth for one in openings])[0, 1] > 0.9
    assert np.corrcoef(truth["blink"], [one.right_eye + one.left_eye for one in openings])[0, 1] < -0.6
