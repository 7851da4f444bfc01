"""Networks: what components of every engine are made of. A network between float32 tensors, and pictures to try one with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class InPrecision(nn.Module):
    """A network between float32 tensors, in the precision of its weights."""

    def __init__(self, network: nn.Module, verb: str = "forward") -> None:
        """`verb`: which of the network's methods; takes tensors and gives one."""
        super().__init__()
        self.network, self.verb = network, verb
        self.dtype = next(network.parameters()).dtype

    def forward(self, *inputs: Tensor) -> Tensor:
        """float32 in, float32 out, of the shapes of the network, whatever it computes in."""
        return getattr(self.network, self.verb)(*(tensor.to(self.dtype) for tensor in inputs)).float()


def smooth(shape: tuple[int, ...], seed: int, coarse: int = 8) -> Tensor:
    """Maps [B, C, S, S] in -1..1 without pixels of their own, as pictures have none; the same on every machine."""
    noise = torch.randn(*shape[:2], coarse, coarse, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=shape[2:], mode="bicubic").tanh()
