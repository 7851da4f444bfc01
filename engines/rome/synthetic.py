"""Synthetic weights: the networks without training on a bust by formula, for benchmarks and tests. What they show is noise.

Every tensor follows from its name and shape alone, with gains that keep all stages finite and awake.
"""

from __future__ import annotations

import math
from zlib import crc32

import torch
from torch import Tensor

from engines.rome import bust, manifests
from engines.rome.architecture import Architecture
from engines.rome.network import Rome

SMALL, SMALL_BUST = Architecture(image=64, crop=64, thin=8), (21, 24)
"For tests: the same code at a fraction of its size."
_GAINS = {
    "to_outputs.weight": 2.0,
    "layers.2.weight": 0.7,
    "fc.weight": 0.01,
    "classifier.1.weight": 0.3,
    "block_2.8.weight": 0.05,
}
"Gain of a last layer; sqrt(2), which keeps the variance through a ReLU, for all other weights."


def tensors(
    arch: Architecture = Architecture(), *, linear: bool = False, deca: bool = True, mobile: bool = False
) -> dict[str, Tensor]:
    """As checkpoint.read names them: of the full model, or the linear one."""
    with torch.device("meta"):
        empty = {**manifests.networks(arch), **manifests.regressors(arch)}
    asked = {"linear": linear, "deca": deca, "mobile": mobile}
    left_out = [part for part, wanted in asked.items() if not wanted]
    drawn = {
        f"{part}.{name}": _drawn(f"{part}.{name}", tuple(tensor.shape))
        for part, network in empty.items()
        for name, tensor in network.state_dict().items()
        if part not in left_out and not name.endswith(manifests.COUNTER)
    }
    head = bust.tensors(*(SMALL_BUST if arch == SMALL else (bust.RINGS, bust.COLUMNS)))
    drawn |= {f"flame.{name}": tensor for name, tensor in head.items()}
    basis = bust.basis(head["template"]) if linear else {}
    return drawn | {f"basis.{name}": tensor for name, tensor in basis.items()}


def network(
    arch: Architecture = Architecture(),
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **parts: bool,
) -> Rome:
    """The full model, or the linear one; `parts` as those of `tensors`."""
    return Rome.from_tensors(tensors(arch, **parts), arch, device, dtype)


def _drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """float32 of `shape`: what a trained tensor of this name is like in size, [out, in, ...] where it is a filter."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(crc32(name.encode())))
    if name == "unet.to_outputs.bias":
        return torch.tensor([0.0, 0.0, 0.0, 2.0])
    if name.endswith(("bias", "running_mean")):
        return 0.02 * values
    if len(shape) == 1:
        of_residual = 0.5 if name.endswith("bn3.weight") else 1.0  # so that sixteen of them do not run away
        return of_residual * (1 + 0.02 * values.abs())
    fan_in = math.prod(shape[1:])
    if fan_in > 9:  # filters without a mean keep a deep random network from forgetting its input
        values -= values.mean(tuple(range(1, len(shape))), keepdim=True)
    if name == "unet.to_outputs.weight":
        values[3] *= 0.1  # a mask of noise would leave little to be seen
    gain = next((gain for ending, gain in _GAINS.items() if name.endswith(ending)), math.sqrt(2))
    return values * (gain / math.sqrt(fan_in))
