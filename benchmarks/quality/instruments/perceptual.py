"""Perceptual: ST-LPIPS (Ghildyal and Liu, ECCV 2022), the AlexNet that was made tolerant of shifts. Written anew; weights are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.instruments import catalogue

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"Of the pictures in -1..1, channel by channel."


def distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Of two pictures' features; 0 for the same picture, about 0.6 for two people. Raises InstrumentMissing."""
    weights = _weights()
    apart = [(a - b).square() for a, b in zip(one, other, strict=True)]
    return sum(float(F.conv2d(tap, weights[f"lin{k}.model.1.weight"]).mean()) for k, tap in enumerate(apart))


@torch.no_grad()
def features(pixels: np.ndarray) -> list[Tensor]:
    """The five taps [1, C, h, w] of a picture [H, W, 3] uint8 RGB, of length 1 at every pixel. Raises InstrumentMissing."""
    weights = _weights()
    x = scaled(pixels)

    def convolved(x: Tensor, name: str, padding: int) -> Tensor:
        return F.conv2d(x, weights[f"net.{name}.weight"], weights[f"net.{name}.bias"], padding=padding)

    taps = [_blurred(convolved(x, "slice1.0", 2)).relu()]
    for name, padding in (("slice2.5", 2), ("slice3.9", 1)):
        pooled = _blurred(F.max_pool2d(taps[-1], 3, 1))
        taps.append(convolved(pooled, name, padding).relu())
    for name in ("slice4.11", "slice5.13"):
        taps.append(convolved(taps[-1], name, 1).relu())
    return [unit(tap) for tap in taps]


def scaled(pixels: np.ndarray) -> Tensor:
    """[1, 3, H, W] of a picture [H, W, 3] uint8 RGB, as LPIPS' networks take it."""
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 127.5 - 1
    return (picture - torch.tensor(SHIFT)[None, :, None, None]) / torch.tensor(SCALE)[None, :, None, None]


def _blurred(x: Tensor) -> Tensor:
    """Every second pixel of `x` [1, C, h, w], blurred by 1 2 1 first."""
    line = torch.tensor([1.0, 2.0, 1.0])
    kernel = (line[:, None] * line / 16).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "reflect"), kernel, stride=2, groups=x.shape[1])


def unit(x: Tensor) -> Tensor:
    """`x` [1, C, h, w], of length 1 at every pixel."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


@cache
def _weights() -> dict[str, Tensor]:
    (path,) = catalogue.files("stlpips")
    return torch.load(path, weights_only=True, map_location="cpu")
