"""Super-resolution: a ray-marched picture to four times its side, by GFPGAN's v1 "clean" network (arXiv 2101.04061).

Deterministic: its noise is stored in the checkpoint. A batch of views is one dense convolution per layer: the style scales the
layer's input and the demodulation its output, which is the same as a convolution with weights of its own for each view.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.blocks import conv, doubled


def leaky(x: Tensor) -> Tensor:
    """Any shape; below 0 a fifth is left."""
    return F.leaky_relu(x, 0.2)


def unet_channels(size: int) -> int:
    """Of the U-Net's pictures of this side, in pixels."""
    return min(256, 16384 // size)


def style_channels(size: int) -> int:
    """Of the decoder's pictures of this side, in pixels."""
    return min(512, 32768 // size)


class Resized(nn.Module):
    """A residual block that also halves or doubles its picture."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1, self.conv2 = conv(inputs, inputs), conv(inputs, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[V, inputs, H, W] -> [V, outputs, factor * H, factor * W]."""
        resized = doubled if self.factor > 1 else lambda picture: F.avg_pool2d(picture, 2)
        # a 1x1 convolution and a resize commute: the narrower or smaller of the two pictures is resized
        shortcut = resized(self.skip(x)) if self.factor > 1 else self.skip(resized(x))
        return leaky(self.conv2(resized(leaky(self.conv1(x))))) + shortcut


class ModulatedConv(nn.Module):
    """StyleGAN2's convolution (arXiv 1912.04958) with the style applied around, not to, its weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, latent: int, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))
        self.modulation = nn.Linear(latent, inputs)
        self.demodulate = demodulate

    def forward(self, x: Tensor, latent: Tensor, upsample: bool = False) -> Tensor:
        """[V, inputs, H, W], styled by `latent` [V, 512] -> [V, outputs, H, W], or twice the side with `upsample`."""
        weight = self.weight[0]
        style = self.modulation(latent)
        x = x * style[:, :, None, None]
        out = F.conv2d(doubled(x) if upsample else x, weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return out
        return out * self.demodulation(style).to(out.dtype)[:, :, None, None]

    def demodulation(self, style: Tensor) -> Tensor:
        """[V, outputs] float32: what brings the outputs of inputs scaled by `style` [V, inputs] back to their variance."""
        return torch.rsqrt(style.float().square() @ self.energies().T + 1e-8)

    def energies(self) -> Tensor:
        """[outputs, inputs] float32, of the weights."""
        return self.weight[0].float().square().sum((2, 3))


class StyleConv(nn.Module):
    """A styled 3x3 convolution, its noise, its bias and its leaky ReLU: one layer of StyleGAN2's synthesis."""

    def __init__(self, inputs: int, outputs: int, latent: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, outputs, 3, latent, demodulate=True)
        self.weight = nn.Parameter(torch.empty(1))  # how strong the noise is
        self.bias = nn.Parameter(torch.empty(1, outputs, 1, 1))

    def forward(self, x: Tensor, latent: Tensor, noise: Tensor, upsample: bool = False) -> Tensor:
        """[V, inputs, H, W], `latent` [V, 512], `noise` [1, 1, H', W'] -> [V, outputs, H', W']; twice the side with `upsample`."""
        x = self.modulated_conv(x, latent, upsample) * math.sqrt(2)
        return leaky(x + (self.weight * noise + self.bias))


class ToRgb(nn.Module):
    """A layer's colours: a styled 1x1 convolution without demodulation."""

    def __init__(self, inputs: int, latent: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, 3, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """[V, inputs, H, W], `latent` [V, 512] -> [V, 3, H, W], about -1..1 once all layers' are summed."""
        return self.modulated_conv(x, latent) + self.bias


class LearnedStart(nn.Module):
    """`weight` [1, channels, 4, 4]: where every picture's synthesis begins."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, 4, 4))


class StoredNoise(nn.Module):
    """The buffers noise0 [1, 1, 4, 4], and from there two of each side 8, 16, ...: one a layer, the same in every picture."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        for k in range(2 * levels + 1):
            side = 4 << ((k + 1) // 2)
            self.register_buffer(f"noise{k}", torch.empty(1, 1, side, side))


class StyleDecoder(nn.Module):
    """StyleGAN2's synthesis, its features bent by the picture's own: scale and shift on the upper half of the channels."""

    def __init__(self, sizes: list[int], arch: Architecture) -> None:
        super().__init__()
        latent = arch.thinned(512)
        channels = [arch.thinned(style_channels(size)) for size in sizes]
        self.constant_input = LearnedStart(channels[0])
        self.style_conv1, self.to_rgb1 = StyleConv(channels[0], channels[0], latent), ToRgb(channels[0], latent)
        self.style_convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for before, after in pairwise(channels):
            self.style_convs.extend((StyleConv(before, after, latent), StyleConv(after, after, latent)))
            self.to_rgbs.append(ToRgb(after, latent))
        self.noises = StoredNoise(len(sizes) - 1)

    def forward(self, latents: Tensor, conditions: list[tuple[Tensor, Tensor]]) -> Tensor:
        """`latents`: [V, 2 L + 2, 512]; `conditions`: L pairs of scale and shift, [V, C/2, H, H] each, from H = 8 upwards.
        Returns [V, 3, S, S], about -1..1, not clamped."""
        noise = [self.noises.get_buffer(f"noise{k}") for k in range(len(self.style_convs) + 1)]
        x = self.constant_input.weight.expand(len(latents), -1, -1, -1)
        x = self.style_conv1(x, latents[:, 0], noise[0])
        rgb = self.to_rgb1(x, latents[:, 1])
        for k, (scale, shift) in enumerate(conditions):
            x = self.style_convs[2 * k](x, latents[:, 2 * k + 1], noise[2 * k + 1], upsample=True)
            kept, bent = x.chunk(2, 1)
            x = torch.cat((kept, bent * scale + shift), 1)
            x = self.style_convs[2 * k + 1](x, latents[:, 2 * k + 2], noise[2 * k + 2])
            rgb = doubled(rgb) + self.to_rgbs[k](x, latents[:, 2 * k + 3])
        return rgb


def head(channels: int) -> nn.Sequential:
    """[V, channels, H, W] of the U-Net -> a scale or a shift of the decoder's upper half of channels, the same shape."""
    return nn.Sequential(conv(channels, channels), nn.LeakyReLU(0.2), conv(channels, channels))


class SuperResolution(nn.Module):
    """Pictures [V, 3, S/4, S/4], about -1..1 -> [V, 3, S, S], about -1..1, not clamped."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.size = arch.image
        sizes = [4 << k for k in range(arch.image.bit_length() - 2)]  # 4 .. image
        channels = [arch.thinned(unet_channels(size)) for size in sizes]
        levels = len(sizes) - 1
        self.conv_body_first = nn.Conv2d(3, channels[-1], 1)
        falling = channels[::-1]
        self.conv_body_down = nn.ModuleList(Resized(falling[k], falling[k + 1], 0.5) for k in range(levels))
        self.final_conv = conv(channels[0], channels[0])
        self.conv_body_up = nn.ModuleList(Resized(channels[k], channels[k + 1], 2) for k in range(levels))
        self.condition_scale = nn.ModuleList(head(wide) for wide in channels[1:])
        self.condition_shift = nn.ModuleList(head(wide) for wide in channels[1:])
        self.latents, latent = 2 * levels + 2, arch.thinned(512)
        self.final_linear = nn.Linear(channels[0] * 16, self.latents * latent)
        self.stylegan_decoder = StyleDecoder(sizes, arch)

    def forward(self, rgb: Tensor) -> Tensor:
        """As the class says."""
        return self.stylegan_decoder(*self.seen(rgb))

    def seen(self, rgb: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """What the decoder is told of the pictures [V, 3, S/4, S/4]: its latents [V, 2 L + 2, 512], and L conditions, as
        StyleDecoder.forward takes them."""
        x = F.interpolate(rgb, size=self.size, mode="bilinear", align_corners=False)
        x = leaky(self.conv_body_first(x))
        down: list[Tensor] = []
        for block in self.conv_body_down:
            x = block(x)
            down.append(x)
        x = leaky(self.final_conv(x))
        latents = self.final_linear(x.flatten(1)).unflatten(1, (self.latents, -1))
        conditions = []
        for k, block in enumerate(self.conv_body_up):
            x = block(x + down.pop())
            conditions.append((self.condition_scale[k](x), self.condition_shift[k](x)))
        return latents, conditions
