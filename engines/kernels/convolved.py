"""Convolved: what is to be done to what a convolution left, in one pass: bias, leaky ReLU, a sum, twice or half the side.

In torch each is a pass of its own, and its enlarging of channels-last pictures is sixteen times slower than an H200's memory: six
views spend 16.4 ms in super-resolution there, 6.1 of them enlarging, 2.0 on biases, 1.0 halving, 0.5 in leaky ReLUs
(docs/hardware.md). Computed from shapes, not measured: enlarging 6x64x256x256 in half precision reads 50 MB and writes 201, 0.06 ms
of that card's 4.3 TB/s; all that is done here moves 3.6 GB, 0.8 ms. (modulated.py's kernel, one of the same kind, was seen to move
4.0 TB/s.) The definition is engines/voodoo3d/superres.py's.
"""

# pyright: reportGeneralTypeIssues=false
# (to Python a kernel's parts are functions that may not be called, so their results have no type)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from engines.kernels.launch import launch, parts_of, power_of_two

SLOPE = tl.constexpr(0.2)
ELEMENTS, MOST_CHANNELS = 1024, 64
"A program's share of a picture, and how many channels of a pixel are in it: of half precision 128 bytes."


@triton.jit
def _of_channels(numbers, channel, known):
    """[1, CHANNELS] float32, one for each channel."""
    return tl.load(numbers + channel, mask=known, other=0.0).to(tl.float32)[None, :]


@triton.jit
def _leaky(x):
    return tl.where(x > 0, x, x * SLOPE)


@triton.jit
def _settle(picture, bias,         # [V, C, H * W] at any strides, in and out; [C]
            added,                 # as picture; not read unless ADDS
            channels, pixels, view_stride, channel_stride, pixel_stride,
            ADDS: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # fmt: skip
    """Grid (pixels / PIXELS, channels / CHANNELS, views)."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    inside = (pixel < pixels)[:, None] & known[None, :]
    place = tl.program_id(2).to(tl.int64) * view_stride
    place += pixel[:, None] * pixel_stride + channel[None, :] * channel_stride
    x = tl.load(picture + place, mask=inside, other=0.0).to(tl.float32)
    x = _leaky(x + _of_channels(bias, channel, known))
    if ADDS:
        x += tl.load(added + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(picture + place, x.to(picture.dtype.element_ty), mask=inside)


@triton.jit
def _halve(large, small,           # [V, C, 2 H * 2 W] and [V, C, H * W] at any strides
           bias,                   # [C]; not read unless BENDS
           channels, pixels, width, large_view_stride, large_channel_stride, large_pixel_stride,
           small_view_stride, small_channel_stride, small_pixel_stride,
           BENDS: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr):  # fmt: skip
    """Grid (pixels of small / PIXELS, channels / CHANNELS, views)."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    view = tl.program_id(2).to(tl.int64)
    known = channel < channels
    inside = (pixel < pixels)[:, None] & known[None, :]
    corner = (pixel // width) * 4 * width + (pixel % width) * 2
    more = _of_channels(bias, channel, known) if BENDS else 0.0
    mean = tl.zeros((PIXELS, CHANNELS), tl.float32)
    for part in tl.static_range(4):
        place = (corner + (part // 2) * 2 * width + part % 2)[:, None] * large_pixel_stride
        place += channel[None, :] * large_channel_stride
        x = tl.load(large + view * large_view_stride + place, mask=inside, other=0.0).to(tl.float32)
        mean += 0.25 * (_leaky(x + more) if BENDS else x)
    place = pixel[:, None] * small_pixel_stride + channel[None, :] * small_channel_stride
    tl.store(small + view * small_view_stride + place, mean.to(small.dtype.element_ty), mask=inside)


@triton.jit
def _double(small, large,          # [V, C, H * W] and [V, C, 2 H * 2 W] at any strides
            bias,                  # [C]: of small if it BENDS, of large if small is ADDED to that; else not read
            style,                 # [V, C], onto small; not read unless STYLED
            channels, height, width, small_view_stride, small_channel_stride, small_pixel_stride,
            large_view_stride, large_channel_stride, large_pixel_stride,
            BENDS: tl.constexpr, STYLED: tl.constexpr, ADDED: tl.constexpr, LEAKY: tl.constexpr,
            CELLS: tl.constexpr, CHANNELS: tl.constexpr):  # fmt: skip
    """Grid (cells / CELLS, channels / CHANNELS, views). A cell has four pixels of small at its corners, the edge's repeated beyond
    the picture, and in it lie four of large, a quarter of its side from its corners, that depend on no others."""
    cell = tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    view = tl.program_id(2).to(tl.int64)
    known = channel < channels
    row, column = cell // (width + 1) - 1, cell % (width + 1) - 1  # of the upper left corner
    inside = (row < height)[:, None] & known[None, :]
    upper, lower = tl.maximum(row, 0) * width, tl.minimum(row + 1, height - 1) * width
    left, right = tl.maximum(column, 0), tl.minimum(column + 1, width - 1)
    of_channel = small + view * small_view_stride + channel[None, :] * small_channel_stride
    a = tl.load(of_channel + (upper + left)[:, None] * small_pixel_stride, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(of_channel + (upper + right)[:, None] * small_pixel_stride, mask=inside, other=0.0).to(tl.float32)
    c = tl.load(of_channel + (lower + left)[:, None] * small_pixel_stride, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(of_channel + (lower + right)[:, None] * small_pixel_stride, mask=inside, other=0.0).to(tl.float32)
    more = _of_channels(bias, channel, known) if BENDS or ADDED else 0.0
    if BENDS:
        a, b, c, d = _leaky(a + more), _leaky(b + more), _leaky(c + more), _leaky(d + more)
    if STYLED:
        factor = _of_channels(style + view * channels, channel, known)
        a, b, c, d = a * factor, b * factor, c * factor, d * factor
    of_channel = large + view * large_view_stride + channel[None, :] * large_channel_stride
    for part in tl.static_range(4):
        down, along = part // 2, part % 2
        y, x = 2 * row + 1 + down, 2 * column + 1 + along
        of_upper, of_left = 0.75 - 0.5 * down, 0.75 - 0.5 * along
        value = of_upper * (of_left * a + (1 - of_left) * b) + (1 - of_upper) * (of_left * c + (1 - of_left) * d)
        there = inside & ((y >= 0) & (y < 2 * height) & (x >= 0) & (x < 2 * width))[:, None]
        place = of_channel + (y * 2 * width + x)[:, None] * large_pixel_stride
        if ADDED:
            before = tl.load(place, mask=there, other=0.0).to(tl.float32) + more
            value += _leaky(before) if LEAKY else before
        tl.store(place, value.to(large.dtype.element_ty), mask=there)


def settled(picture: Tensor,               # [V, C, H, W], what a convolution without its bias left
            bias: Tensor,                  # [C]
            added: Tensor | None = None    # as picture
            ) -> Tensor:  # fmt: skip
    """`picture`, in place: leaky(picture + bias) + added. Arithmetic is float32 here and below, layouts stay as they are."""
    views, channels, height, width = picture.shape
    other = picture if added is None else added.contiguous(memory_format=layout(picture))
    assert other.shape == picture.shape, other.shape
    pixels_at_once, channels_at_once = _shares(channels)
    grid = parts_of(height * width, pixels_at_once), parts_of(channels, channels_at_once), views
    launch(
        _settle, grid, picture, bias, other, channels, height * width, *_strides(picture),
        ADDS=added is not None, PIXELS=pixels_at_once, CHANNELS=channels_at_once, warps=4,
    )  # fmt: skip
    return picture


def halved(picture: Tensor, bias: Tensor | None = None) -> Tensor:
    """`picture` [V, C, 2 H, 2 W] at half its side, each pixel the mean of four; with `bias` [C], of leaky(picture + bias)."""
    views, channels, height, width = picture.shape
    assert height % 2 == width % 2 == 0, picture.shape
    small = _empty(picture, height // 2, width // 2)
    pixels_at_once, channels_at_once = _shares(channels)
    pixels = small.shape[2] * small.shape[3]
    grid = parts_of(pixels, pixels_at_once), parts_of(channels, channels_at_once), views
    launch(
        _halve, grid, picture, small, picture if bias is None else bias,
        channels, pixels, width // 2, *_strides(picture), *_strides(small),
        BENDS=bias is not None, PIXELS=pixels_at_once, CHANNELS=channels_at_once, warps=4,
    )  # fmt: skip
    return small


def doubled(picture: Tensor, bias: Tensor | None = None, style: Tensor | None = None) -> Tensor:
    """`picture` [V, C, H, W] at twice its side, bilinear, half-pixel centres (blocks.doubled); with `bias` [C] leaky(picture + bias)
    is, with `style` [V, C] picture * style."""
    large = _empty(picture, 2 * picture.shape[2], 2 * picture.shape[3])
    nothing = picture if bias is None else bias
    return _doubled(picture, large, nothing, style, BENDS=bias is not None, ADDED=False, LEAKY=False)


def doubled_onto(large: Tensor,      # [V, C, 2 H, 2 W], what a convolution without its bias left
                 bias: Tensor,       # [C], of large
                 picture: Tensor,    # [V, C, H, W]
                 leaky: bool = True) -> Tensor:  # fmt: skip
    """`large`, in place: leaky(large + bias) + doubled(picture); not `leaky`: large + bias + doubled(picture)."""
    picture = picture.contiguous(memory_format=layout(large))
    return _doubled(picture, large, bias, None, BENDS=False, ADDED=True, LEAKY=leaky)


def _doubled(small: Tensor, large: Tensor, bias: Tensor, style: Tensor | None, **way: bool) -> Tensor:
    views, channels, height, width = small.shape
    assert large.shape == (views, channels, 2 * height, 2 * width), (small.shape, large.shape)
    cells_at_once, channels_at_once = _shares(channels)
    grid = parts_of((height + 1) * (width + 1), cells_at_once), parts_of(channels, channels_at_once), views
    launch(
        _double, grid, small, large, bias, small if style is None else style.contiguous(),
        channels, height, width, *_strides(small), *_strides(large),
        STYLED=style is not None, **way, CELLS=cells_at_once, CHANNELS=channels_at_once, warps=4,
    )  # fmt: skip
    return large


def layout(picture: Tensor) -> torch.memory_format:
    """How `picture` [V, C, H, W] lies in memory: channels last, or row by row."""
    return torch.channels_last if picture.stride(1) == 1 else torch.contiguous_format


def _strides(picture: Tensor) -> tuple[int, int, int]:
    """From view to view, from channel to channel, from pixel to pixel."""
    assert picture.is_contiguous(memory_format=layout(picture)), picture.stride()
    return picture.stride(0), picture.stride(1), picture.stride(3)


def _empty(like: Tensor, height: int, width: int) -> Tensor:
    shape = *like.shape[:2], height, width
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout(like))


def _shares(channels: int) -> tuple[int, int]:
    """Pixels and channels of a program."""
    at_once = min(MOST_CHANNELS, power_of_two(channels))
    return ELEMENTS // at_once, at_once
