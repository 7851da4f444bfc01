"""Drawn: avatars that are drawn on this machine: an asset as a figure, moved by the newest record, if they live somewhere else."""

from __future__ import annotations

import asyncio

import numpy as np

from display import figure as display_figure
from display.figure import Pose
from display.label import mark
from display.meshes import Mesh, MeshPose
from display.optics import fan
from display.screen import Screen
from display.splats import SplatPose, Splats
from display.window import Drawn
from engines.geometry import glb, motion, plain
from engines.geometry.asset import Asset, posed
from engines.geometry.cloud import Cloud, covariances, placed
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

    def __init__(self, asset: Asset | Cloud, said: str | None) -> None:
        """`said`: what stands in every view, or None."""
        self._asset, self._said = asset, said

    def moved(self, how: Motion) -> Drawn:
        """It at one moment. Raises ValueError where `how` is of another asset."""
        return Drawn(self.on, _pose(self._asset, how))

    def on(self, screen: Screen) -> display_figure.Figure:
        """It, as `screen` wants it."""
        asset = self._asset
        body = _splats(asset) if isinstance(asset, Cloud) else _mesh(asset, screen)
        said = mark(screen, text=self._said) if self._said is not None else None
        return display_figure.Figure(screen, asset.parallel, body, asset.fade, said)


def _pose(asset: Asset | Cloud, how: Motion) -> Pose:
    if not isinstance(asset, Cloud):
        return MeshPose(*posed(asset, how))
    points = placed(asset, how)
    turn, place = how.joints[0][:, :3], how.joints[0][:, 3]
    return SplatPose(points @ turn.T + place, turn)


def _mesh(asset: Asset, screen: Screen) -> Mesh:
    atlas = plain.texture(asset, screen.tile_width, screen.tile_height, fan(screen).span)
    parts = tuple((part.triangles, part.culled) for part in asset.parts)
    return Mesh(asset.uv, parts, np.rint(np.clip(atlas, 0, 255)).astype(np.uint8))


def _splats(cloud: Cloud) -> Splats:
    return Splats(covariances(cloud), cloud.colours, cloud.opacities)


def figure_of(data: bytes) -> Figure:
    """The figure of an asset as it was sent. Raises AssetUnreadable."""
    return Figure(*glb.unpacked(data))
