"""Adversary: a discriminator that learns to tell rendered normal maps from true ones, and what it asks of the networks.

Non-saturating logistic loss with R1 on the true maps (arXiv 1801.04406): f(u) = log(1 + e^u),
L_D = E f(D(fake)) + E f(-D(real)) + lambda |grad D(real)|^2, L_G = E f(-D(fake)).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.parametric.density import Beta
from engines.parametric.discriminator import WIDTHS, Discriminator

PENALTY = 10.0
"lambda of R1: pi-GAN's."
RATE, BETAS = 2e-4, (0.0, 0.9)
BLUR = 0.02
"Beta at first, canonical units: 5 mm. It is learnt with the networks."


class Adversary:
    """Plays against whoever renders maps. `width` is the share of pi-GAN's channels: all of them on a GPU."""

    def __init__(self, width: float = 1.0, device: torch.device | str = "cpu") -> None:
        self.discriminator = Discriminator(tuple(max(int(channels * width), 4) for channels in WIDTHS)).to(device)
        self.blur = Beta(BLUR).to(device)
        self._optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=RATE, betas=BETAS)

    def learn(self, fake: Tensor, real: Tensor) -> dict[str, float]:
        """One step of the discriminator on maps [B, 3, H, H] each; returns its loss and penalty (R1, arXiv 1801.04406)."""
        real = real.detach().requires_grad_(True)
        told = self.discriminator(real)
        slope = torch.autograd.grad(told.sum(), real, create_graph=True)[0]
        penalty = slope.square().flatten(1).sum(1).mean()
        loss = F.softplus(self.discriminator(fake.detach())).mean() + F.softplus(-told).mean()
        self._optimiser.zero_grad()
        (loss + PENALTY * penalty).backward()
        self._optimiser.step()
        return {"discriminator": loss.item(), "r1": penalty.item()}

    def asked(self, fake: Tensor) -> Tensor:
        """The generator's loss on maps [B, 3, H, H] that it rendered."""
        return F.softplus(-self.discriminator(fake)).mean()
