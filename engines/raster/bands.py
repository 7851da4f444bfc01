"""Bands: the rules on a CPU, compiled, in bands of rows that a few threads share. Its twin is plain.py."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import Tensor

from engines.raster.plain import EPSILON, Fragments

MOST_THREADS = 4


def rasterised(
    screen: Tensor,  # [V, N, 3] float32 on the CPU
    faces: Tensor,  # [F, 3] integers
    side: int,
) -> Fragments:
    """What each of the side x side samples of V pictures shows: plain.rasterised, on several threads."""
    views, places, corners = len(screen), screen.double().numpy(), faces.to(torch.int32).numpy()
    shown = np.full((views, side, side), -1, np.int32)
    barycentric = np.zeros((views, side, side, 3), np.float32)
    nearest = np.full((views, side, side), np.inf)
    pool, threads = _pool()
    bands = 1 if views >= threads else threads
    bounds = pairwise(np.linspace(0, side, bands + 1).round().astype(int).tolist())
    jobs = [
        pool.submit(_draw, places[view], corners, top, bottom, shown[view], barycentric[view], nearest[view])
        for top, bottom in bounds
        for view in range(views)
    ]
    for job in jobs:
        job.result()
    return Fragments(torch.from_numpy(shown), torch.from_numpy(barycentric))


@cache
def _pool() -> tuple[ThreadPoolExecutor, int]:
    threads = min(len(os.sched_getaffinity(0)), MOST_THREADS)
    return ThreadPoolExecutor(threads, thread_name_prefix="raster"), threads


@njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
def _draw(
    screen: np.ndarray,  # [N, 3] float64
    faces: np.ndarray,  # [F, 3] int32
    row0: int,
    row1: int,
    shown: np.ndarray,  # [S, S] int32 out
    barycentric: np.ndarray,  # [S, S, 3] float32 out
    nearest: np.ndarray,  # [S, S] float64 out: depth
) -> None:
    side = shown.shape[0]
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        area = (cx - ax) * (by - ay) - (cy - ay) * (bx - ax)
        # what is not finite fails here: its area is not a number, or nothing is within the picture
        if not (abs(area) > EPSILON and abs(area) < np.inf and abs(az + bz + cz) < np.inf):
            continue
        left, right = min(ax, min(bx, cx)), max(ax, max(bx, cx))
        top, bottom = min(ay, min(by, cy)), max(ay, max(by, cy))
        first_row = max(math.ceil(max((top + 1) * side / 2 - 0.5, -1.0)), row0)
        last_row = min(math.floor(min((bottom + 1) * side / 2 - 0.5, side + 0.0)), row1 - 1)
        first = max(math.ceil(max((left + 1) * side / 2 - 0.5, -1.0)), 0)
        last = min(math.floor(min((right + 1) * side / 2 - 0.5, side + 0.0)), side - 1)
        for i in range(first_row, last_row + 1):
            y = -1 + (2 * i + 1) / side
            for j in range(first, last + 1):
                x = -1 + (2 * j + 1) / side
                u = ((x - bx) * (cy - by) - (y - by) * (cx - bx)) / (area + EPSILON)
                v = ((x - cx) * (ay - cy) - (y - cy) * (ax - cx)) / (area + EPSILON)
                w = ((x - ax) * (by - ay) - (y - ay) * (bx - ax)) / (area + EPSILON)
                if not (u > 0 and v > 0 and w > 0):
                    continue
                depth = u * az + v * bz + w * cz
                if depth < nearest[i, j]:
                    nearest[i, j], shown[i, j] = depth, face
                    barycentric[i, j, 0], barycentric[i, j, 1], barycentric[i, j, 2] = u, v, w
