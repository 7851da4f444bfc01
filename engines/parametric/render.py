"""Render: a driven head from each camera, on the CPU, a few views at a time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.parametric.drive import ParametricState
from engines.raster import fan

MOST_THREADS = 4


class MeshRenderer:
    """Owns the threads. May be called from several threads at once."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(len(os.sched_getaffinity(0)), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="parametric")

    def __call__(self, state: ParametricState, cameras: Cameras) -> ViewSet:
        """[V, H, W, 4] views, in perspective, from wherever the cameras stand."""
        out = np.empty((len(cameras), cameras.height, cameras.width), np.uint32)
        avatar, each = state.avatar, min(-(-len(cameras) // self.threads), fan.LANES)
        texture = avatar.coloured.words

        def views(first: int) -> None:
            some = slice(first, first + each)
            of = cameras.cam2world[some], cameras.intrinsics[some]
            fan.draw(state.points, *of, avatar.drawn, avatar.look, texture, out[some])

        list(self._pool.map(views, range(0, len(cameras), each)))
        images = out.view(np.uint8).reshape(len(cameras), cameras.height, cameras.width, 4)
        return ViewSet(torch.from_numpy(images), cameras.first)
