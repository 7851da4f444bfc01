"""Discriminator: real normal maps from rendered ones; that of pi-GAN (arXiv 2012.00926), whose convolutions see where they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.parametric.architecture import SKIP_SCALE

LARGEST = 512
"Side in pixels of the largest maps; each block halves it, down to two."
WIDTHS = (16, 32, 64, 128, 256, 400, 400, 400, 400)
SLOPE = 0.2


class CoordConv(nn.Module):
    """A convolution that gets each place's row and column, -1..1, as two channels more (arXiv 1807.03247)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into + 2, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, into, H, W] -> [B, out, H, W]."""
        rows, columns = (torch.linspace(-1, 1, size, device=x.device, dtype=x.dtype) for size in x.shape[2:])
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        return self.conv(torch.cat((x, places.expand(x.shape[0], -1, -1, -1)), 1))


class Block(nn.Module):
    """Two convolutions beside a shortcut, and half the size."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.network = nn.Sequential(
            CoordConv(into, out), nn.LeakyReLU(SLOPE), CoordConv(out, out), nn.LeakyReLU(SLOPE)
        )
        self.proj = nn.Conv2d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, into, H, W] -> [B, out, H/2, W/2]."""
        return (F.avg_pool2d(self.network(x), 2) + self.proj(F.avg_pool2d(x, 2))) * SKIP_SCALE


class Adapter(nn.Module):
    """A map's three channels to a block's."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, out, 1), nn.LeakyReLU(SLOPE))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, out, H, W]."""
        return self.model(x)


class Discriminator(nn.Module):
    """Maps [B, 3, H, H] -> how real each is [B, 1]; H a power of two, 2..512, which says at which block they enter."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        assert len(widths) == len(WIDTHS), widths
        self.layers = nn.ModuleList(Block(into, out) for into, out in pairwise(widths))
        self.fromRGB = nn.ModuleList(Adapter(width) for width in widths)
        self.final_layer = nn.Conv2d(widths[-1], 1, 2)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The network whose tensors these are. Raises RuntimeError where names or shapes do not fit."""
        made = cls(tuple(state[f"fromRGB.{k}.model.0.weight"].shape[0] for k in range(len(WIDTHS))))
        made.load_state_dict(dict(state), strict=True)
        return made.eval()

    def forward(self, maps: Tensor) -> Tensor:
        """As the class says."""
        entry = round(math.log2(LARGEST / maps.shape[-1]))
        assert maps.shape[-1] == maps.shape[-2] == LARGEST >> entry, maps.shape
        x = self.fromRGB[entry](maps)
        for block in list(self.layers)[entry:]:
            x = block(x)
        return self.final_layer(x).flatten(1)
