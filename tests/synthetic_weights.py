"""Synthetic weights: state dicts under published names and of published shapes, filled by a generator that never changes. Of no worth
but to compare two implementations of one network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

ALEXNET = {
    "features.0.weight": (64, 3, 11, 11), "features.0.bias": (64,),
    "features.3.weight": (192, 64, 5, 5), "features.3.bias": (192,),
    "features.6.weight": (384, 192, 3, 3), "features.6.bias": (384,),
    "features.8.weight": (256, 384, 3, 3), "features.8.bias": (256,),
    "features.10.weight": (256, 256, 3, 3), "features.10.bias": (256,),
}  # fmt: skip
"torchvision's, without the classifier, which LPIPS does not use."
HEADS = {f"lin{k}.model.1.weight": (1, channels, 1, 1) for k, channels in enumerate((64, 192, 384, 256, 256))}
"Of LPIPS on AlexNet."


def filled(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Each tensor such that activations keep their size; variances and scales are positive."""
    numbers, made = np.random.RandomState(seed), {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            value = numbers.uniform(-1, 1, shape) * np.sqrt(6 / np.prod(shape[1:]))
        elif name.endswith(
            ("running_var", "bn.weight", "bn1.weight", "bn2.weight", "bn3.weight", "downsample.1.weight")
        ):
            value = numbers.uniform(0.5, 1.5, shape)
        else:
            value = numbers.uniform(-0.1, 0.1, shape)
        made[name] = torch.from_numpy(np.asarray(value, np.float32))
    return made


def pictures(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Two [side, side, 3] uint8: smooth, alike and not the same."""
    y, x = np.mgrid[:side, :side] / side
    one = np.stack([np.sin(7 * x + 2 * y), np.cos(5 * y), np.sin(9 * x * y + 1)], -1)
    other = one + 0.3 * np.stack([np.cos(11 * y), np.sin(6 * x), np.cos(8 * x + 3 * y)], -1)
    return tuple((127.5 + 90 * picture).round().clip(0, 255).astype(np.uint8) for picture in (one, other))  # type: ignore[return-value]
