"""Deform: where an expression carries the points of the canonical head. F_ex of the thesis, which is NPM's (arXiv 2104.00702)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.parametric.architecture import FULL, SKIP_SCALE, Architecture
from engines.parametric.network import SHARPNESS


class Deformation(nn.Module):
    """Displacement of canonical points under (z_id, z_ex); posed = point + displacement."""

    def __init__(self, arch: Architecture = FULL) -> None:
        super().__init__()
        self.arch = arch
        self.inputs = 3 + arch.z_id + arch.z_ex
        self.skip = arch.deform_layers // 2
        widths = [self.inputs, *(arch.deform_layers * [arch.deform_hidden]), 3]
        for k in range(arch.deform_layers + 1):
            out = widths[k + 1] - self.inputs if k + 1 == self.skip else widths[k + 1]
            self.add_module(f"lin{k}", nn.Linear(widths[k], out))
        last = self.get_submodule(f"lin{arch.deform_layers}")
        assert isinstance(last, nn.Linear)
        with torch.no_grad():  # an untrained expression hardly moves anything
            last.weight *= 0.1
            last.bias.zero_()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], z_id: int = FULL.z_id) -> Self:
        """The network whose tensors these are, ready to be asked. Raises RuntimeError where names or shapes do not fit."""
        hidden, inputs = state["lin0.weight"].shape
        layers = sum(name.endswith("weight") for name in state) - 1
        arch = replace(FULL, z_id=z_id, z_ex=inputs - 3 - z_id, deform_hidden=hidden, deform_layers=layers)
        made = cls(arch)
        made.load_state_dict(dict(state), strict=True)
        return made.eval()

    def displacement(self, points: Tensor, z_id: Tensor, z_ex: Tensor) -> Tensor:
        """[B, N, 3] for points [B, N, 3] and codes [B, Z], [B, E]."""
        assert z_ex.shape[1:] == (self.arch.z_ex,), (
            f"an expression has {self.arch.z_ex} numbers, not {tuple(z_ex.shape[1:])}"
        )
        codes = torch.cat((z_id, z_ex), 1)[:, None].expand(-1, points.shape[1], -1)
        inputs = torch.cat((points, codes), -1)
        x = inputs
        for k in range(self.arch.deform_layers + 1):
            if k == self.skip:
                x = torch.cat((x, inputs), -1) * SKIP_SCALE
            x = self.get_submodule(f"lin{k}")(x)
            if k < self.arch.deform_layers:
                x = F.softplus(x, beta=SHARPNESS)
        return x
