"""Offsets: how far hair, neck and shoulders leave the FLAME head, vertex by vertex (section 3.2), and the linear model of that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.rome.architecture import LATENT, Architecture
from engines.rome.flame import Flame
from engines.rome.harmonic import harmonic, widened

XYZ_GAIN = 5.0
"What the geometry U-Net sees of a vertex's place, in metres."
INPUTS = LATENT + widened(2)


class OffsetMLP(nn.Module):
    """What a vertex looked up and where in the texture it lies [B, N, 58] -> [B, N, 3], before the hyperbolic tangent."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        width = arch.thinned(256)
        self.block_1 = nn.Sequential(*_layers(INPUTS, width))
        self.block_2 = nn.Sequential(*_layers(INPUTS + width, width), nn.Linear(width, 3, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """As the class says."""
        return self.block_2(torch.cat((x, self.block_1(x)), -1))


def _layers(inputs: int, width: int) -> list[nn.Module]:
    return [layer for k in range(4) for layer in (nn.Linear(width if k else inputs, width), nn.ReLU())]


def geometry_input(flame: Flame, texture: Tensor, vertices: Tensor) -> Tensor:
    """[B, 47, S, S] for the geometry U-Net: the texture [1 or B, 8, S, S] and where each texel lies, harmonically."""
    places = harmonic(XYZ_GAIN * flame.unwrapped(vertices), 1)
    return torch.cat((texture.float().expand(len(places), -1, -1, -1), places), 1)


def looked_up(flame: Flame, latent: Tensor) -> Tensor:
    """[B, N, 58]: what each vertex finds in `latent` [B, 32, S, S], and its place there.

    The release encodes a picture of places from -1 to 1, which it samples at pixel centres: the place times S / (S - 1).
    """
    side = latent.shape[-1]
    found = at_vertices(flame, latent)
    places = harmonic(flame.vertex_uv * (side / (side - 1)))
    return torch.cat((found, places.expand(len(found), -1, -1)), -1)


def at_vertices(flame: Flame, picture: Tensor) -> Tensor:
    """[B, N, C] of a picture [B, C, S, S] in the texture's layout, bilinear, 0 outside."""
    places = flame.vertex_uv.expand(len(picture), 1, -1, -1)
    return F.grid_sample(picture.float(), places, align_corners=False)[:, :, 0].transpose(1, 2)


def moved(flame: Flame, vertices: Tensor, left: Tensor) -> Tensor:
    """`vertices` [B, N, 3] with the offsets that the MLP `left` [B, N, 3]: times the normal, component by component, in metres."""
    return vertices + left.tanh() * flame.movable[:, None] * flame.normals(vertices)


class Basis(nn.Module):
    """The linear model's: 50 directions of hair, 10 of neck and shoulders, and their mean (supplement, section 1)."""

    directions: Tensor
    "[3 N, 60], orthonormal; rows are x, y, z of each vertex in turn."
    mean: Tensor
    "[N, 3] metres."

    def __init__(self, directions: Tensor, mean: Tensor) -> None:
        """`directions` [3 N, K] and `mean` [N, 3], metres."""
        super().__init__()
        self.register_buffer("directions", directions)
        self.register_buffer("mean", mean)

    def forward(self, coefficients: Tensor) -> Tensor:
        """[B, N, 3] metres to add to the posed head as they are, of [B, 60]."""
        return (coefficients.float() @ self.directions.T).view(-1, *self.mean.shape) + self.mean
