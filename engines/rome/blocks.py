"""Blocks: what the texture encoder and the U-Nets are built of. Attribute names are the checkpoint's.

A weight-standardised filter (arXiv 1903.10520) differs from a plain one by what is done to its weights, not to pictures, so
that is done once, in float32, when they are loaded: `standardise`. What runs is a plain convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class StandardisedConv(nn.Conv2d):
    """A convolution without bias whose filters stand standardised once `standardise` has seen them."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)


def standardised(weight: Tensor) -> Tensor:
    """Filters [O, I, k, k] with mean 0 and deviation 1 each: (w - mean) / (std + 1e-5), the deviation unbiased; float32."""
    flat = weight.float().flatten(1)
    return ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + EPSILON)).view_as(weight)


@torch.no_grad()
def standardise(network: nn.Module) -> None:
    """Standardise every filter of `network` that wants it, in place; to be done once, before it is cast to halves."""
    for module in network.modules():
        if isinstance(module, StandardisedConv):
            module.weight.data = standardised(module.weight)


def group_norm(channels: int) -> nn.GroupNorm:
    """Over 32 groups, or one a channel where there are fewer; any [B, channels, H, W]."""
    return nn.GroupNorm(min(32, channels), channels, EPSILON)


class Bottleneck(nn.Module):
    """Pre-activation residual block of three group norms' width `inner`, between plain 1 x 1 convolutions at its ends."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            group_norm(inputs),
            nn.ReLU(),
            StandardisedConv(inputs, inner, 1),
            group_norm(inner),
            nn.ReLU(),
            StandardisedConv(inner, inner, 3),
            group_norm(inner),
            nn.ReLU(),
            StandardisedConv(inner, inner, 3),
            group_norm(inner),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1, bias=False),
        )
        if inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.main(x) + (self.skip(x) if hasattr(self, "skip") else x)


class Level(nn.Module):
    """Two convolutions of a U-Net, each followed by a group norm."""

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            StandardisedConv(inputs, inner, 3),
            group_norm(inner),
            nn.ReLU(),
            StandardisedConv(inner, outputs, 3),
            group_norm(outputs),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W], nothing below 0."""
        return self.main(x)
