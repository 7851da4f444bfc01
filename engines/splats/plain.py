"""Plain: what a picture of Gaussians is, in torch, for any device and precision. It defines; raster.py and kernels are held to it.

A Gaussian becomes an ellipse in the picture by the projection's derivative at its middle (EWA: Zwicker et al. 2001, as in 3D
Gaussian Splatting, arXiv 2308.04079, and gsplat's reference), with x / z and y / z held within 1.3 of the picture there and BLUR
added. Ellipses are blended front to back in the order of their middles' distance along the camera's axis. A head is turned by moving
the cameras, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from display.optics import Cameras
from engines.splats.avatar import SplatAvatar

BLUR = 0.3
"Square pixels, added to an ellipse's variances: none is thinner than a pixel."
LEAST, MOST = 1 / 255, 0.999
"A fragment less opaque than the one is none, and none is more opaque than the other."
NEAR = 0.05
"World units: what is nearer to the camera's plane is not drawn."
BEYOND = 0.3
"How far beyond the picture's edge derivatives are still taken where the middle is, in halves of the picture."


@dataclass(frozen=True)
class Shapes:
    """All of an avatar that no action moves, on one device."""

    covariances: Tensor
    "[N, 6], square world units: xx, xy, xz, yy, yz, zz."
    colours: Tensor
    "[N, 3], 0..1."
    opacities: Tensor
    "[N], 0..1."


@dataclass(frozen=True)
class Ellipses:
    """Gaussians as V cameras see them."""

    middles: Tensor
    "[V, N, 2] pixels: the first one's middle is (0.5, 0.5)."
    conics: Tensor
    "[V, N, 3] xx, xy, yy of the inverse of each covariance, per square pixel."
    halves: Tensor
    "[V, N, 2] pixels: half of the box about the fragments that are drawn; 0 where there are none."
    depths: Tensor
    "[V, N] world units along the camera's axis."


@dataclass(frozen=True)
class Pictures:
    """V views, composited on black."""

    colours: Tensor
    "[V, H, W, 3] 0..1: sums weighted by opacity."
    alpha: Tensor
    "[V, H, W] 0..1."
    depths: Tensor
    "[V, H, W] world units: the mean of what is seen, infinite where nothing is."

    @property
    def straight(self) -> Tensor:
        """[V, H, W, 4] 0..1: RGBA whose colours are not multiplied with alpha."""
        alpha = self.alpha[..., None]
        return torch.cat([torch.where(alpha > 0, self.colours / alpha, 0.0), alpha], -1)


def prepared(avatar: SplatAvatar, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Shapes:
    """What views and frames share, once for an avatar."""
    w, x, y, z = torch.from_numpy(avatar.rotations).double().unbind(1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    axes = torch.stack(rows, -1).view(-1, 3, 3) * torch.from_numpy(avatar.scales).double()[:, None]
    whole = axes @ axes.mT
    upper = torch.stack([whole[:, i, j] for i in range(3) for j in range(i, 3)], 1)
    return Shapes(
        upper.to(device, dtype),
        torch.from_numpy(avatar.colours).to(device, dtype).contiguous(),
        torch.from_numpy(avatar.opacities).to(device, dtype).contiguous(),
    )


def world2cam(cameras: Cameras) -> np.ndarray:
    """[V, 3, 4] float64: the inverse of cam2world, whose shift cancels better when it is taken in double precision."""
    cam2world = cameras.cam2world.astype(np.float64)
    turn = cam2world[:, :3, :3].transpose(0, 2, 1)
    return np.concatenate([turn, -turn @ cam2world[:, :3, 3:]], 2)


def lenses(cameras: Cameras) -> np.ndarray:
    """[V, 4] float64 pixels: focal lengths across and down, the principal point."""
    lens, size = cameras.intrinsics.astype(np.float64), np.array([cameras.width, cameras.height])
    return np.concatenate([lens[:, [0, 1], [0, 1]] * size, lens[:, :2, 2] * size], 1)


def projected(
    points: Tensor,  # [N, 3] world: posed
    shapes: Shapes,
    cameras: Cameras,
) -> Ellipses:
    """Each Gaussian in each view, in the precision of `points`."""
    look = torch.from_numpy(world2cam(cameras)).to(points)
    lens = torch.from_numpy(lenses(cameras)).to(points)
    seen = points @ look[:, :, :3].mT + look[:, None, :, 3]
    focal, principal, z = lens[:, None, :2], lens[:, None, 2:], seen[..., 2:]
    slopes = seen[..., :2] / z
    size = torch.tensor([cameras.width, cameras.height]).to(points)
    spare = BEYOND * 0.5 * size / focal
    held = slopes.clamp(-principal / focal - spare, (size - principal) / focal + spare)
    flat = focal / z
    slanted = -flat * held
    turned = look[:, None, :, :3]  # rows: the camera's axes in the world
    across = flat[..., :1] * turned[..., 0, :] + slanted[..., :1] * turned[..., 2, :]
    down = flat[..., 1:] * turned[..., 1, :] + slanted[..., 1:] * turned[..., 2, :]
    xx = _form(shapes.covariances, across, across) + BLUR
    xy = _form(shapes.covariances, across, down)
    yy = _form(shapes.covariances, down, down) + BLUR
    area = xx * yy - xy * xy
    reach = 2 * torch.log(shapes.opacities / LEAST)
    drawn = (reach > 0) & (z[..., 0] > NEAR) & (area > 0)
    halves = torch.stack([xx, yy], -1).mul(reach.clamp(min=0)[:, None]).sqrt() * drawn[..., None]
    conics = torch.stack([yy, -xy, xx], -1) / area[..., None]
    return Ellipses(slopes * focal + principal, conics, halves, z[..., 0])


def _form(upper: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """[V, N]: one' C other, of covariances' upper triangles [N, 6] and vectors [V, N, 3]."""
    xx, xy, xz, yy, yz, zz = upper.unbind(-1)
    x, y, z = other.unbind(-1)
    whole = torch.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z], -1)
    return (one * whole).sum(-1)


def draw(
    points: Tensor,  # [N, 3] world: posed
    shapes: Shapes,
    cameras: Cameras,
) -> Pictures:
    """Every fragment of every view as one list. Memory: some 200 bytes a pixel that a box covers."""
    ellipses = projected(points, shapes, cameras)
    owner, pixel, x, y = _within_boxes(ellipses, cameras.width, cameras.height)
    count = len(points)
    away = torch.stack([x, y], -1).to(points) + 0.5 - ellipses.middles.view(-1, 2)[owner]
    xx, xy, yy = ellipses.conics.view(-1, 3)[owner].unbind(-1)
    square = xx * away[:, 0] ** 2 + 2 * xy * away[:, 0] * away[:, 1] + yy * away[:, 1] ** 2
    alpha = (shapes.opacities[owner % count] * torch.exp(-0.5 * square)).clamp(max=MOST)
    kept = alpha >= LEAST
    owner, pixel, alpha = owner[kept], pixel[kept], alpha[kept]
    order = torch.argsort(pixel, stable=True)  # within a pixel by depth, as they came
    owner, pixel, alpha = owner[order], pixel[order], alpha[order]
    weights = alpha * _left(pixel, alpha)
    depths = ellipses.depths.view(-1)[owner]
    told = torch.cat([shapes.colours[owner % count], torch.ones_like(alpha)[:, None], depths[:, None]], 1)
    height, width = cameras.height, cameras.width
    sums = told.new_zeros(len(cameras) * height * width, 5).index_add_(0, pixel, told * weights[:, None])
    sums = sums.view(len(cameras), height, width, 5)
    depth = torch.where(sums[..., 3] > 0, sums[..., 4] / sums[..., 3], torch.inf)
    return Pictures(sums[..., :3], sums[..., 3].clamp(max=1), depth)  # a sum of a hundred shares may be 1 + 2e-16


def _within_boxes(ellipses: Ellipses, width: int, height: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """([M] index into V x N, [M] into V x H x W, [M] column, [M] row) of all pixels in Gaussians' boxes, the nearest first in a view."""
    views, count = ellipses.depths.shape
    first = (ellipses.middles - ellipses.halves - 0.5).ceil()
    last = (ellipses.middles + ellipses.halves - 0.5).floor()
    size = torch.tensor([width, height]).to(first)
    drawn = (ellipses.halves > 0).all(-1)
    first = torch.minimum(first.clamp(min=0), size).nan_to_num().long()
    last = torch.minimum(last.clamp(min=-1), size - 1).nan_to_num().long()
    sides = (last - first + 1).clamp(min=0) * drawn[..., None]
    nearest = torch.argsort(ellipses.depths, dim=1, stable=True)
    ordered = (nearest + count * torch.arange(views, device=nearest.device)[:, None]).view(-1)
    wide = sides.view(-1, 2)[ordered, 0]
    each = sides.view(-1, 2).prod(1)[ordered]
    place = torch.repeat_interleave(torch.arange(len(ordered), device=each.device), each)
    inside = torch.arange(len(place), device=each.device) - (each.cumsum(0) - each)[place]
    owner = ordered[place]
    x = first.view(-1, 2)[owner, 0] + inside % wide[place]
    y = first.view(-1, 2)[owner, 1] + inside // wide[place]
    return owner, (owner // count * height + y) * width + x, x, y


def _left(pixel: Tensor, alpha: Tensor) -> Tensor:
    """[M]: the share of light that the fragments before each one in its pixel let through; `pixel` [M] rises."""
    through = torch.log1p(-alpha.double())
    before = through.cumsum(0) - through
    begins = torch.ones_like(pixel, dtype=torch.bool)
    begins[1:] = pixel[1:] != pixel[:-1]
    starts = before[begins]
    return torch.exp(before - starts[begins.cumsum(0) - 1]).to(alpha)
