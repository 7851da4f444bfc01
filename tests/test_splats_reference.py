"""The twin beside gsplat's own torch reference (Apache-2.0): where ellipses lie, which shape they have, and what comes of blending them."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.splats import plain
from tests import gaussians

pytest.importorskip("gsplat", reason="gsplat is not installed")
LEAST_DB = 90.0
"Seen: 137 to 141 dB."


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """gsplat/cuda/_torch_impl.py by itself: the package about it would look for a compiler. It wants two sums along rays of nerfacc,
    whose own need CUDA."""
    rays = ModuleType("nerfacc")
    vars(rays).update(render_weight_from_alpha=weights, accumulate_along_rays=summed)
    monkeypatch.setitem(sys.modules, "nerfacc", rays)
    package = find_spec("gsplat")
    assert package is not None
    assert package.origin is not None
    spec = spec_from_file_location("gsplat_reference", Path(package.origin).parent / "cuda" / "_torch_impl.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def weights(alphas: Tensor, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, None]:
    """[M]: alpha times what those before it on its ray let through."""
    through, found = torch.ones(n_rays), []
    for alpha, ray in zip(alphas, ray_indices, strict=True):
        found.append(alpha * through[ray])
        through[ray] *= 1 - alpha
    return torch.stack(found), None


def summed(weights: Tensor, values: Tensor | None, ray_indices: Tensor, n_rays: int) -> Tensor:
    told = torch.ones(len(weights), 1) if values is None else values
    return torch.zeros(n_rays, told.shape[1]).index_add_(0, ray_indices, told * weights[:, None])


@pytest.mark.parametrize(("count", "largest", "width", "height"), [(300, 0.02, 18, 14), (40, 0.3, 14, 18)])
def test_the_twin_is_what_gsplat_says(
    reference: ModuleType, count: int, largest: float, width: int, height: int
) -> None:
    avatar, cameras = (
        gaussians.some(count, 4, largest),
        gaussians.cameras(-14, 3, 17, width=width, height=height, pitch=5),
    )
    points, shapes = gaussians.points(avatar), plain.prepared(avatar)
    covariances, _ = reference._quat_scale_to_covar_preci(
        torch.from_numpy(avatar.rotations), torch.from_numpy(avatar.scales), compute_preci=False
    )
    look = torch.eye(4).repeat(len(cameras), 1, 1)
    look[:, :3] = torch.from_numpy(plain.world2cam(cameras)).float()
    lens = torch.from_numpy(cameras.intrinsics * np.array([[[width], [height], [1]]], np.float32))
    radii, middles, depths, conics, _ = reference._fully_fused_projection(
        points, covariances, look, lens, width, height
    )
    ours = plain.projected(points, shapes, cameras)
    seen = (radii > 0).all(-1)
    torch.testing.assert_close(ours.middles[seen], middles[seen], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(ours.conics[seen], conics[seen], rtol=1e-3, atol=1e-5)
    order = depths.argsort(1)
    views, which, pixels = fragments(middles, conics, shapes.opacities, order, width, height)
    told = shapes.colours.expand(len(cameras), -1, -1), shapes.opacities.expand(len(cameras), -1)
    colours, alpha = reference.accumulate(middles, conics, told[1], told[0], which, pixels, views, width, height)
    drawn = plain.draw(points, shapes, cameras)
    for made, wanted in ((drawn.colours, colours), (drawn.alpha, alpha[..., 0])):
        assert -10 * torch.log10((made - wanted).square().mean()) > LEAST_DB


def fragments(
    middles: Tensor, conics: Tensor, opacities: Tensor, order: Tensor, width: int, height: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(views, Gaussians, pixels) of all pairs that gsplat's rasteriser would blend, the nearest first: every pixel asks every Gaussian."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    away = torch.stack([x, y], -1).view(1, 1, -1, 2) - middles[:, :, None]
    xx, xy, yy = conics[:, :, None].unbind(-1)
    sigma = 0.5 * (xx * away[..., 0] ** 2 + yy * away[..., 1] ** 2) + xy * away[..., 0] * away[..., 1]
    shown = opacities[None, :, None] * torch.exp(-sigma) >= 1 / 255
    nearest = torch.gather(shown, 1, order[:, :, None].expand_as(shown))
    views, rank, pixels = nearest.nonzero(as_tuple=True)
    return views, order[views, rank], pixels
