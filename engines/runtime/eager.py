"""Eager: a component is its module, called. Slow on a GPU, right everywhere: what the other runtimes are held against."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.runtime import Component


class Eager:
    """The runtime that calls modules as they are."""

    name: ClassVar[str] = "eager"

    def prepare(self, component: Component) -> Called:
        """`component` as its module computes it; at any shape, at once."""
        return Called(component.module)


class Called:
    """A component as its module computes it, at any shape."""

    by = "eager"

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def __call__(self, *inputs: Tensor, out: Tensor | None = None) -> Tensor:
        """Run.__call__, of inputs of any shape [B, ...] that the module takes."""
        with torch.no_grad():
            result = self._module(*inputs)
        return result if out is None else out.copy_(result)


def on(device: str | torch.device, ahead_only: bool = False, built: Path | None = None) -> Eager:
    """The runtime for `device`, a torch name; `ahead_only` and `built` concern others."""
    if torch.device(device).type == "cuda":
        whole_float32()
    return Eager()


def whole_float32() -> None:
    """For the whole process: convolutions called float32 are; torch would round their inputs to 10 bits (3e-4 off)."""
    torch.backends.cudnn.allow_tf32 = False
