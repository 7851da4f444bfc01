"""Components: what ROME's networks do, as a runtime takes them: modules from float32 to float32, at the shapes a frame has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from engines.rome import unet
from engines.rome.offsets import INPUTS
from engines.runtime import Component, Precision
from engines.runtime.networks import InPrecision, smooth

if TYPE_CHECKING:
    from engines.rome.network import Rome

NETWORK = {Precision.FLOAT32: 80.0, Precision.FLOAT16: 40.0, Precision.BFLOAT16: 25.0}
"How many decibels below its span a network's output must stay; see runtime.Component.agreement."


def texture(network: Rome) -> Component:
    """A portrait and its matte [1, 4, S, S] in 0..1 -> texture [1, 8, S, S]; once per portrait."""
    return _component(network, "texture", network.autoencoder, lambda: _picture01(network, 4, 1), often=False)


def coefficients(network: Rome) -> Component:
    """A portrait [1, 3, S, S] in 0..1 -> the linear model's coefficients [1, 60]; once per portrait."""
    return _component(network, "coefficients", network.linear, lambda: _picture01(network, 3, 2), often=False)


def codes(network: Rome) -> Component:
    """A face's crop [1, 3, 224, 224] in 0..1 -> DECA's codes [1, 236]."""
    side = network.arch.crop
    return _component(network, "codes", network.deca, lambda: (smooth((1, 3, side, side), 3) + 1) / 2)


def mobile_codes(network: Rome) -> Component:
    """A whole picture [1, 3, S, S] in 0..1 -> expression, pose and camera [1, 59]."""
    return _component(network, "mobile codes", network.mobile, lambda: _picture01(network, 3, 4))


def geometry(network: Rome) -> Component:
    """A texture and where its texels lie [1, 47, S, S] -> what vertices look up [1, 32, S, S]."""
    return _component(network, "geometry", network.mesh_deformer, lambda: _encoded(network, 1, 5))


def offsets(network: Rome) -> Component:
    """What vertices looked up and where [1, N, 58] -> their offsets before the hyperbolic tangent [1, N, 3]."""
    count = len(network.flame.template)

    def example() -> Tensor:
        return torch.randn(1, count, INPUTS, generator=torch.Generator().manual_seed(6))

    return _component(network, "offsets", network.mlp_deformer, example)


def shading(network: Rome) -> Component:
    """A full batch of looked-up textures and normals [B, 47, S, S] -> colours and mask before the sigmoid [B, 4, S, S]."""
    return _component(network, "shading", network.unet, lambda: _encoded(network, network.views_at_once, 7))


def every(network: Rome) -> list[Component]:
    """All that `network` has the weights for, in the order of a frame."""
    per_portrait = [texture(network), *([coefficients(network)] if network.linear is not None else [])]
    per_frame = [
        *([codes(network)] if network.deca is not None else []),
        *([mobile_codes(network)] if network.mobile is not None else []),
        *([geometry(network), offsets(network)] if network.linear is None else []),
    ]
    return [*per_portrait, *per_frame, shading(network)]


def _component(
    network: Rome, name: str, module: nn.Module | None, example: Callable[[], Tensor], often: bool = True
) -> Component:
    assert module is not None, name
    return Component(name, InPrecision(module), lambda: (example().to(network.device),), often=often, agreement=NETWORK)


def _picture01(network: Rome, channels: int, seed: int) -> Tensor:
    """[1, channels, S, S] 0..1."""
    return (smooth((1, channels, network.arch.image, network.arch.image), seed) + 1) / 2


def _encoded(network: Rome, count: int, seed: int) -> Tensor:
    """[count, C, S, S] -1..1."""
    return smooth((count, unet.INPUTS, network.arch.image, network.arch.image), seed, 16)
