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

RAYS_AT_ONCE = {"cpu": 1 << 12, "cuda": 1 << 16}
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
    """The field's density logit at side^3 points of the box from `low` [3] to `high` [3], world units; block-wise, as many
    slices of z as go at once."""
    even = torch.linspace(0, 1, side, device=field.device)
    x, y, z = (a + (b - a) * even for a, b in zip(low.unbind(), high.unbind(), strict=True))
    slices = []
    for heights in z.split(max(1, triplane.for_device(triplane.POINTS_AT_ONCE, field.device) // side**2)):
        points = torch.stack(torch.meshgrid(heights, y, x, indexing="ij")[::-1], -1).view(-1, 3)
        slices.append(field(points, 0)[0].view(len(heights), side, side))
    return DensityGrid(torch.cat(slices)[None, None], low, high)


def box_of(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """The corners, [3] each, of the box that holds every ray between NEAR and FAR: origins [V, 3], directions [V, N, 3]."""
    ends = torch.cat([origins[:, None] + reach * directions for reach in (NEAR, FAR)], 1).view(-1, 3)
    return ends.amin(0), ends.amax(0)


def march(
    field: TriplaneField,
    cam2world: Tensor,
    intrinsics: Tensor,
    resolution: int = 128,
    budget: Budget = Budget(),
    channels: int = 3,
    skip_empty: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """As triplane.march: features [V, channels, R, R] and depth [V, 1, R, R].

    `skip_empty` spends no samples on rays that meet nothing, for which it has to know how many they are: a GPU would make
    its caller wait for that number, and gets fixed shapes instead unless told otherwise.
    """
    skip_empty = field.device.type == "cpu" if skip_empty is None else skip_empty
    origins, directions = triplane.rays(cam2world.float(), intrinsics.float(), resolution)
    grid = density_grid(field, *box_of(origins, directions), budget.grid)
    looked = _where_something_is if skip_empty else _everywhere
    parts = [
        looked(field, grid, begins, some, budget, channels)
        for begins, some in triplane.ray_parts(origins, directions, triplane.for_device(RAYS_AT_ONCE, field.device))
    ]
    return triplane.as_pictures(parts, len(cam2world), resolution, *triplane.depth_limits(budget.steps))


def _everywhere(
    field: TriplaneField, grid: DensityGrid, origins: Tensor, directions: Tensor, budget: Budget, channels: int
) -> Seen:
    """Every ray is looked along; what rays saw that meet nothing is thrown away. The same shapes whatever there is to see."""
    even, weights = _by_the_grid(grid, origins, directions, budget)
    seen = _looked_along(field, origins, directions, even, weights, budget, channels)
    meets = weights.sum(-1) > EMPTY
    return Seen(
        torch.where(meets[:, None], seen.feature, -1.0),
        torch.where(meets, seen.depth, torch.inf),
        torch.where(meets, seen.opacity, 0.0),
    )


def _where_something_is(
    field: TriplaneField, grid: DensityGrid, origins: Tensor, directions: Tensor, budget: Budget, channels: int
) -> Seen:
    """Only rays that meet something are looked along."""
    even, weights = _by_the_grid(grid, origins, directions, budget)
    feature = directions.new_full((len(directions), channels), -1.0)
    depth = directions.new_full((len(directions),), torch.inf)
    opacity = directions.new_zeros(len(directions))
    meets = (weights.sum(-1) > EMPTY).nonzero()[:, 0]
    if len(meets):
        seen = _looked_along(field, origins[meets], directions[meets], even, weights[meets], budget, channels)
        feature[meets], depth[meets], opacity[meets] = seen.feature, seen.depth, seen.opacity
    return Seen(feature, depth, opacity)


def _by_the_grid(grid: DensityGrid, origins: Tensor, directions: Tensor, budget: Budget) -> tuple[Tensor, Tensor]:
    """Even depths [S] and what the grid says each interval between them contributes to each ray [N, S - 1]."""
    even = triplane.coarse_depths(budget.steps, directions.device)
    logits = grid(origins[:, None] + directions[:, None] * even[:, None])
    return even, triplane.interval_weights(even.expand(len(directions), -1), logits)


def _looked_along(
    field: TriplaneField,
    origins: Tensor,
    directions: Tensor,
    even: Tensor,
    weights: Tensor,
    budget: Budget,
    channels: int,
) -> Seen:
    """The field along rays [N, 3], at depths drawn where `weights` [N, S - 1] between `even` [S] say that something is."""
    shape = (len(directions), budget.fine)
    looked = triplane.importance_depths(even, weights, budget.fine)
    logits, colours = field(triplane.along(origins, directions, looked), channels)
    everything = torch.arange(budget.fine, device=field.device).expand(shape)
    return triplane.composite(looked, (everything,), logits.view(shape), (colours.view(*shape, channels),))
