"""Lens: the square pictures that networks make, in the shapes of screens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from display.optics import Cameras


def in_shape(square: Tensor, cameras: Cameras) -> Tensor:
    """[V, height, width, 4] uint8 RGBA of square pictures [V, 3, S, S] (-1..1): what the cameras' lens shows of the crop."""
    across, down = cameras.span
    side = square.shape[-1]
    seen = square[..., _middle(side, round(side * min(down, 1.0))), _middle(side, round(side * min(across, 1.0)))]
    height, width = round(cameras.height / max(down, 1.0)), round(cameras.width / max(across, 1.0))
    small = seen
    if seen.shape[-2:] != (height, width):
        small = F.interpolate(seen, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    pixels = square.new_zeros((len(square), cameras.height, cameras.width, 4), dtype=torch.uint8)
    pixels[..., 3] = 255
    inside = (slice(None), _middle(cameras.height, height), _middle(cameras.width, width), slice(0, 3))
    pixels[inside] = ((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return pixels


def _middle(whole: int, part: int) -> slice:
    begin = (whole - part) // 2
    return slice(begin, begin + part)
