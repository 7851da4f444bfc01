"""Quilt: all views of one moment, tiled as the glass expects. Knows nothing of faces or engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from display.label import Mark
from display.screen import Screen
from display.views import ViewSet


@dataclass(frozen=True)
class Quilt:
    pixels: torch.Tensor
    "[quilt_height, quilt_width, 4] uint8 RGBA, sRGB, top row first."
    screen: Screen


def compose(parts: Sequence[ViewSet], screen: Screen, mark: Mark | None = None) -> Quilt:
    """Tile `parts`, which together hold every view of `screen` once, and put the mark into each view.

    Unused pixels at the right and at the top stay black.
    """
    shown = sorted(parts, key=lambda part: part.first)
    held = [view for part in shown for view in range(part.first, part.first + len(part))]
    assert held == list(range(screen.views)), (held, screen.views)
    some = shown[0].images
    size = (screen.tile_height, screen.tile_width)
    assert all(part.images.shape[1:3] == size for part in shown), ([p.images.shape for p in shown], size)

    pixels = torch.empty((screen.quilt_height, screen.quilt_width, 4), dtype=torch.uint8, device=some.device)
    canvas = _plain(pixels)
    _clear_unused(canvas, screen)
    for part in shown:
        for offset, image in enumerate(_plain(part.images)):
            tile_of(canvas, screen, part.first + offset)[...] = image
    if mark is not None:
        for first in range(0, screen.views, screen.columns):
            _, top = screen.tile_origin(first)
            tiles = min(screen.columns, screen.views - first)
            row = canvas[top : top + screen.tile_height, : tiles * screen.tile_width]
            mark.put(row.reshape(screen.tile_height, tiles, screen.tile_width, 4))
    return Quilt(pixels, screen)


def _plain(tensor: torch.Tensor) -> Any:
    """The memory of a CPU tensor as an array, any other tensor as it is; both are sliced and assigned alike.

    torch spreads a copy of 256 kB over all cores and waits for them: on two busy cores composing took 48 ms, this 2.
    """
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _clear_unused(canvas: Any, screen: Screen) -> None:
    """Black at the right, at the top, and in the tiles that hold no view."""
    canvas[:, screen.columns * screen.tile_width :] = 0
    canvas[: screen.quilt_height - screen.rows * screen.tile_height] = 0
    for empty in range(screen.views, screen.columns * screen.rows):
        left, top = screen.tile_corner(empty)
        canvas[top : top + screen.tile_height, left : left + screen.tile_width] = 0


def tile_of(pixels: Any, screen: Screen, view: int) -> Any:
    """The part of a quilt's `pixels` (array or tensor) that holds `view`: [tile_height, tile_width, 4], shared memory."""
    left, top = screen.tile_origin(view)
    return pixels[top : top + screen.tile_height, left : left + screen.tile_width]
