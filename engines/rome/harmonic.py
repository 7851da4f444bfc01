"""Harmonic: a number as waves of six octaves (section 3.2; the exponents are the release's, 0..5, not its supplement's)."""

from __future__ import annotations

import torch
from torch import Tensor

OCTAVES = 6


def widened(channels: int) -> int:
    """How many channels `harmonic` makes of so many."""
    return channels * (1 + 2 * OCTAVES)


def harmonic(x: Tensor, dim: int = -1) -> Tensor:
    """[x, sin x, cos x, sin 2x, cos 2x, .., sin 32x, cos 32x] along `dim`, float32: half precision has no room for 32 x."""
    x = x.float()
    waves = [wave(2**octave * x) for octave in range(OCTAVES) for wave in (torch.sin, torch.cos)]
    return torch.cat((x, *waves), dim)
