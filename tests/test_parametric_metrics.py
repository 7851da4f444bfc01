"""Scores of surfaces: equal to their definition by brute force, in millimetres, with the floor that sampling alone gives."""

from __future__ import annotations

import numpy as np
import pytest

from engines.parametric.train import metrics
from engines.parametric.train.metrics import Cloud, UnitsRejected

pytest.importorskip("scipy")


def sphere(count: int, radius: float = 0.4, seed: int = 0) -> Cloud:
    directions = np.random.default_rng(seed).standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return Cloud(directions * radius, directions)


def by_brute_force(predicted: Cloud, truth: Cloud) -> tuple[float, float, float]:
    apart = np.linalg.norm(predicted.points[:, None] - truth.points[None], axis=-1) * 250
    alike = np.abs(predicted.normals @ truth.normals.T)
    there, back = apart.min(0), apart.min(1)
    consistent = (
        alike[apart.argmin(0), np.arange(len(there))].mean() + alike[np.arange(len(back)), apart.argmin(1)].mean()
    ) / 2
    precision, recall = (back <= 1).mean(), (there <= 1).mean()
    return (there.mean() + back.mean()) / 2, consistent, 2 * precision * recall / max(precision + recall, 1e-12)


def test_scores_are_their_definition() -> None:
    predicted, truth = sphere(400, 0.402, 1), sphere(300, 0.4, 2)
    found = metrics.scores(predicted, truth, area=4 * np.pi * 0.16)
    chamfer, consistent, f1 = by_brute_force(predicted, truth)
    assert found.chamfer_l1 == pytest.approx(chamfer)
    assert found.normal_consistency == pytest.approx(consistent)
    assert found.f[1.0] == pytest.approx(f1)
    assert found.samples == 300


def test_two_samples_of_one_surface_are_the_floor_apart() -> None:
    """0.5 sqrt(area / n): the share of a score that is sampling."""
    area = 4 * np.pi * 0.16
    found = metrics.scores(sphere(20000, seed=1), sphere(20000, seed=2), area)
    assert found.chamfer_l1 == pytest.approx(found.floor, rel=0.05)
    assert found.f[5.0] == pytest.approx(1.0, abs=1e-3)


def test_a_sample_of_a_mesh_is_even_and_knows_its_area() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    cloud, area = metrics.sample(square, np.array([[0, 1, 2], [0, 2, 3]]), 8000, np.random.default_rng(0))
    assert area == pytest.approx(1.0)
    np.testing.assert_allclose(cloud.normals, [[0, 0, 1]] * 8000, atol=1e-12)
    assert np.histogram2d(cloud.points[:, 0], cloud.points[:, 1], 4)[0].min() > 350


@pytest.mark.parametrize(
    ("scale", "said"), [(250.0, "millimetres: divide by 250"), (0.1, "metres: multiply by 4"), (np.nan, "not finite")]
)
def test_other_units_are_refused(scale: float, said: str) -> None:
    wrong = sphere(50)
    with pytest.raises(UnitsRejected, match=said):
        metrics.scores(Cloud(wrong.points * scale, wrong.normals), sphere(50), 1.0)
    with pytest.raises(UnitsRejected, match="no predicted points"):
        metrics.scores(wrong.where(np.zeros(50, bool)), sphere(50), 1.0)
