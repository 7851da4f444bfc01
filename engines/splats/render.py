"""Render: posed Gaussians from each camera, by the quickest road that this machine has."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.splats import plain, raster
from engines.splats.avatar import SplatAvatar
from engines.splats.plain import Shapes


class Renderer:
    """Keeps what frames of an avatar share for as long as the avatar is. May be called from several threads at once."""

    def __init__(self) -> None:
        self._shapes: WeakKeyDictionary[SplatAvatar, Shapes] = WeakKeyDictionary()

    def warm_up(self) -> None:
        """Compile, so that the first picture does not wait for it."""
        raster.compile_all()

    def __call__(self, avatar: SplatAvatar, points: np.ndarray, cameras: Cameras) -> ViewSet:
        """V views of the avatar's Gaussians at `points` [N, 3] (SplatAvatar.posed); `cameras` moved as the head is turned."""
        shapes = self._shapes.get(avatar)
        if shapes is None:
            shapes = self._shapes.setdefault(avatar, plain.prepared(avatar))
        return ViewSet(raster.draw(torch.from_numpy(points), shapes, cameras), cameras.first)
