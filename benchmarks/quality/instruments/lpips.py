"""LPIPS 0.1 (Zhang et al. 2018), on the backbone that the user has brought, with the authors' linear heads. Written anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.instruments import brought, catalogue, perceptual

BACKBONES = ("lpips_alex", "lpips_vgg")
_ALEX = ((0, 4, 2), "tap", "pool", (3, 1, 2), "tap", "pool", (6, 1, 1), "tap", (8, 1, 1), "tap", (10, 1, 1), "tap")
"torchvision's AlexNet: convolutions as (number, stride, padding), each with its ReLU; what is tapped; where the picture is halved."
_VGG = (
    *((0, 1, 1), (2, 1, 1), "tap", "pool", (5, 1, 1), (7, 1, 1), "tap", "pool", (10, 1, 1), (12, 1, 1), (14, 1, 1), "tap", "pool"),
    *((17, 1, 1), (19, 1, 1), (21, 1, 1), "tap", "pool", (24, 1, 1), (26, 1, 1), (28, 1, 1), "tap"),
)  # fmt: skip
_LAYERS = {"lpips_alex": (_ALEX, 3), "lpips_vgg": (_VGG, 2)}
"And the side of the pooling's window, with stride 2."


def here() -> list[str]:
    """The backbones that were brought."""
    return [name for name in BACKBONES if brought.here(name)]


def distance(backbone: str, one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Of two pictures' features; 0 for the same picture. Raises InstrumentMissing."""
    heads = _heads(backbone)
    apart = [(a - b).square() for a, b in zip(one, other, strict=True)]
    return sum(float(F.conv2d(tap, heads[f"lin{k}.model.1.weight"]).mean()) for k, tap in enumerate(apart))


@torch.no_grad()
def features(backbone: str, pixels: np.ndarray) -> list[Tensor]:
    """The five taps [1, C, h, w] of a picture [H, W, 3] uint8 RGB, of length 1 at every pixel. Raises InstrumentMissing."""
    weights, (layers, window) = brought.weights(backbone), _LAYERS[backbone]
    x, taps = perceptual.scaled(pixels), list[Tensor]()
    for layer in layers:
        if layer == "tap":
            taps.append(x)
        elif layer == "pool":
            x = F.max_pool2d(x, window, 2)
        else:
            number, stride, padding = layer
            name = f"features.{number}"
            x = F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding).relu()
    return [perceptual.unit(tap) for tap in taps]


@cache
def _heads(backbone: str) -> dict[str, Tensor]:
    alex, vgg = catalogue.files("lpips_heads")
    return torch.load(alex if backbone == "lpips_alex" else vgg, weights_only=True, map_location="cpu")
