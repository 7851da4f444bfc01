"""Transfer: a driver's expression onto a source's tri-plane, as a residual (arXiv 2312.04651, section 3.2).

What depends on the source alone is computed once, at enrolment: its features, its planes' features, and both their shares of
the patch embedding, which is linear in its 640 input channels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.architecture import PLANE_CHANNELS, Architecture
from engines.voodoo3d.blocks import Block, DeepLab, PatchEmbed, conv, with_coordinates
from engines.voodoo3d.lift import PLANES, TokensToPlanes


class Transfer(TokensToPlanes):
    """A driver's expression onto a source's planes, both seen from the front (arXiv 2312.04651, section 3.2)."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__(arch)
        self.source_feat_extractor, self.driver_feat_extractor = DeepLab(arch), DeepLab(arch)
        narrow, self.wide = arch.thinned(128), arch.thinned(256)
        self.triplane_descriptor = nn.Sequential(
            conv(PLANES, PLANES, stride=2),
            nn.ReLU(),
            conv(PLANES, PLANES),
            nn.ReLU(),
            conv(PLANES, narrow, stride=2),
            nn.ReLU(),
            conv(narrow, narrow),
            nn.ReLU(),
            conv(narrow, narrow),
        )
        self.patch_embed = PatchEmbed(2 * self.wide + narrow, arch.width)
        self.block1, self.block2 = Block(arch.width, heads=4), Block(arch.width, heads=4)

    def source_share(self, frontal01: Tensor, planes: Tensor) -> Tensor:
        """[B, 1024, S/16, S/16]: all that the source's frontal picture [B, 3, S, S] in 0..1 and planes [B, 3, 32, S/2, S/2] add
        to the patch embedding."""
        source = self.source_feat_extractor(with_coordinates(frontal01))
        described = self.triplane_descriptor(planes.flatten(1, 2))
        weight, driver = self.patch_embed.proj.weight, slice(self.wide, 2 * self.wide)
        of_source = torch.cat((weight[:, : driver.start], weight[:, driver.stop :]), 1)
        return F.conv2d(torch.cat((source, described), 1), of_source, self.patch_embed.proj.bias, 2, 1)

    def residual(self, source_share: Tensor, driver_frontal01: Tensor) -> Tensor:
        """[B, 3, 32, S/2, S/2] to add to the source's planes; the driver's frontal picture is [B, 3, S, S] in 0..1."""
        driver = self.driver_feat_extractor(with_coordinates(driver_frontal01))
        weight = self.patch_embed.proj.weight[:, self.wide : 2 * self.wide]
        tokens = self.patch_embed.tokens(source_share + F.conv2d(driver, weight, None, 2, 1))
        tokens = self.block2(self.block1(tokens, self.side), self.side)
        return self.to_planes(tokens).unflatten(1, (3, PLANE_CHANNELS))
