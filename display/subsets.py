"""Subsets: which of the screens that are watched show views that another one has rendered already, and how those are taken from it.

A form with every third view costs no rendering beside the whole quilt: its views are picked, shrunk where its tiles are smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from display.screen import Screen
from display.views import ViewSet


@dataclass(frozen=True)
class Subset:
    """Views of a screen, as another one shows them."""

    source: Screen
    views: tuple[int, ...]
    "Of the source, in the order in which they are shown."


def subsets(screens: Sequence[Screen]) -> dict[Screen, Subset]:
    """Where each of `screens` has its views from, in their order; from itself where it has to be rendered."""
    rendered: list[Screen] = []
    found: dict[Screen, Subset] = {}
    for screen in sorted(screens, key=lambda one: (one.every, -one.views, -one.tile_height)):
        source = next((one for one in rendered if _holds(one, screen)), screen)
        if source is screen:
            rendered.append(screen)
        places = {yaw: view for view, yaw in enumerate(source.yaws_degrees)}
        found[screen] = Subset(source, tuple(places[yaw] for yaw in screen.yaws_degrees))
    return {screen: found[screen] for screen in screens}


def _holds(source: Screen, screen: Screen) -> bool:
    """Whether `source` shows what `screen` does, as often, and no smaller."""
    return (
        source.aspect == screen.aspect
        and screen.every % source.every == 0
        and source.tile_width >= screen.tile_width
        and source.tile_height >= screen.tile_height
        and set(screen.yaws_degrees) <= set(source.yaws_degrees)
    )


def picked(parts: Sequence[ViewSet], views: Sequence[int], width: int, height: int) -> list[ViewSet]:
    """Of `parts`, which together hold every view of a source, those of `views` in their order, each `width` x `height` pixels."""
    held = {part.first + offset: part.images[offset : offset + 1] for part in parts for offset in range(len(part))}
    images = [held[view] for view in views]
    if images[0].shape[1:3] != (height, width):
        images = list(shrunk(torch.cat(images), width, height).split(1))
    return [ViewSet(image, place) for place, image in enumerate(images)]


def shrunk(images: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """[V, height, width, 4] uint8 of `images` [V, H, W, 4] uint8, each pixel the mean of those that it stands for."""
    channels = images.permute(0, 3, 1, 2)
    if channels.device.type != "cpu":  # the antialiased way takes bytes on the processor alone
        channels = channels.float()
    small = F.interpolate(channels, (height, width), mode="bilinear", antialias=True)
    if small.is_floating_point():
        small = small.round().to(torch.uint8)
    return small.permute(0, 2, 3, 1).contiguous()
