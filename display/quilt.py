"""Quilt: all views of one moment, tiled as the glass expects. Knows nothing of faces or engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    padded = (
        screen.columns * screen.tile_width < screen.quilt_width
        or screen.rows * screen.tile_height < screen.quilt_height
    )
    full = screen.views == screen.columns * screen.rows and not padded
    make = torch.empty if full else torch.zeros
    pixels = make((screen.quilt_height, screen.quilt_width, 4), dtype=torch.uint8, device=some.device)
    for part in shown:
        for offset, image in enumerate(part.images):
            tile_of(pixels, screen, part.first + offset).copy_(image)
    if mark is not None:
        for first in range(0, screen.views, screen.columns):
            _, top = screen.tile_origin(first)
            tiles = min(screen.columns, screen.views - first)
            row = pixels[top : top + screen.tile_height, : tiles * screen.tile_width]
            mark.put(row.unflatten(1, (tiles, screen.tile_width)))
    return Quilt(pixels, screen)


def tile_of(pixels: torch.Tensor, screen: Screen, view: int) -> torch.Tensor:
    """The part of a quilt's `pixels` that holds `view`: [tile_height, tile_width, 4], shared memory."""
    left, top = screen.tile_origin(view)
    return pixels[top : top + screen.tile_height, left : left + screen.tile_width]
