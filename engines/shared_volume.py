"""Shared volume: the march of all views of one moment, with the coarse pass done once for all of them.

All views look into one field. So its density is sampled once on a grid that holds every ray; each ray then reads from the grid
where it meets something, and spends its few field samples there. Rays that meet nothing spend none. The samples are composited
as in the exact march (triplane.py), against which the loss is measured in tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor

from engines import triplane
from engines.triplane import FAR, NEAR, Seen, TriplaneField

RAYS_AT_ONCE = 4096
EMPTY = 1e-3
"Opacity by the grid below which a ray is taken for empty: a quarter of an 8-bit step."


class Sampling(Enum):
    """How rays find what they meet."""

    EXACT = "exact"
    "Every ray looks for itself, as the authors' code does."
    SHARED_VOLUME = "shared-volume"
    "All views look it up in one density grid: for many views of one moment."


@dataclass(frozen=True)
class Budget:
    """What a shared march spends."""

    grid: int = 128
    "Points along each side of the density grid."
    steps: int = 96
    "Grid look-ups along a ray; cheap."
    fine: int = 40
    "Field samples along a ray that meets something. With 24 views of 128 x 128 rays, under a quarter of the exact march's."


@dataclass(frozen=True)
class DensityGrid:
    """The field's density logit at even points of a box."""

    logits: Tensor
    "[1, 1, G, G, G], indexed z, y, x; points lie at the box's corners and evenly between."
    low: Tensor
    "[3] world."
    high: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Trilinear logit [...] at points [..., 3]; a point beyond the box gets the box's nearest value."""
        place = (points - self.low) / (self.high - self.low) * 2 - 1
        flat = place.reshape(1, -1, 1, 1, 3)
        found = F.grid_sample(self.logits, flat, padding_mode="border", align_corners=True)
        return found.view(points.shape[:-1])


def density_grid(field: TriplaneField, low: Tensor, high: Tensor, side: int) -> DensityGrid:
    """The field's density logit at side^3 points of the box; block-wise, a slice of z at a time."""
    x, y, z = (torch.linspace(float(a), float(b), side, device=field.device) for a, b in zip(low, high, strict=True))
    slices = []
    for height in z:
        plane = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1)
        points = torch.cat((plane, height.expand(side, side, 1)), -1).view(-1, 3)
        slices.append(field(points, 0)[0].view(side, side))
    return DensityGrid(torch.stack(slices)[None, None], low, high)


def box_of(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The corners of the box that holds every ray between NEAR and FAR."""
    ends = torch.cat([origins[:, None] + reach * directions for reach in (NEAR, FAR)], 1).view(-1, 3)
    return ends.amin(0), ends.amax(0)


def march(
    field: TriplaneField,
    cam2world: Tensor,
    intrinsics: Tensor,
    resolution: int = 128,
    budget: Budget = Budget(),
    channels: int = 3,
) -> tuple[Tensor, Tensor]:
    """As triplane.march: features [V, channels, R, R] and depth [V, 1, R, R]."""
    origins, directions = triplane.rays(cam2world.float(), intrinsics.float(), resolution)
    grid = density_grid(field, *box_of(origins, directions), budget.grid)
    parts = [
        _march_rays(field, grid, origin, some, budget, channels)
        for origin, some in triplane.ray_parts(origins, directions, RAYS_AT_ONCE)
    ]
    limits = triplane.depth_limits(budget.steps, field.device)
    return triplane.as_pictures(parts, len(cam2world), resolution, *limits)


def _march_rays(
    field: TriplaneField, grid: DensityGrid, origin: Tensor, directions: Tensor, budget: Budget, channels: int
) -> Seen:
    even = triplane.coarse_depths(budget.steps, field.device)
    logits = grid(origin + directions[:, None] * even[:, None])
    weights = triplane.interval_weights(even.expand(len(directions), -1), logits)
    feature = directions.new_full((len(directions), channels), -1.0)
    depth = directions.new_full((len(directions),), torch.inf)
    opacity = directions.new_zeros(len(directions))
    meets = (weights.sum(-1) > EMPTY).nonzero()[:, 0]
    if len(meets):
        looked = triplane.importance_depths(even, weights[meets], budget.fine)
        points = triplane.along(origin.expand(len(meets), -1), directions[meets], looked)
        found, colours = field(points, channels)
        everything = torch.arange(budget.fine, device=field.device).expand(len(meets), -1)
        shape = (len(meets), budget.fine)
        seen = triplane.composite(looked, (everything,), found.view(shape), (colours.view(*shape, channels),))
        feature[meets], depth[meets], opacity[meets] = seen.feature, seen.depth, seen.opacity
    return Seen(feature, depth, opacity)
