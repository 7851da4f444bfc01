"""Lift: one picture to a tri-plane of the frontal head, wherever the picture's head looks (arXiv 2312.04651, section 3.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.architecture import PLANE_CHANNELS, Architecture
from engines.voodoo3d.blocks import Block, DeepLab, PatchEmbed, conv, doubled, unshuffled, with_coordinates

PLANES = 3 * PLANE_CHANNELS


class TokensToPlanes(nn.Module):
    """What ELow and the expression transfer end in: deep tokens to a plane-sized map. A base class, since the checkpoint
    names these convolutions beside those of the network they belong to."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        wide, narrow = arch.thinned(256), arch.thinned(128)
        self.side = arch.tokens
        self.conv1, self.conv2, self.conv3 = conv(wide, narrow), conv(narrow, narrow), conv(narrow, PLANES)

    def to_planes(self, tokens: Tensor) -> Tensor:
        """Tokens [B, (S/16)^2, 1024] -> [B, 96, S/2, S/2]."""
        x = F.relu(self.conv1(doubled(unshuffled(tokens, self.side))))
        return self.conv3(F.relu(self.conv2(doubled(x))))


class LowFrequency(TokensToPlanes):
    """ELow: the head's shape, from deep features of the whole picture."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(arch)
        self.deeplabv3_backbone = DeepLab(arch)
        self.patch_embed = PatchEmbed(arch.thinned(256), arch.width)
        for k in range(1, 6):
            self.add_module(f"block{k}", Block(arch.width, heads=4))

    def forward(self, image: Tensor) -> Tensor:
        """Picture with coordinates [B, 5, S, S] -> [B, 96, S/2, S/2]."""
        tokens = self.patch_embed(self.deeplabv3_backbone(image))
        for k in range(1, 6):
            tokens = self.get_submodule(f"block{k}")(tokens, self.side)
        return self.to_planes(tokens)


class HighFrequency(nn.Module):
    """EHigh: strands and pores, from shallow features."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(5, arch.thinned(64), 7, 2, 3)
        self.conv2 = conv(arch.thinned(64), PLANES)
        self.conv3, self.conv4, self.conv5 = conv(PLANES, PLANES), conv(PLANES, PLANES), conv(PLANES, PLANES)

    def forward(self, image: Tensor) -> Tensor:
        """Picture with coordinates [B, 5, S, S] -> [B, 96, S/2, S/2]."""
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            image = F.leaky_relu(layer(image), 0.01)
        return image


class Lift(nn.Module):
    """Picture [B, 3, S, S] in 0..1 -> planes [B, 3, 32, S/2, S/2]."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.side = arch.planes // 2
        self.elo, self.ehi = LowFrequency(arch), HighFrequency(arch)
        wide, narrow = arch.thinned(256), arch.thinned(128)
        self.conv1, self.conv2 = conv(2 * PLANES, wide), conv(wide, narrow)
        self.patch_embed = PatchEmbed(narrow, arch.width)
        self.transformer_block = Block(arch.width, heads=2, reduction=2)
        self.conv3, self.conv4 = conv(arch.width // 4 + PLANES, wide), conv(wide, narrow)
        self.conv5, self.conv6 = conv(narrow, narrow), conv(narrow, PLANES)

    def forward(self, image01: Tensor) -> Tensor:
        """As the class says."""
        image = with_coordinates(image01)
        low = self.elo(image)
        x = torch.cat((low, self.ehi(image)), 1)
        for layer in (self.conv1, self.conv2):
            x = F.leaky_relu(layer(x), 0.01)
        tokens = self.transformer_block(self.patch_embed(x), self.side)
        x = torch.cat((unshuffled(tokens, self.side), low), 1)
        for layer in (self.conv3, self.conv4, self.conv5):
            x = F.leaky_relu(layer(x), 0.01)
        return self.conv6(x).unflatten(1, (3, PLANE_CHANNELS))
