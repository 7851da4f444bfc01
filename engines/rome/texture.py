"""Texture: the encoder that lays a portrait out as a neural texture in FLAME's UV space (section 3.1 of the paper)."""

from __future__ import annotations

from torch import Tensor, nn

from engines.rome.architecture import TEXTURE, Architecture
from engines.rome.blocks import Bottleneck, group_norm


class TextureEncoder(nn.Module):
    """Portrait and matte [B, 4, S, S] in 0..1 -> texture [B, 8, S, S], unbounded."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        narrow, *wider = (arch.thinned(width) for width in (256, 512, 1024, 2048))
        layers: list[nn.Module] = [nn.Conv2d(4, narrow, 7, padding=3, bias=False), *_inward(narrow, narrow)]
        for inputs, outputs in zip((narrow, *wider[:-1]), wider, strict=True):
            layers += [nn.MaxPool2d(2), *_inward(inputs, outputs)]
        falling = [*reversed(wider), narrow]
        for k, (inputs, outputs) in enumerate(zip(falling, [*falling[1:], narrow], strict=True)):
            layers += [nn.Upsample(scale_factor=2)] * (k > 0) + _outward(inputs, outputs)
        layers += [group_norm(narrow), nn.ReLU(), nn.Conv2d(narrow, TEXTURE, 1)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """As the class says; S a multiple of 16."""
        return self.net(x)


def _inward(inputs: int, outputs: int) -> list[nn.Module]:
    """A group of the encoder: its width changes in the first block."""
    return [Bottleneck(inputs, outputs // 4, outputs), Bottleneck(outputs, outputs // 4, outputs)]


def _outward(inputs: int, outputs: int) -> list[nn.Module]:
    """A group of the decoder: its width changes in the second block, whose inside is as wide as before."""
    return [Bottleneck(inputs, inputs // 4, inputs), Bottleneck(inputs, inputs // 4, outputs)]
