"""Modulated: what stands between two convolutions of a StyleGAN2 decoder, in one pass over its picture.

Demodulation, gain, noise, bias, leaky ReLU, bending by a condition and the next layer's style are a pass each in torch, and so are
the styles before colours. On an H200, 24 views of 512 x 512 in half precision were super-resolved in 65.5 ms with this kernel and in
86.5 without (docs/hardware.md); six of them take 0.48 ms of it, 4.0 TB/s. torch.compile may get about as far, after minutes, which
benchmarks.views_per_second --seams tells. The definition is engines/voodoo3d/superres.py's.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from engines.kernels.launch import launch, parts_of

GAIN = tl.constexpr(math.sqrt(2))
SLOPE = tl.constexpr(0.2)
Bend = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
"Scale and shift, each [V, C / 2, H, W] as its convolution left it, with the bias [C / 2] of that."
PIXELS, CHANNELS = 32, 64
"A program's share of a picture: 128 bytes of each of 32 pixels."


@triton.jit
def _finish(picture,               # [V, C, H * W] at any strides, in and out
            demodulation,          # [V, C]
            noise,                 # [H * W]
            strength,              # [1]
            bias,                  # [C]
            scale, shift,          # [V, C / 2, H * W] as picture, and
            scale_bias, shift_bias,  # [C / 2], what is yet to be added to them; not read unless BENDS
            style,                 # [V, C]; not read unless STYLED
            channels, pixels, view_stride, channel_stride, pixel_stride, half_view_stride, half_pixel_stride,
            BENDS: tl.constexpr, STYLED: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # fmt: skip
    """Grid (pixels / PIXELS, channels / CHANNELS, views)."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    view = tl.program_id(2).to(tl.int64)  # 24 views of 64 channels at 512 x 512 are close to what 32 bits count
    known, seen = channel < channels, pixel < pixels
    inside = seen[:, None] & known[None, :]
    place = pixel[:, None] * pixel_stride + channel[None, :] * channel_stride
    x = tl.load(picture + view * view_stride + place, mask=inside, other=0.0).to(tl.float32)
    of_view = view * channels + channel
    x *= (tl.load(demodulation + of_view, mask=known, other=0.0).to(tl.float32) * GAIN)[None, :]
    grain = tl.load(noise + pixel, mask=seen, other=0.0).to(tl.float32) * tl.load(strength).to(tl.float32)
    x += grain[:, None] + tl.load(bias + channel, mask=known, other=0.0).to(tl.float32)[None, :]
    x = tl.where(x > 0, x, x * SLOPE)
    if BENDS:
        upper = inside & (channel >= channels // 2)[None, :]
        bent = view * half_view_stride + pixel[:, None] * half_pixel_stride
        of_half = channel - channels // 2
        bent += of_half[None, :] * channel_stride
        bends = known & (of_half >= 0)
        more = tl.load(scale_bias + of_half, mask=bends, other=0.0).to(tl.float32)
        x *= tl.load(scale + bent, mask=upper, other=1.0).to(tl.float32) + more[None, :]
        more = tl.load(shift_bias + of_half, mask=bends, other=0.0).to(tl.float32)
        x += tl.load(shift + bent, mask=upper, other=0.0).to(tl.float32) + more[None, :]
    if STYLED:
        x *= tl.load(style + of_view, mask=known, other=0.0).to(tl.float32)[None, :]
    tl.store(picture + view * view_stride + place, x.to(picture.dtype.element_ty), mask=inside)


def finish(picture: Tensor,       # [V, C, H, W], what the convolution left
           demodulation: Tensor,  # [V, C]
           noise: Tensor,         # [1, 1, H, W]
           strength: Tensor,      # [1], of the noise
           bias: Tensor,          # [1, C, 1, 1]
           bend: Bend | None = None,
           style: Tensor | None = None) -> Tensor:  # fmt: skip
    """`picture`, in place: leaky(picture * demodulation * sqrt(2) + strength * noise + bias), then its upper half of channels
    times and plus `bend`, then times `style` [V, C]. Arithmetic is float32."""
    views, channels, height, width = picture.shape
    alike = torch.channels_last if picture.stride(1) == 1 else torch.contiguous_format
    assert picture.is_contiguous(memory_format=alike), picture.stride()
    assert noise.shape[-2:] == (height, width), noise.shape
    (scale, scale_bias), (shift, shift_bias) = bend or ((picture, bias), (picture, bias))
    scale, shift = scale.contiguous(memory_format=alike), shift.contiguous(memory_format=alike)
    grid = parts_of(height * width, PIXELS), parts_of(channels, CHANNELS), views
    launch(
        _finish, grid, picture, demodulation.contiguous(), noise.contiguous(), strength, bias, scale, shift,
        scale_bias, shift_bias, demodulation if style is None else style.contiguous(),
        channels, height * width, picture.stride(0), picture.stride(1), picture.stride(3), scale.stride(0), scale.stride(3),
        BENDS=bend is not None, STYLED=style is not None, PIXELS=PIXELS, CHANNELS=CHANNELS, warps=4,
    )  # fmt: skip
    return picture
