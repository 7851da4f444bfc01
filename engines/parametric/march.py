"""March: rays through a density, and what they bring back: how much each sample weighs, and a map of normals.

The thesis' renderer, which is VolSDF's (arXiv 2106.12052). Its camera looks along -z of its own frame. Gradients are taken as
they are, not normalised, in canonical axes, and what no ray meets is white.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from engines.parametric.density import laplace

FAR_AWAY = 1e10
"Length of a ray's last interval."
NEAR, FAR = 0.2, 5.0
"Between which every ray lies, in canonical units."


@dataclass(frozen=True)
class Rays:
    """One for each pixel of B square pictures, row by row."""

    origins: Tensor
    "[B, R, 3]."
    directions: Tensor
    "[B, R, 3], of length one."
    ahead: Tensor
    "[B, R]: how much of a unit along the ray is depth."

    def at(self, depths: Tensor) -> Tensor:  # [B, R, S] -> [B, R, S, 3]
        """The points at `depths` along each ray."""
        return self.origins[:, :, None] + depths[..., None] * self.directions[:, :, None]

    def leaving(self, reach: float = 1.0) -> Tensor:
        """[B, R, 1] where each ray leaves the cube of this half side; FAR for those that miss it."""
        inverse = 1 / torch.where(self.directions.abs() < 1e-9, torch.full_like(self.directions, 1e-9), self.directions)
        one, other = (-reach - self.origins) * inverse, (reach - self.origins) * inverse
        enter, leave = torch.minimum(one, other).amax(-1), torch.maximum(one, other).amin(-1)
        return torch.where((leave > enter) & (leave > NEAR), leave.clamp(max=FAR), torch.full_like(leave, FAR))[
            ..., None
        ]


def rays(intrinsics: Tensor, cam2world: Tensor, side: int) -> Rays:
    """Of pinhole cameras [B, 3 or 4, 3 or 4] in pixels and [B, 4, 4], for pictures of `side` x `side` pixels."""
    axis = torch.arange(side, dtype=cam2world.dtype, device=cam2world.device)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    fx, fy = intrinsics[:, 0, 0, None], intrinsics[:, 1, 1, None]
    cx, cy, skew = intrinsics[:, 0, 2, None], intrinsics[:, 1, 2, None], intrinsics[:, 0, 1, None]
    y = (v.reshape(1, -1) - cy) / fy
    x = (u.reshape(1, -1) - cx - skew * y) / fx
    seen = -torch.nn.functional.normalize(torch.stack((x, y, torch.ones_like(x)), -1), dim=-1)
    turned = seen @ cam2world[:, :3, :3].transpose(1, 2)
    return Rays(cam2world[:, None, :3, 3].expand_as(turned), turned, seen[..., 2].abs())


def composite(sdf: Tensor, gradients: Tensor, z_vals: Tensor, beta: float | Tensor) -> tuple[Tensor, Tensor]:
    """Weights [B, R, S] and normal map [B, R, 3] from samples along rays: distances [B, R, S], their gradients [B, R, S, 3] and
    depths [B, R, S] in rising order. `beta` is the effective one. What weighs nothing is white.

    w_i = T_i (1 - exp(-sigma_i delta_i)), T_i = prod_{j<i} exp(-sigma_j delta_j).
    """
    weights = weigh(laplace(sdf, beta), z_vals)
    normals = (weights[..., None] * gradients).sum(-2)
    return weights, normals + 1 - weights.sum(-1, keepdim=True)


def composite_between(sdf: Tensor, gradients: Tensor, ends: Tensor, beta: float | Tensor) -> tuple[Tensor, Tensor]:
    """As `composite`, of samples in the middles of intervals with these ends [B, R, S + 1]: the midpoint rule, which needs
    fewer samples for the same error than the thesis' left ends do."""
    weights = _weights(laplace(sdf, beta), ends.diff(dim=-1))
    normals = (weights[..., None] * gradients).sum(-2)
    return weights, normals + 1 - weights.sum(-1, keepdim=True)


def weigh(density: Tensor, z_vals: Tensor) -> Tensor:
    """[..., S] how much light each sample stops, for all the way to the next."""
    return _weights(density, torch.cat((z_vals.diff(dim=-1), torch.full_like(z_vals[..., :1], FAR_AWAY)), -1))


def _weights(density: Tensor, steps: Tensor) -> Tensor:
    """[B, R, S] shares of the light that steps of these lengths send, from density in each, front first."""
    stopped = steps * density
    before = torch.cat((torch.zeros_like(stopped[..., :1]), stopped[..., :-1]), -1).cumsum(-1)
    return (1 - torch.exp(-stopped)) * torch.exp(-before)


def depth(weights: Tensor, z_vals: Tensor, ahead: Tensor) -> Tensor:
    """[B, R] depth along the camera's axis."""
    return ahead * (weights * z_vals).sum(-1) / (weights.sum(-1) + 1e-8)


def picture(normal_map: Tensor) -> Tensor:  # [B, R, 3] -> [B, 3, H, H]
    """As the discriminator sees it: turned left to right, as the author's pictures are."""
    side = round(normal_map.shape[1] ** 0.5)
    return normal_map.view(-1, side, side, 3).flip(2).permute(0, 3, 1, 2)
