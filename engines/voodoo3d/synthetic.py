"""Synthetic weights: the network without training, for benchmarks and tests. What it shows is noise, never a face.

Every tensor follows from its name and shape alone, with gains that keep all stages finite and awake.
"""

from __future__ import annotations

import math
import re
from zlib import crc32

import torch
from torch import Tensor

from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.network import Voodoo3D

_GAINS = {
    r"modulation\.weight$": 0.3,
    r"to_rgb.*modulated_conv\.weight$": 0.25,
    r"final_linear\.weight$": 1.0,
    r"(fc2|attn\.proj)\.weight$": 1.0,
    r"(conv2|skip)\.weight$": 0.8,
}
"Gain by pattern of the name; sqrt(2), which keeps the variance through a ReLU, for all other weights."


def tensors(arch: Architecture = Architecture()) -> dict[str, Tensor]:
    """All tensors of a network of this size."""
    with torch.device("meta"):
        empty = Voodoo3D(arch)
    return {name: _drawn(name, tuple(tensor.shape)) for name, tensor in empty.state_dict().items()}


def network(
    arch: Architecture = Architecture(), device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Voodoo3D:
    """A network of this size with invented weights, the same ones every time."""
    return Voodoo3D.from_tensors(tensors(arch), arch, device, dtype)


def _drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """float32 of `shape`: what a trained tensor of this name is like in size, [out, in, ...] where it is a filter."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(crc32(name.encode())))
    if ".noises." in name or "constant_input" in name:
        return values
    if name.endswith("bias"):
        centre = 1.0 if "modulation" in name or ("condition_scale" in name and ".2." in name) else 0.0
        return centre + 0.01 * values
    if shape == (1,):
        return 0.1 * values  # how strong the stored noise is
    if "norm" in name:
        return 1 + 0.02 * values
    if name.startswith("decoder"):
        if ".2." in name:  # density with surfaces, not fog; this layer divides by sqrt(fan in) itself
            values[0] *= 10
        return 2 * values
    inputs = shape[2:] if len(shape) == 5 else shape[1:]
    if math.prod(inputs) > 9:  # filters without a mean keep a deep random network from forgetting its input
        values -= values.mean(tuple(range(values.dim() - len(inputs), values.dim())), keepdim=True)
    gain = next((gain for pattern, gain in _GAINS.items() if re.search(pattern, name)), math.sqrt(2))
    return values * (gain / math.sqrt(math.prod(inputs)))
