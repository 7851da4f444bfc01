"""Quilt: all views of one moment, tiled as the glass expects. Knows nothing of faces or engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from display.label import Mark
from display.screen import Screen
from display.views import ViewSet


@dataclass(frozen=True)
class Quilt:
    """All views of one moment, as one picture."""

    pixels: torch.Tensor
    "[quilt_height, quilt_width, 4] uint8 RGBA, sRGB, top row first."
    screen: Screen


def compose(parts: Sequence[ViewSet], screen: Screen, mark: Mark | None = None) -> Quilt:
    """Tile `parts`, which together hold every view of `screen` once, and put the mark into each view.

    Unused pixels at the right and at the top stay black.
    """
    shown = in_order(parts, screen)
    lay = _on_cpu if shown[0].images.device.type == "cpu" else on_device
    return Quilt(lay(shown, screen, mark), screen)


def in_order(parts: Sequence[ViewSet], screen: Screen) -> list[ViewSet]:
    """`parts`, once it is sure that they hold every view of `screen` once, of the size of its tiles."""
    shown = sorted(parts, key=lambda part: part.first)
    held = [view for part in shown for view in range(part.first, part.first + len(part))]
    assert held == list(range(screen.views)), (held, screen.views)
    size = (screen.tile_height, screen.tile_width)
    assert all(part.images.shape[1:3] == size for part in shown), ([p.images.shape for p in shown], size)
    return shown


def _on_cpu(parts: Sequence[ViewSet], screen: Screen, mark: Mark | None) -> torch.Tensor:
    """The pixels, [H, W, 4] uint8, tile by tile, as arrays: the definition.

    torch spreads a copy of 256 kB over all cores and waits for them: on two busy cores composing took 48 ms, this 2.
    """
    pixels = torch.empty((screen.quilt_height, screen.quilt_width, 4), dtype=torch.uint8)
    canvas = pixels.numpy()
    _clear_unused(canvas, screen)
    for part in parts:
        for offset, image in enumerate(part.images.numpy()):
            tile_of(canvas, screen, part.first + offset)[...] = image
    if mark is not None:
        for first in range(0, screen.views, screen.columns):
            _, top = screen.tile_origin(first)
            tiles = min(screen.columns, screen.views - first)
            row = canvas[top : top + screen.tile_height, : tiles * screen.tile_width]
            mark.put(row.reshape(screen.tile_height, tiles, screen.tile_width, 4))
    return pixels


def on_device(parts: Sequence[ViewSet], screen: Screen, mark: Mark | None) -> torch.Tensor:
    """As `_on_cpu`, [H, W, 4] uint8, in a handful of tensor operations however many views there are; the device is not waited for.

    A pixel is moved as one 32-bit word: four times fewer elements than bytes.
    """
    columns, rows = screen.columns, screen.rows
    words = [part.images.contiguous().view(torch.int32)[..., 0] for part in parts]
    views = words[0] if len(words) == 1 else torch.cat(words)
    tiles = F.pad(views, (0, 0, 0, 0, 0, columns * rows - screen.views)).unflatten(0, (rows, columns))
    pixels = torch.zeros((screen.quilt_height, screen.quilt_width, 4), dtype=torch.uint8, device=views.device)
    grid = _grid(pixels.view(torch.int32), screen)
    grid[..., 0].copy_(tiles.flip(0).transpose(1, 2))  # the lowest row of tiles is the first
    if mark is not None:
        full, rest = divmod(screen.views, columns)
        grid = _grid(pixels, screen)
        mark.put(grid[rows - full :])
        if rest:
            mark.put(grid[rows - full - 1, :, :rest])
    return pixels


def _grid(pixels: torch.Tensor, screen: Screen) -> torch.Tensor:
    """[rows, tile_height, columns, tile_width, C] of [quilt_height, quilt_width, C]: the tiles, top row first, shared memory."""
    used = pixels[-screen.rows * screen.tile_height :, : screen.columns * screen.tile_width]
    return used.unflatten(1, (screen.columns, -1)).unflatten(0, (screen.rows, -1))


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
