"""Density: how a signed distance becomes something light is stopped by (VolSDF, arXiv 2106.12052)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_BETA = 1e-4
"Added to the learnt one."


def laplace(sdf: Tensor, beta: float | Tensor) -> Tensor:
    """The Laplace distribution's share inside, over beta: 1/beta deep inside, 1/(2 beta) on the surface, 0 far outside.

    Of distances of any shape, alike, in the unit of beta, positive outside (VolSDF, equation 2). The thesis' slides print it with the
    distance's sign turned round, which would make the outside dense."""
    outside = torch.exp(-sdf.abs() / beta) / 2
    return torch.where(sdf > 0, outside, 1 - outside) / beta


class Beta(nn.Module):
    """How blurred the surface is, in canonical units; learnt."""

    def __init__(self, start: float = 0.1) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(start))

    def forward(self) -> Tensor:
        """[] above SMALLEST_BETA: the effective one."""
        return self.beta.abs() + SMALLEST_BETA
