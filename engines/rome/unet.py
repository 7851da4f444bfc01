"""U-Net: the one shape that geometry and rendering share (arXiv 1505.04597, without a bottleneck of its own)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.rome.architecture import TEXTURE, Architecture
from engines.rome.blocks import Level
from engines.rome.harmonic import widened

INPUTS = TEXTURE + widened(3)
"A texture and a harmonically encoded map of three channels."


class UNet(nn.Module):
    """[B, 47, S, S] -> [B, outputs, S, S]."""

    def __init__(self, outputs: int, arch: Architecture) -> None:
        super().__init__()
        narrow, *widths = (arch.thinned(width) for width in (64, 128, 256, 512))
        deep = widths[-1]
        down = [(INPUTS, narrow, widths[0]), *zip(widths, widths, [*widths[1:], deep], strict=True)]
        up = [(2 * width, width, below) for width, below in zip(widths[::-1], [*widths[-2::-1], narrow], strict=True)]
        self.encoder = nn.ModuleList(nn.ModuleList([Level(*widths)]) for widths in down)
        self.decoder = nn.ModuleList(nn.ModuleList([Level(*widths)]) for widths in up)
        self.to_outputs = nn.Conv2d(narrow, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says; S a multiple of 16."""
        seen: list[Tensor] = []
        for k, (level,) in enumerate(self.encoder):  # type: ignore[misc]
            x = level(F.max_pool2d(x, 2) if k else x)
            seen.append(x)
        for (level,), beside in zip(self.decoder, seen[-2::-1], strict=True):  # type: ignore[misc]
            x = level(torch.cat((F.interpolate(x, scale_factor=2.0), beside), 1))
        return self.to_outputs(x)
