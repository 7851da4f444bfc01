"""Raster: plain.py's rules on a CPU, compiled (strips.py), back to front; views and bands of rows are shared by a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from display.optics import Cameras
from engines.splats import plain, strips
from engines.splats.avatar import SplatAvatar
from engines.splats.plain import Pictures, Shapes
from engines.splats.strips import ROWS, STRIP

MOST_THREADS = 4
Finish = Callable[[int, slice, np.ndarray, np.ndarray], None]
"Told (view, rows, strips of colours, strips of depths)."


def posed(
    avatar: SplatAvatar,
    coefficients: np.ndarray,  # [51]
) -> Tensor:
    """[N, 3] float32: what SplatAvatar.posed gives, which is its twin."""
    points = avatar.points.copy()
    strips.pose(points, avatar.starts, avatar.which, avatar.moves, coefficients.astype(np.float32))
    return torch.from_numpy(points)


def draw(
    points: Tensor,  # [N, 3] float32 on the CPU: posed
    shapes: Shapes,
    cameras: Cameras,
) -> Tensor:
    """[V, H, W, 4] uint8 RGBA: plain.draw's colours, on black, opaque."""
    out = np.empty((len(cameras), cameras.height, cameras.width, 4), np.uint8)
    _in_bands(points, shapes, cameras, lambda view, rows, planes, _: strips.finish(planes, out[view, rows]))
    return torch.from_numpy(out)


def pictures(points: Tensor, shapes: Shapes, cameras: Cameras) -> Pictures:
    """plain.draw's of posed points [N, 3], in float32."""
    sums = np.empty((len(cameras), cameras.height, cameras.width, 5), np.float32)

    def finish(view: int, rows: slice, planes: np.ndarray, deep: np.ndarray) -> None:
        sums[view, rows, :, :4] = _unrolled(planes)[:, : cameras.width]
        sums[view, rows, :, 4] = _unrolled(deep)[:, : cameras.width, 0]

    _in_bands(points, shapes, cameras, finish, deep=True)
    whole = torch.from_numpy(sums)
    alpha = 1 - whole[..., 3]
    return Pictures(whole[..., :3], alpha, torch.where(alpha > 0, whole[..., 4] / alpha, torch.inf))


def compile_all() -> None:
    """Compile (or load from numba's cache) by drawing one Gaussian."""
    from display import optics

    one = Cameras(optics.orbit(0)[None], optics.intrinsics()[None], STRIP, STRIP)
    none = np.zeros(2, np.int32)
    strips.pose(np.zeros((1, 3), np.float32), none, none[:0], np.zeros((0, 3), np.float32), np.ones(1, np.float32))
    shapes = Shapes(torch.eye(6)[:1] / 100, torch.ones(1, 3), torch.ones(1))
    draw(torch.zeros(1, 3), shapes, one)


def _unrolled(planes: np.ndarray) -> np.ndarray:
    """[rows, S * STRIP, 4] of strips [S, 4, (rows + ROWS) * STRIP]."""
    apart = planes.reshape(len(planes), 4, -1, STRIP)[:, :, :-ROWS]
    return apart.transpose(2, 0, 3, 1).reshape(apart.shape[2], -1, 4)


def _in_bands(points: Tensor, shapes: Shapes, cameras: Cameras, finish: Finish, deep: bool = False) -> None:
    """Calls `finish` for each band of each view, on several threads."""
    places, covariances, colours = points.numpy(), shapes.covariances.numpy(), shapes.colours.numpy()
    logs = shapes.opacities.clamp(min=1e-9).log().numpy()
    look, lens = plain.world2cam(cameras).astype(np.float32), plain.lenses(cameras).astype(np.float32)
    size = np.array([cameras.width, cameras.height], np.float32)
    pool, threads = _pool()
    bands = 1 if len(cameras) >= threads else threads  # of few views, each band projects for itself

    def band(view: int, top: int, bottom: int) -> None:
        ellipses, depths, who = _projected(places, covariances, logs, look[view], lens[view], size)
        order = strips.by_depth(depths.view(np.int32))  # positive floats rise as their bits do
        planes = _empty(cameras.width, bottom - top)
        strips.blend(ellipses, who, order, colours, top, bottom, planes)
        distances = _empty(cameras.width, bottom - top if deep else 0)
        if deep:
            here = np.repeat(depths[:, None], 3, 1)
            strips.blend(ellipses, np.arange(len(who), dtype=np.int32), order, here, top, bottom, distances)
        finish(view, slice(top, bottom), planes, distances)

    bounds = list(pairwise(np.linspace(0, cameras.height, bands + 1).round().astype(int).tolist()))
    jobs = [pool.submit(band, view, *rows) for view in range(len(cameras)) for rows in bounds]
    for job in jobs:
        job.result()


def _projected(*given: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ellipses [M, 8], depths [M], who [M]) of what one camera sees (strips.project)."""
    count = len(given[0])
    made = np.empty((count, 8), np.float32), np.empty(count, np.float32), np.empty(count, np.int32)
    seen = strips.project(*given, *made)
    return made[0][:seen], made[1][:seen], made[2][:seen]


def _empty(width: int, rows: int) -> np.ndarray:
    """[S, 4, (rows + ROWS) * STRIP] float32: black, and all light let through."""
    planes = np.zeros((-(-width // STRIP), 4, (rows + ROWS) * STRIP), np.float32)
    planes[:, 3] = 1
    return planes


@cache
def _pool() -> tuple[ThreadPoolExecutor, int]:
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    return ThreadPoolExecutor(threads, thread_name_prefix="splats"), threads
