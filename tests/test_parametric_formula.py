"""Heads by formula: what they say is true: points on the surface, normals across it, no folds where expressions carry them."""

from __future__ import annotations

import pytest
import torch

from engines.parametric.train import formula


@pytest.fixture(scope="module")
def heads() -> formula.Formulas:
    return formula.Formulas.drawn(3, seed=5, count=600)


def test_points_lie_on_the_surface(heads: formula.Formulas) -> None:
    off = formula.distance(torch.from_numpy(heads.points).double(), heads.who.double()).abs() * 250
    assert off.max() < 1e-3  # millimetres


def test_normals_are_the_slope_by_finite_differences(heads: formula.Formulas) -> None:
    points, who = torch.from_numpy(heads.points).double(), heads.who.double()
    step = 1e-6
    slope = torch.stack(
        [
            (formula.distance(points + step * axis, who) - formula.distance(points - step * axis, who)) / (2 * step)
            for axis in torch.eye(3).double()
        ],
        -1,
    )
    cosine = (torch.nn.functional.normalize(slope, dim=-1) * torch.from_numpy(heads.normals)).sum(-1)
    assert torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).quantile(0.99) < 0.1


@pytest.mark.parametrize("expression", range(formula.EXPRESSION))
def test_no_expression_folds_space(heads: formula.Formulas, expression: int) -> None:
    points = torch.from_numpy(heads.points[:1, ::4]).double().requires_grad_(True)
    what = torch.eye(formula.EXPRESSION)[expression : expression + 1].double()
    posed = points + formula.displacement(points, heads.who[:1].double(), what)
    rows = [torch.autograd.grad(posed[..., k].sum(), points, retain_graph=True)[0] for k in range(3)]
    assert torch.linalg.det(torch.stack(rows, -2)).min() > 0.1


def test_only_the_face_moves(heads: formula.Formulas) -> None:
    points = torch.from_numpy(heads.points)
    for what in torch.eye(formula.EXPRESSION):
        moved = formula.displacement(points, heads.who, what.expand(3, -1)).norm(dim=-1) * 250
        assert moved.max() > 1
        assert moved[points[..., 2] < -0.1].max() < 0.1
