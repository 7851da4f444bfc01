"""Extraction coarse to fine: the surface that a dense grid gives, for a fraction of its points; heads by formula are the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from engines import mesh
from engines.parametric import extraction, shaping
from engines.parametric.extraction import HEAD
from engines.parametric.train import formula

pytest.importorskip("skimage", reason="meshes are found by scikit-image")
SIDE = 64


@pytest.fixture(scope="module")
def truth() -> formula.Truth:
    return formula.truth(formula.drawn(1, 3))


def ball(points: Tensor, radius: float = 0.4, middle: float = 0.0) -> Tensor:
    return (points - middle).norm(dim=-1) - radius


def test_coarse_to_fine_agrees_with_dense(truth: formula.Truth) -> None:
    dense = extraction.dense(truth, HEAD, SIDE)
    quick, band, evaluated = extraction.coarse_to_fine(truth, HEAD, SIDE, steepest=1.3)
    assert ((dense > 0) == (quick > 0)).all()
    np.testing.assert_allclose(quick[band], dense[band], atol=1e-6)
    assert evaluated < 0.6 * SIDE**3


def test_the_finer_the_grid_the_smaller_the_share() -> None:
    shares = []
    for side in (32, 64, 128):
        _, _, evaluated = extraction.coarse_to_fine(ball, HEAD, side, 1.1)
        shares.append(evaluated / side**3)
    assert shares[1] < 0.7 * shares[0]
    assert shares[2] < 0.7 * shares[1]


def test_a_ball_is_where_it_is_and_faces_outwards() -> None:
    found = extraction.surface(ball, side=SIDE)
    np.testing.assert_allclose(np.linalg.norm(found.vertices, axis=1), 0.4, atol=1e-3)
    a, b, c = (found.vertices[found.faces[:, k]].astype(np.float64) for k in range(3))
    assert (a * np.cross(b, c)).sum() / 6 == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.01)


def test_the_largest_component_stays_and_the_rest_is_told() -> None:
    def two(points: Tensor) -> Tensor:
        return torch.minimum(ball(points, 0.35), ball(points, 0.06, 0.5))

    found = extraction.surface(two, side=SIDE)
    assert len(found.dropped) == 1
    assert 0 < found.dropped[0] < len(found.vertices) / 5
    assert np.linalg.norm(found.vertices, axis=1).max() < 0.36


@pytest.mark.parametrize("field", [ball, lambda points: points[..., 1]])
def test_what_leaves_the_box_is_closed_too(field: extraction.Field) -> None:
    found = extraction.surface(field, side=32)
    edges = np.sort(np.concatenate([found.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_no_surface_says_so() -> None:
    with pytest.raises(mesh.NoSurface, match="goes from"):
        extraction.surface(lambda points: points.norm(dim=-1) + 1, side=32)


def test_a_slope_steeper_than_one_is_measured() -> None:
    assert extraction.steepness(lambda points: 3 * ball(points), HEAD) == pytest.approx(3.3, rel=0.01)
    assert extraction.steepness(lambda points: 0.2 * ball(points), HEAD) == pytest.approx(1.1, rel=0.01)


def test_shaping_keeps_the_face_fine_and_lies_on_the_surface(truth: formula.Truth) -> None:
    vertices, triangles, found = shaping.shape(truth, SIDE)
    assert len(vertices) < 0.7 * len(found.vertices)
    assert triangles.max() == len(vertices) - 1
    fine = ((vertices > shaping.FACE.low) & (vertices < shaping.FACE.high)).all(1)
    assert fine.mean() > 0.4
    off = truth(torch.from_numpy(vertices)[None]).abs() * 250
    assert off.mean() < 0.05  # millimetres
