"""Visible: the form of engines/raster that suits a device."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor

from engines.kernels.presence import available
from engines.raster.plain import Fragments
from engines.runtime import say_once


def rasterised(
    screen: Tensor,  # [V, N, 3] float32
    faces: Tensor,  # [F, 3] int32
    side: int,
) -> Fragments:
    """What each sample shows, where `screen` is; see engines/raster."""
    device = screen.device
    if device.type != "cpu" and available(device):
        return import_module("engines.kernels.raster").rasterised(screen, faces, side)
    if device.type != "cpu":
        say_once(f"kernels need Triton (pip install triton) and a GPU from Ampere on, so the CPU draws for {device}")
    seen = _on_cpu().rasterised(screen.cpu(), faces.cpu(), side)
    return Fragments(*(part.to(device) for part in seen))


@cache
def _on_cpu() -> ModuleType:
    return import_module("engines.raster.bands" if find_spec("numba") else "engines.raster.plain")


def compile_all() -> None:
    """Compile what draws on a CPU, or load it from numba's cache."""
    rasterised(torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]], dtype=torch.int32), 2)
