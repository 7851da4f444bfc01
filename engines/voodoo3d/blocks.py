"""Blocks: what lift and transfer are built of. Attribute names are the checkpoint's, so that no mapping stands between.

Pictures are [B, C, H, W]; tokens are [B, H * W, C], row-major. All bilinear resizing has half-pixel centres.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.architecture import Architecture


def with_coordinates(image: Tensor) -> Tensor:
    """`image` [B, 3, H, W] with two channels more: x and y, from -1 on the first pixel to +1 on the last."""
    batch, _, height, width = image.shape
    x = torch.linspace(-1, 1, width, device=image.device).to(image.dtype)
    y = torch.linspace(-1, 1, height, device=image.device).to(image.dtype)
    return torch.cat((image, x.expand(batch, 1, height, -1), y[:, None].expand(batch, 1, -1, width)), 1)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """[B, inputs, H, W] -> [B, outputs, H / stride, W / stride], rounded up; `kernel` is odd, zeros beyond the border."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)


def doubled(image: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2 H, 2 W], bilinear."""
    return F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


class Residual(nn.Module):
    """ResNet basic block (arXiv 1512.03385) whose batch norms were folded away before training."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1, self.conv2 = conv(inputs, outputs, stride=stride), conv(outputs, outputs)
        if stride == 2:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W], or half the side where `outputs` are not `inputs`; nothing below 0."""
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        return F.relu(self.conv2(F.relu(self.conv1(x))) + shortcut)


class Stem(nn.Module):
    """ResNet-34 as far as its second stage; the official network computes two more and throws them away."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        narrow, wide = arch.thinned(64), arch.thinned(128)
        self.conv1 = nn.Conv2d(5, narrow, 7, 2, 3, bias=False)
        self.layer1 = nn.Sequential(*(Residual(narrow, narrow) for _ in range(3)))
        self.layer2 = nn.Sequential(Residual(narrow, wide), *(Residual(wide, wide) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 5, S, S] -> [B, 128, S/8, S/8]."""
        return self.layer2(self.layer1(F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)))


class PooledEverywhere(nn.Sequential):
    """The picture's mean, through a 1x1 convolution, at every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H, W]."""
        return super().forward(input).expand(-1, -1, *input.shape[2:])


class AtrousPyramid(nn.Module):
    """One picture looked at with five reaches (ASPP, arXiv 1706.05587)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        dilated = [
            nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate), nn.ReLU())
            for rate in (12, 24, 36)
        ]
        pooled = PooledEverywhere(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inputs, outputs, 1), nn.ReLU())
        self.convs = nn.ModuleList([nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU()), *dilated, pooled])
        self.project = nn.Sequential(nn.Conv2d(5 * outputs, outputs, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.project(torch.cat([branch(x) for branch in self.convs], 1))


class DeepLab(nn.Module):
    """Picture with coordinates [B, 5, S, S] -> features [B, 256, S/8, S/8]."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        wide = arch.thinned(256)
        self.encoder = Stem(arch)
        self.decoder = nn.Sequential(AtrousPyramid(arch.thinned(128), wide), conv(wide, wide), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """As the class says; S a multiple of 8."""
        return self.decoder(self.encoder(x))


class PatchEmbed(nn.Module):
    """Every second pixel's neighbourhood as one token."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.proj = conv(inputs, width, stride=2)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> tokens [B, H/2 * W/2, width]."""
        return self.tokens(self.proj(x))

    def tokens(self, projected: Tensor) -> Tensor:
        """What `proj` made, [B, width, H/2, W/2], as tokens [B, H/2 * W/2, width]."""
        return self.norm(projected.flatten(2).transpose(1, 2))


class Attention(nn.Module):
    """Self-attention; with `reduction` 2 the keys and values come from a map of half the side (SegFormer, arXiv 2105.15203)."""

    def __init__(self, width: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.proj = nn.Linear(width, width)
        if reduction > 1:
            self.sr = nn.Conv2d(width, width, reduction, reduction)
            self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Tokens [B, side * side, width] -> the same shape."""
        batch, _, width = x.shape
        source = x if self.reduction == 1 else self.norm(self.sr(as_map(x, side)).flatten(2).transpose(1, 2))
        query = self.q(x).view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
        key, value = self.kv(source).view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        return self.proj(seen.transpose(1, 2).reshape(batch, -1, width))


class DepthwiseOnTokens(nn.Module):
    """A 3x3 depthwise convolution of the map that tokens make up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Tokens [B, side * side, width] -> the same shape."""
        return self.dwconv(as_map(x, side)).flatten(2).transpose(1, 2)


class MixFeedForward(nn.Module):
    """A feed-forward layer that also looks at each token's eight neighbours, which stands in for positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.dwconv = DepthwiseOnTokens(2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Tokens [B, side * side, width] -> the same shape."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), side)))


class Block(nn.Module):
    """A transformer block of SegFormer (arXiv 2105.15203): attention, then the feed-forward layer, each added to what came in."""

    def __init__(self, width: int, heads: int, reduction: int = 1) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads, reduction)
        self.norm2, self.mlp = nn.LayerNorm(width), MixFeedForward(width)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Tokens [B, side * side, width] -> the same shape."""
        x = x + self.attn(self.norm1(x), side)
        return x + self.mlp(self.norm2(x), side)


def as_map(tokens: Tensor, side: int) -> Tensor:
    """Tokens [B, side * side, C] as a map [B, C, side, side]; a view, whose memory runs along the channels."""
    batch, count, width = tokens.shape
    assert count == side * side, (count, side)
    return tokens.view(batch, side, side, width).permute(0, 3, 1, 2)


def unshuffled(tokens: Tensor, side: int) -> Tensor:
    """Tokens [B, side * side, 4 C] as a map [B, C, 2 side, 2 side]."""
    return F.pixel_shuffle(as_map(tokens, side), 2)
