"""Planar: the picture that a video encoder takes, of a quilt, or of the views themselves, which then are read once and never laid out.

Composing 24 views of 256x256 and converting the quilt moves each pixel through the memory four times; done at once it is 0.5 ms
of one core instead of 2.1 (AMD EPYC, 2026-11-27).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from display import colour
from display.colour import Layout, planes
from display.label import Mark
from display.quilt import compose, in_order
from display.screen import Screen
from display.views import ViewSet

UNMARKED = np.zeros((0, 0), np.int32)


def composed(parts: Sequence[ViewSet], screen: Screen, mark: Mark | None, layout: Layout) -> Tensor:
    """[3/2 H', W'] uint8 on the device of `parts`: `converted` of the quilt that quilt.compose makes of them, to the last bit."""
    if parts[0].images.device.type != "cpu" or not (_compiled() and _even_tiles(screen)):
        return converted(compose(parts, screen, mark).pixels, layout)
    picture = np.empty((screen.quilt_height * 3 // 2, screen.quilt_width), np.uint8)
    if screen.views * screen.tile_width * screen.tile_height < screen.quilt_width * screen.quilt_height:
        _blacken(picture)
    for part in in_order(parts, screen):
        corners = [screen.tile_origin(view) for view in range(part.first, part.first + len(part))]
        _convert(part.images.numpy(), corners, mark, picture)
    return torch.from_numpy(_sorted(picture, layout))


def converted(pixels: Tensor, layout: Layout) -> Tensor:
    """[3/2 H', W'] uint8, on the same device, of `pixels` [H, W, 4] uint8 RGBA: colour.plain. No device is waited for."""
    if pixels.device.type != "cpu":
        return colour.tensor(pixels, layout)
    rgba = pixels.numpy()
    if not _compiled():
        return torch.from_numpy(colour.plain(rgba, layout))
    rgba = colour.even(rgba)
    picture = np.empty((rgba.shape[0] * 3 // 2, rgba.shape[1]), np.uint8)
    _convert(rgba[None], [(0, 0)], None, picture)
    return torch.from_numpy(_sorted(picture, layout))


def warm_up() -> None:
    """Compile the loops, or load them from numba's cache."""
    converted(torch.zeros((2, 2, 4), dtype=torch.uint8), Layout.I420)


def _compiled() -> bool:
    """Whether the loops can be had; a bare machine with torch and numpy makes the same picture, later."""
    try:
        import display.rows  # noqa: F401
    except ImportError:
        return False
    return True


def _even_tiles(screen: Screen) -> bool:
    """Whether no 2x2 pixels belong to two tiles."""
    return not any(
        side % 2 for side in (screen.tile_width, screen.tile_height, screen.quilt_width, screen.quilt_height)
    )


def _convert(images: np.ndarray, corners: Sequence[tuple[int, int]], mark: Mark | None, picture: np.ndarray) -> None:
    """`images` [V, h, w, 4] uint8 into `picture` [3/2 H, W] uint8, I420, each at its corner (left, top)."""
    from display.rows import convert

    words = np.ascontiguousarray(images).view(np.uint32)[..., 0]
    keep, add, left, top = UNMARKED, UNMARKED, 0, 0
    if mark is not None:
        keep, add, left, top = mark.keep[:, 0, :, 0], mark.add[:, 0, :, 0], mark.left, mark.top
    convert(words, np.array(corners, np.int64), keep, add, left, top, *planes(picture, Layout.I420))


def _blacken(picture: np.ndarray) -> None:
    """Black in `picture` [3/2 H, W] uint8, I420."""
    height = picture.shape[0] * 2 // 3
    picture[:height], picture[height:] = colour.BLACK >> colour.SHIFT, colour.GREY >> colour.SHIFT


def _sorted(i420: np.ndarray, layout: Layout) -> np.ndarray:
    """`i420` [3/2 H, W] uint8 in `layout`."""
    if layout is Layout.I420:
        return i420
    nv12 = np.empty_like(i420)
    for target, source in zip(planes(nv12, layout), planes(i420, Layout.I420), strict=True):
        target[...] = source
    return nv12
