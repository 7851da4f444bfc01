"""Regression: a ResNet-50 that reads coefficients off a portrait. Trains for a while, is kept, and goes on where it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.rome.architecture import HAIR, NECK, Architecture
from engines.rome.regressors import ResNet

BATCH, RATE = 16, 1e-3
LIGHT, CONTRAST = 0.1, 0.2
"How far pictures are varied, so that exposure means nothing."


class Regression:
    """A regressor in training; coefficients are learned in units of their spread among the portraits."""

    def __init__(
        self, arch: Architecture, images: Tensor, wanted: Tensor, spread: Tensor, start: dict[str, Tensor] | None = None
    ) -> None:
        """`images` [P, 3, S, S] uint8, `wanted` coefficients [P, 60] of these, `spread` [60] of all there are; `start`: weights of
        another ResNet-50 that reads faces (DECA's), to begin with."""
        torch.manual_seed(0)
        self.network, self.step = ResNet(arch, HAIR + NECK), 0
        if start is not None:
            self.network.load_state_dict(start, strict=False)
        nn.init.normal_(self.network.fc.weight, std=1e-3)
        nn.init.zeros_(self.network.fc.bias)
        self._images, self._spread = images, spread.clamp(min=1e-6)
        self._wanted = wanted / self._spread
        self._optimizer = torch.optim.AdamW(self.network.parameters(), RATE, weight_decay=1e-4)

    def train(self, steps: int) -> Iterator[float]:
        """The loss of each step, until `steps` have been done in all: mean square in units of the spread."""
        self.network.train()
        while self.step < steps:
            draw = torch.Generator().manual_seed(self.step)  # so that going on is as if it had never stopped
            rate = RATE * min(1, (self.step + 1) / 20) * (1 - 0.95 * self.step / steps)
            self._optimizer.param_groups[0]["lr"] = rate
            chosen = torch.randperm(len(self._images), generator=draw)[:BATCH]
            if len(chosen) < 2:
                chosen = chosen.repeat(2)  # batch norms need something to compare
            loss = F.mse_loss(self.network(_varied(self._images[chosen], draw)), self._wanted[chosen])
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            self.step += 1
            yield float(loss.detach())
        self.network.eval()

    @torch.no_grad()
    def coefficients(self, images: Tensor) -> Tensor:
        """[P, 60] of images [P, 3, S, S] uint8."""
        self.network.eval()
        return torch.cat([self.network(some.float() / 255) for some in images.split(BATCH)]) * self._spread

    def weights(self) -> dict[str, Tensor]:
        """As published: linear_hair.pth, whose last layer answers in metres."""
        held = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        held["fc.weight"] *= self._spread[:, None]
        held["fc.bias"] *= self._spread
        return held

    def keep(self, place: Path, about: str) -> None:
        """`about`: of what it is trained, so that it never goes on with something else."""
        held = {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict(), "step": self.step}
        torch.save(held | {"about": about}, place.with_suffix(".part"))
        os.replace(place.with_suffix(".part"), place)

    def resume(self, place: Path, about: str) -> bool:
        """Go on from `place`, if that is about the same."""
        if not place.is_file():
            return False
        held = torch.load(place, weights_only=True)
        if held["about"] != about:
            return False
        self.network.load_state_dict(held["network"])
        self._optimizer.load_state_dict(held["optimizer"])
        self.step = held["step"]
        return True


def _varied(images: Tensor, draw: torch.Generator) -> Tensor:
    """[B, 3, S, S] in 0..1 under another light."""
    light, contrast = (2 * torch.rand(2, len(images), 1, 1, 1, generator=draw) - 1) * torch.tensor(
        [LIGHT, CONTRAST]
    ).view(2, 1, 1, 1, 1)
    return ((images.float() / 255 - 0.5) * (1 + contrast) + 0.5 + light).clamp(0, 1)
