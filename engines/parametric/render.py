"""Render: a driven head from each camera, on the CPU, a few views at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.parametric.drive import ParametricState
from engines.raster import textured

MOST_THREADS = 4


class MeshRenderer:
    """Owns the threads. May be called from several threads at once."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(len(os.sched_getaffinity(0)), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="parametric")

    def __call__(self, state: ParametricState, cameras: Cameras) -> ViewSet:
        """[V, H, W, 4] views, in perspective, from wherever the cameras stand."""
        width, height = cameras.width, cameras.height
        out = np.empty((len(cameras), height, width, 4), np.uint8)
        avatar, coloured = state.avatar, state.avatar.coloured

        def views(start: int) -> None:
            owner, depth = np.empty((height, width), np.int32), np.empty((height, width), np.float32)
            for k in range(start, len(cameras), self.threads):
                places = textured.project(state.points, cameras.cam2world[k], cameras.intrinsics[k], width, height)
                textured.draw(
                    places,
                    avatar.triangles,
                    coloured.uv,
                    coloured.colours,
                    avatar.light,
                    coloured.texture,
                    owner,
                    depth,
                    out[k],
                )

        list(self._pool.map(views, range(self.threads)))
        return ViewSet(torch.from_numpy(out), cameras.first)
