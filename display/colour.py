"""Colour: a quilt's RGBA as the YUV that video encoders take. Knows nothing of codecs.

BT.601, limited range, one chroma sample for every 2x2 pixels: of their mean, rounded to 8 bits, so it lies in their middle
(chroma_sample_loc_type 1 of H.264). A single pixel's would alias on hair and shift colours by half a pixel. The arithmetic is
OpenCV's (COLOR_RGBA2YUV_I420, INTER_AREA): weights rounded to 2^-20, sums in 32-bit integers, halves rounded up. `plain` is the
definition; `tensor` says the same on a device and rows.py in a compiled loop, to the last bit.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor

SHIFT = 20
LUMA = (269484, 528482, 102760)
"What red, green and blue add to Y, in 2^-20."
BLUENESS = (-155188, -305135, 460324)
REDNESS = (460324, -385875, -74448)
BLACK = (16 << SHIFT) + (1 << SHIFT - 1)
"Y of black, and the half that rounds."
GREY = (128 << SHIFT) + (1 << SHIFT - 1)
"U and V of grey, likewise."


class Layout(Enum):
    """How the chroma lies below the luma of a [3/2 H, W] picture."""

    I420 = "i420"
    "All of U, then all of V: what x264 takes."
    NV12 = "nv12"
    "U and V of each sample side by side: what NVENC takes."


def tensor(pixels: Tensor, layout: Layout) -> Tensor:
    """As `plain`, [H, W, 4] uint8 -> [3/2 H', W'] uint8, by tensor operations alone: two dozen of them, whatever the size.

    No device is waited for.
    """
    height, width = pixels.shape[:2]
    if height % 2:
        pixels = torch.cat([pixels[:1], pixels])
    if width % 2:
        pixels = torch.cat([pixels, pixels[:, -1:]], dim=1)
    rgb = pixels[..., :3].permute(2, 0, 1).to(torch.int32)
    yuv = pixels.new_empty((pixels.shape[0] * 3 // 2, pixels.shape[1]))
    y, u, v = planes(yuv, layout)
    y.copy_(_weighed(rgb, LUMA, BLACK))
    mean = rgb[:, ::2, ::2] + rgb[:, ::2, 1::2]
    mean.add_(rgb[:, 1::2, ::2]).add_(rgb[:, 1::2, 1::2]).add_(2).bitwise_right_shift_(2)
    u.copy_(_weighed(mean, BLUENESS, GREY))
    v.copy_(_weighed(mean, REDNESS, GREY))
    return yuv


def plain(rgba: np.ndarray, layout: Layout) -> np.ndarray:
    """[3/2 H', W'] uint8 of `rgba` [H, W, 4] uint8: the definition, in numpy.

    Odd sizes repeat their upper row and their right column, so that these share their colours with nothing else.
    """
    rgb = even(rgba)[..., :3].astype(np.int32)
    yuv = np.empty((rgb.shape[0] * 3 // 2, rgb.shape[1]), np.uint8)
    y, u, v = planes(yuv, layout)
    y[...] = (rgb @ np.array(LUMA, np.int32) + BLACK) >> SHIFT
    mean = (rgb[::2, ::2] + rgb[::2, 1::2] + rgb[1::2, ::2] + rgb[1::2, 1::2] + 2) >> 2
    u[...] = (mean @ np.array(BLUENESS, np.int32) + GREY) >> SHIFT
    v[...] = (mean @ np.array(REDNESS, np.int32) + GREY) >> SHIFT
    return yuv


def planes(yuv: Any, layout: Layout) -> tuple[Any, Any, Any]:
    """Y [H, W], U and V [H/2, W/2] of `yuv` [3/2 H, W] (array or tensor, contiguous), shared memory."""
    height, width = yuv.shape[0] * 2 // 3, yuv.shape[1]
    chroma = yuv[height:].reshape(-1)
    if layout is Layout.NV12:
        pairs = chroma.reshape(height // 2, width // 2, 2)
        return yuv[:height], pairs[..., 0], pairs[..., 1]
    u, v = chroma.reshape(2, height // 2, width // 2)
    return yuv[:height], u, v


def _weighed(rgb: Tensor, weights: tuple[int, int, int], zero: int) -> Tensor:
    """[h, w] int32 of rgb [3, h, w] int32."""
    total = rgb[0] * weights[0]
    total.add_(rgb[1], alpha=weights[1]).add_(rgb[2], alpha=weights[2])
    return total.add_(zero).bitwise_right_shift_(SHIFT)


def even(rgba: np.ndarray) -> np.ndarray:
    """[H', W', 4] of [H, W, 4]: itself, or with what odd sides lack."""
    height, width = rgba.shape[:2]
    return np.pad(rgba, ((height % 2, 0), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else rgba
