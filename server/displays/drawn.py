"""Drawn: avatars that are drawn on this machine: an asset as a figure, moved by the newest record, if they live somewhere else."""

from __future__ import annotations

import asyncio

import numpy as np

from display import figure as display_figure
from display.label import mark
from display.optics import fan
from display.screen import Screen
from display.window import Drawn
from engines.geometry import glb, motion, plain
from engines.geometry.asset import Asset, posed
from engines.geometry.motion import Motion, MotionUnreadable, Record


class Motions:
    """The newest record of motion: one waiting place, where an older one that comes late is dropped. Event loop only."""

    def __init__(self) -> None:
        self._newest: Record | None = None
        self._sequence = -1
        self._came = asyncio.Event()

    def take(self, data: bytes) -> None:
        """What came by the data channel."""
        try:
            record = motion.unpacked(data)
        except MotionUnreadable:
            return
        if record.sequence > self._sequence:
            self._newest, self._sequence = record, record.sequence
            self._came.set()

    async def newest(self) -> Motion:
        """The newest that nobody has had, once there is one."""
        await self._came.wait()
        self._came.clear()
        assert self._newest is not None
        return self._newest.motion


class Figure:
    """An asset, as windows draw it."""

    def __init__(self, asset: Asset, said: str | None) -> None:
        """`said`: what stands in every view, or None."""
        self._asset, self._said = asset, said

    def moved(self, how: Motion) -> Drawn:
        """It at one moment. Raises ValueError where `how` is of another asset."""
        points, light = posed(self._asset, how)
        return Drawn(self.on, points, light)

    def on(self, screen: Screen) -> display_figure.Figure:
        """It, as `screen` wants it."""
        asset = self._asset
        atlas = plain.texture(asset, screen.tile_width, screen.tile_height, fan(screen).span)
        return display_figure.Figure(
            screen,
            asset.parallel,
            asset.uv,
            tuple((part.triangles, part.culled) for part in asset.parts),
            np.rint(np.clip(atlas, 0, 255)).astype(np.uint8),
            asset.fade,
            mark(screen, text=self._said) if self._said is not None else None,
        )


def figure_of(data: bytes) -> Figure:
    """The figure of an asset as it was sent. Raises AssetUnreadable."""
    return Figure(*glb.unpacked(data))
