"""Heads: tri-planes with real surfaces and colour, built from ellipsoids in code, to try marches and meshes on.

A tri-plane decodes the sum of three functions of two coordinates each. An ellipsoid's quadratic form, turned any way, is such
a sum exactly, so each ellipsoid takes one feature channel and one hidden unit; paint takes three channels passed through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from display import optics
from engines.triplane import Decoder, TriplaneField

SIZE = 256
HIDDEN = 64
INSIDE = 28
"The feature channel that is 1 on every plane."
LINEAR = 25.0
"softplus(x + 25) - 25 is x to 1e-6 for the colours used here: a hidden unit that passes its input through."


@dataclass(frozen=True)
class Ellipsoid:
    """A part of a head, in world units (display/optics.py)."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: float = 0.0
    "Degrees about z."

    def form(self) -> tuple[Tensor, Tensor, float]:
        """A [3, 3], b [3] and c of x'Ax + b'x + c, which is 1 on the surface."""
        a = math.radians(self.turn)
        turn = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
        matrix = turn @ torch.diag(torch.tensor(self.radii) ** -2) @ turn.T
        centre = torch.tensor(self.centre)
        return matrix, -2 * matrix @ centre, float(centre @ matrix @ centre)


SKULL = Ellipsoid((0, 0.02, 0.02), (0.15, 0.2, 0.18))
JAW = Ellipsoid((0, -0.09, 0.07), (0.11, 0.12, 0.12))
NOSE = Ellipsoid((0, -0.02, 0.21), (0.025, 0.05, 0.04))
EARS = [Ellipsoid((side * 0.155, -0.01, 0.0), (0.02, 0.05, 0.03), side * 12) for side in (-1, 1)]
NECK = Ellipsoid((0, -0.28, -0.03), (0.09, 0.2, 0.09))
SHOULDERS = Ellipsoid((0, -0.46, -0.05), (0.34, 0.14, 0.12))
HAIR = [Ellipsoid((0, 0.1, -0.03), (0.18, 0.17, 0.18))]
STRANDS = [Ellipsoid((x, 0.02, 0.06), (0.012, 0.17, 0.012), 40 * x) for x in (-0.19, -0.165, 0.165, 0.19)]
GLASSES = [Ellipsoid((x, 0.03, 0.225), (0.045, 0.006, 0.006)) for x in (-0.06, 0.06)]

HEADS: dict[str, tuple[list[Ellipsoid], float, float]] = {
    "plain": ([SKULL, JAW, NOSE, *EARS, NECK, SHOULDERS], 60.0, 3.0),
    "haired": ([SKULL, JAW, NOSE, *EARS, *HAIR, *STRANDS, NECK], 40.0, 7.0),
    "spectacled": ([SKULL, JAW, NOSE, *GLASSES, NECK, SHOULDERS], 90.0, 5.0),
    "soft": ([SKULL, JAW, NOSE, *EARS, NECK, SHOULDERS], 25.0, 2.0),
}
"Name -> ellipsoids, how steeply density rises at their surfaces, and cycles of the paint across the head."


@cache
def head(name: str) -> TriplaneField:
    """The field of the head called `name` in HEADS."""
    ellipsoids, steepness, cycles = HEADS[name]
    return TriplaneField(_planes(ellipsoids, cycles), _decoder(len(ellipsoids), steepness))


def planes_and_decoder(name: str) -> tuple[Tensor, Decoder]:
    """[1, 3, 32, 256, 256] and the decoder that goes with it."""
    ellipsoids, steepness, cycles = HEADS[name]
    return _planes(ellipsoids, cycles)[None], _decoder(len(ellipsoids), steepness)


def _planes(ellipsoids: list[Ellipsoid], cycles: float) -> Tensor:
    texel = ((torch.arange(SIZE) + 0.5) / SIZE - 0.5).expand(SIZE, -1)
    column, row = texel, texel.T  # world units: (x, y), (x, z), (z, y)
    planes = torch.zeros(3, 32, SIZE, SIZE)
    for k, ellipsoid in enumerate(ellipsoids):
        matrix, vector, constant = ellipsoid.form()
        x, y, z = 0, 1, 2
        planes[0, k] = matrix[x, x] * column**2 + matrix[y, y] * row**2 + 2 * matrix[x, y] * column * row
        planes[0, k] += vector[x] * column + vector[y] * row + constant
        planes[1, k] = 2 * matrix[x, z] * column * row + matrix[z, z] * row**2 + vector[z] * row
        planes[2, k] = 2 * matrix[z, y] * column * row
    wave = 2 * math.pi * cycles
    planes[:, INSIDE] = 1.0
    for channel in range(3):
        paint = torch.sin(wave * column * (1 + 0.3 * channel) + channel) * torch.cos(wave * row + 2 * channel)
        planes[0, 29 + channel] = 1.5 * paint + (0.8, 0.1, -0.4)[channel]
        planes[1, 29 + channel] = 0.8 * torch.sin(wave * row + channel)
    return 3 * planes  # the field decodes the mean of the planes


def _decoder(count: int, steepness: float) -> Decoder:
    hidden, out = torch.zeros(HIDDEN, 32), torch.zeros(33, HIDDEN)
    hidden_bias, out_bias = torch.zeros(HIDDEN), torch.zeros(33)
    for k in range(count):  # softplus(steepness (1 - form)): nothing outside, rising inside
        hidden[k, k], hidden_bias[k], out[0, k] = -steepness, steepness, 1.5
    # beyond the cube a plane or two are missing from the sums, and ellipsoids would go on for ever: shut them out there
    hidden[HIDDEN - 4, INSIDE], hidden_bias[HIDDEN - 4], out[0, HIDDEN - 4] = 100.0, -250.0, 40.0
    out_bias[0] = -12.0 - 2000.0
    for channel in range(3):
        unit = HIDDEN - 3 + channel
        hidden[unit, 29 + channel], hidden_bias[unit] = 1.0, LINEAR
        out[1 + channel, unit], out_bias[1 + channel] = 1.0, -LINEAR
    return Decoder(hidden, hidden_bias, out, out_bias)


def random_field(density: float = 8.0) -> tuple[Tensor, Decoder]:
    """[3, 32, 24, 24] and a decoder: no head, but as restless as a field can be. Of density 0, nearly empty."""
    draw = torch.Generator().manual_seed(7)
    planes = torch.randn(3, 32, 24, 24, generator=draw)
    out = torch.randn(33, HIDDEN, generator=draw) / 4
    out[0] *= density
    return planes, Decoder(
        torch.randn(HIDDEN, 32, generator=draw) / 3,
        torch.randn(HIDDEN, generator=draw),
        out,
        torch.randn(33, generator=draw),
    )


def cameras(*yaws: float) -> tuple[Tensor, Tensor]:
    """cam2world [V, 4, 4] and intrinsics [V, 3, 3] of cameras that orbit a head, a little above it."""
    cam2world = torch.from_numpy(np.stack([optics.orbit(yaw, 3) for yaw in yaws]))
    return cam2world, torch.from_numpy(optics.intrinsics())[None].expand(len(yaws), -1, -1)
