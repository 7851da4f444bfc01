"""Gaussians by kernels against the twin that defines them: on an NVIDIA GPU where there is one, otherwise through Triton's interpreter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.actions import ACTIONS
from engines.kernels.presence import available
from engines.splats import plain, render
from engines.splats.avatar import SplatAvatar
from engines.splats.plain import Pictures
from tests import gaussians

fused = pytest.importorskip("engines.splats.fused", reason="Triton is not installed")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = pytest.mark.skipif(not available(DEVICE), reason="needs an NVIDIA GPU or Triton's interpreter")

LEAST_DB = 100.0
"Of float32. Seen with the interpreter: 143 to 155 dB."
STILL = np.zeros(len(ACTIONS), np.float32)


def db(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10((one.cpu() - other).double().square().mean() + 1e-30))


def request(avatar: SplatAvatar, *yaws: float, **size: int):
    return fused.Request(avatar, STILL, gaussians.cameras(*yaws, **size, pitch=3))


def twin(asked) -> Pictures:
    posed = torch.from_numpy(asked.avatar.posed(asked.coefficients))
    return plain.draw(posed, plain.prepared(asked.avatar), asked.cameras)


@pytest.mark.parametrize(("width", "height", "largest"), [(23, 18, 0.03), (17, 34, 0.2)])
def test_agrees_with_the_twin(width: int, height: int, largest: float) -> None:
    asked = request(gaussians.some(70, 5, largest), -12, 9, width=width, height=height)
    asked = replace(asked, coefficients=np.linspace(0, 1, len(ACTIONS)))
    made, wanted = fused.Kernels(DEVICE).pictures([asked]), twin(asked)
    assert db(made.colours, wanted.colours) > LEAST_DB
    assert db(made.alpha, wanted.alpha) > LEAST_DB
    seen = wanted.alpha > 0.01
    assert (made.depths.cpu() - wanted.depths)[seen].abs().max() < 1e-3
    assert made.alpha.max() <= 1


def test_fields_may_lie_in_memory_as_they_like() -> None:
    """Every second Gaussian of twice as many."""
    avatar = gaussians.some(60, 8)
    fields = ("points", "colours", "opacities", "scales", "rotations")
    half = replace(avatar, which=avatar.which // 2, **{name: getattr(avatar, name)[::2] for name in fields})
    asked = request(half, 0, width=16, height=16)
    assert db(fused.Kernels(DEVICE).pictures([asked]).colours, twin(asked).colours) > LEAST_DB


def test_bytes_are_those_of_the_pictures() -> None:
    asked = request(gaussians.some(60, 2), 4, width=18, height=16)
    made = fused.Kernels(DEVICE).draw([asked]).cpu()
    assert (made[..., 3] == 255).all()
    assert (made[..., :3].float() - 255 * twin(asked).colours).abs().max() < 0.51


def test_heads_of_several_callers_fill_one_batch() -> None:
    """Heads of different sizes, of which one is far more than a word of bits."""
    few, many = gaussians.some(5, 1, 0.1), gaussians.some(70, 2)
    asked = [request(few, 0, width=17, height=16), request(many, 5, -5, width=17, height=16)]
    together = fused.Kernels(DEVICE).pictures(asked)
    assert db(together.colours[:1], twin(asked[0]).colours) > LEAST_DB
    assert db(together.colours[1:], twin(asked[1]).colours) > LEAST_DB


def test_what_cannot_be_drawn_harms_nothing_else() -> None:
    avatar = gaussians.some(40, 3)
    places = avatar.points.copy()
    places[:5] = [[np.nan, 0, 0], [0, np.inf, 0], [0, 0, 9], [1e30, 0, 0], [0, 0, 2.7]]
    asked = request(avatar, 0, width=16, height=16)
    made = fused.Kernels(DEVICE).pictures([replace(asked, avatar=replace(avatar, points=places))])
    fields = ("points", "colours", "opacities", "scales", "rotations")
    without = replace(avatar, which=avatar.which * 0, **{name: getattr(avatar, name)[5:] for name in fields})
    assert db(made.colours, twin(request(without, 0, width=16, height=16)).colours) > LEAST_DB


def test_a_wall_hides_what_is_behind() -> None:
    wall = gaussians.together(*[gaussians.ball((0, 0, 0.7), 1.0, 1.0, (1, 1, 1))] * 3)
    both = gaussians.together(wall, gaussians.some(40, 6))
    shown = [fused.Kernels(DEVICE).pictures([request(one, 0, width=16, height=16)]).colours for one in (both, wall)]
    assert db(shown[0], shown[1].cpu()) > LEAST_DB


class TestBatches:
    @pytest.mark.parametrize("wanted", [[24], [10, 10, 10], [50, 1], [24, 24], [1, 23, 25], [0, 3]])
    def test_each_view_is_drawn_once_and_only_the_last_batch_is_not_full(self, wanted: list[int]) -> None:
        found = render.batches(list(enumerate(wanted)))
        drawn = [(whose, view) for batch in found for whose, begin, end in batch for view in range(begin, end)]
        assert drawn == [(whose, view) for whose, views in enumerate(wanted) for view in range(views)]
        sizes = [sum(end - begin for _, begin, end in batch) for batch in found]
        assert all(size == render.VIEWS_AT_ONCE for size in sizes[:-1])

    def test_views_of_two_sizes_come_back_to_who_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(render, "VIEWS_AT_ONCE", 2)
        avatar, seen = gaussians.some(20), []

        class Painter:
            """Paints how many Gaussians there are."""

            def draw(self, requests) -> Tensor:
                seen.append(sum(len(one.cameras) for one in requests))
                pictures = [
                    torch.full(
                        (len(one.cameras), one.cameras.height, one.cameras.width, 4), len(one.avatar), dtype=torch.uint8
                    )
                    for one in requests
                ]
                return torch.cat(pictures)

        asked = [
            (avatar, STILL, gaussians.cameras(0, 1, 2, width=8, height=8)),
            (gaussians.some(7), STILL, replace(gaussians.cameras(0, width=4, height=8), first=9)),
            (gaussians.some(9), STILL, gaussians.cameras(0, width=8, height=8)),
        ]
        shown = render.by_batches(Painter(), asked)  # type: ignore[arg-type]
        assert [tuple(views.images.shape) for views in shown] == [(3, 8, 8, 4), (1, 8, 4, 4), (1, 8, 8, 4)]
        assert [int(views.images[0, 0, 0, 0]) for views in shown] == [20, 7, 9]
        assert [views.first for views in shown] == [0, 9, 0]
        assert max(seen) <= 24
