"""Drawn: avatars that are drawn on this machine: an asset as a figure, moved by the newest record, if they live somewhere else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

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

USUAL_SPAN, LONGEST_SPAN = 0.040, 0.100
"Seconds between two pictures of a usual camera, and the most that one is taken to take."
JUMP = 0.5
"Seconds: whoever was not heard for so long is not followed from where it was."
LEARNED_PART = 0.1


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

    async def newest(self) -> Record:
        """The newest that nobody has had, once there is one."""
        await self._came.wait()
        self._came.clear()
        assert self._newest is not None
        return self._newest

    @property
    def waiting(self) -> bool:
        """Whether there is one that nobody has had."""
        return self._came.is_set()


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


class Actor:
    """A figure as records move it: within the time of one it goes from where it is to the newest pose. Decides without a clock; the twin
    of server/pages/geometry/actor.js, where times are milliseconds."""

    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._before: Drawn | None = None
        self._after: Drawn | None = None
        self._since, self._span, self._usual = float("-inf"), 0.0, USUAL_SPAN
        self._captured = 0.0

    def hear(self, record: Record, now: float) -> None:
        """A newer record has come at `now`, seconds. Raises ValueError where it is of another asset."""
        pose = self._figure.moved(record.motion)
        passed = record.captured - self._captured
        jumps = self._after is None or passed <= 0 or passed > JUMP
        if not jumps:
            self._usual += (min(passed, LONGEST_SPAN) - self._usual) * LEARNED_PART
        self._before, self._after = (pose if jumps else self.at(now)), pose
        self._captured, self._since = record.captured, now
        self._span = 0.0 if jumps else min(passed, self._usual)  # never behind by more than one record

    def mixture(self, now: float) -> float:
        """How far it is from one pose to the other at `now`, 0..1."""
        return min(1.0, max(0.0, (now - self._since) / self._span)) if self._span > 0 else 1.0

    def at(self, now: float) -> Drawn:
        """It at that moment; a record must have come."""
        assert self._before is not None
        assert self._after is not None
        share = np.float32(self.mixture(now))
        if share == 1:
            return self._after
        here, there = vars(self._before.pose), vars(self._after.pose)
        between = {name: here[name] + (there[name] - here[name]) * share for name in there}
        return replace(self._after, pose=replace(self._after.pose, **between))


def figure_of(data: bytes) -> Figure:
    """The figure of an asset as it was sent. Raises AssetUnreadable."""
    return Figure(*glb.unpacked(data))
