"""Curves: the smallest components that a runtime can run, an engine of one, and small networks, for tests of runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from engines.runtime import Component, Precision
from engines.runtime.cache import Key
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.network import Voodoo3D

SMALL = Architecture(image=64, thin=16)


class Curve(nn.Module):
    """Something small that is not linear, slow enough for threads to meet in it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0, 5.0]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x * self.weight)


class Branching(Curve):
    """Asks for a number on its way: no program, no recording."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if float(x.sum()) > 0 else x


def component_of(module: nn.Module, **changes: Any) -> Component:
    made = Component(
        "curve", module, lambda: (torch.tensor([0.1, 0.2, 0.3]),), agreement=dict.fromkeys(Precision, 40.0)
    )
    return replace(made, **changes)


KEY = Key("curve", "a GPU", "9.0", "580", "11.0", "2.13", "2.13", "float32", "3", "p", "w")
"Of what was built for a curve."


@dataclass(frozen=True)
class Trial:
    """An engine of one component, whose half precision is off by `error`."""

    error: float = 0.0

    def components(self, device: torch.device, precision: Precision) -> Sequence[Component]:
        module = Curve()
        module.weight.data += 0.0 if precision is Precision.FLOAT32 else self.error
        return [component_of(module, agreement={Precision.FLOAT32: 80.0, Precision.FLOAT16: 50.0})]

    @classmethod
    def on_trial(cls, small: bool = False) -> Trial:
        return cls()


@cache
def small_network(precision: Precision) -> Voodoo3D:
    return synthetic.network(SMALL, dtype=precision.dtype)
