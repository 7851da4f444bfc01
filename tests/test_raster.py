"""The rasteriser: its rules on triangles small enough to reckon by hand, and its forms against the plain one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engines.kernels.presence import available
from engines.raster import plain
from engines.raster.plain import Fragments
from engines.rome import bust

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Form = Callable[[Tensor, Tensor, int], Fragments]


def bands(screen: Tensor, faces: Tensor, side: int) -> Fragments:
    return pytest.importorskip("engines.raster.bands", reason="numba is not installed").rasterised(screen, faces, side)


def kernel(screen: Tensor, faces: Tensor, side: int) -> Fragments:
    if not available(DEVICE):
        pytest.skip("needs an NVIDIA GPU or Triton's interpreter")
    from engines.kernels import raster

    return Fragments(*(part.cpu() for part in raster.rasterised(screen.to(DEVICE), faces.to(DEVICE), side)))


@pytest.fixture(params=[plain.rasterised, bands, kernel], ids=["plain", "bands", "kernel"])
def drawn(request: pytest.FixtureRequest) -> Form:
    return request.param


def triangles(*corners: list[tuple[float, float, float]]) -> tuple[Tensor, Tensor]:
    """A view of separate triangles."""
    screen = torch.tensor(corners, dtype=torch.float32).view(1, -1, 3)
    return screen, torch.arange(3 * len(corners), dtype=torch.int32).view(-1, 3)


def halves(z: float) -> list[tuple[float, float, float]]:
    """The picture's lower left half, up to the diagonal through its samples."""
    return [(-1, -1, z), (1, 1, z), (-1, 1, z)]


def test_a_sample_on_an_edge_belongs_to_neither_side(drawn: Form) -> None:
    seen = drawn(*triangles(halves(0), [(-1, -1, 0), (1, -1, 0), (1, 1, 0)]), 4)
    assert (seen.face[0].diagonal() == -1).all()
    assert seen.face[0].tolist() == [[-1, 1, 1, 1], [0, -1, 1, 1], [0, 0, -1, 1], [0, 0, 0, -1]]
    assert seen.alpha[0, 0].diagonal().sum() == 0


def test_the_nearer_wins_and_of_equals_the_first(drawn: Form) -> None:
    far, near = halves(1), halves(-1)
    assert set(drawn(*triangles(far, near, near), 4).face.unique().tolist()) == {-1, 1}
    assert set(drawn(*triangles(near, far, near), 4).face.unique().tolist()) == {-1, 0}


def test_either_winding_is_drawn_and_a_sliver_is_not(drawn: Form) -> None:
    turned = [halves(0)[k] for k in (0, 2, 1)]
    assert (drawn(*triangles(turned), 4).face == drawn(*triangles(halves(0)), 4).face).all()
    sliver = [(-1.0, -1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 1.0 + 4e-9, 0.0)]
    assert (drawn(*triangles(sliver), 4).face == -1).all()


def test_places_on_a_triangle_are_linear_across_the_screen(drawn: Form) -> None:
    screen, faces = triangles([(-1, -1, 0), (3, -1, 0), (-1, 3, 0)])
    seen = drawn(screen, faces, 8)
    value = plain.interpolated(seen, screen[0, faces.long()][..., :2])
    centres = -1 + (2 * torch.arange(8) + 1) / 8
    torch.testing.assert_close(value[0, 0], centres.expand(8, 8), atol=1e-6, rtol=0)
    torch.testing.assert_close(value[0, 1], centres[:, None].expand(8, 8), atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_drawn(drawn: Form, bad: float) -> None:
    for axis in range(3):
        screen, faces = triangles(halves(0), halves(1))
        screen[0, 1, axis] = bad
        assert set(drawn(screen, faces, 4).face.unique().tolist()) == {-1, 1}


def test_what_lies_outside_the_picture_costs_nothing_and_is_cut(drawn: Form) -> None:
    screen, faces = triangles([(5, 5, 0), (6, 5, 0), (5, 6, 0)], [(-9, -9, 0), (30, -9, 0), (-9, 30, 0)])
    assert (drawn(screen, faces, 4).face == 1).all()


def test_a_head_from_two_sides_is_the_same_in_every_form(drawn: Form) -> None:
    head = bust.tensors(9, 12)
    views = []
    for degrees in (-20.0, 35.0):
        cos, sin = torch.tensor(degrees).deg2rad().cos(), torch.tensor(degrees).deg2rad().sin()
        turn = torch.tensor([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
        views.append(head["template"] @ turn.T * torch.tensor([4.5, -4.5, -4.5]) + torch.tensor([0, 0, 10.0]))
    expected = plain.rasterised(torch.stack(views), head["faces"], 32)
    seen = drawn(torch.stack(views), head["faces"], 32)
    assert (expected.face >= 0).float().mean() > 0.2
    assert (seen.face == expected.face).all()
    torch.testing.assert_close(seen.barycentric, expected.barycentric, atol=1e-6, rtol=0)
