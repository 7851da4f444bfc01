"""Render: a driven state from each camera, on the CPU, in bands of rows that a few threads share."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import CROP
from engines.relief import strips
from engines.relief.avatar import ReliefAvatar
from engines.relief.drive import ReliefState
from engines.relief.texture import lower_fade, scaled

MOST_THREADS = 4
LARGEST_TEXTURE_SCALE = 2.0
KEPT_SCALES = 4
LARGEST_NUMBER = 1e6
"Pixels and texels: what is further away is a mistake, and would overflow the loops' 32 bits."


class StripRenderer:
    """Owns the threads. May be called from several threads at once."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(len(os.sched_getaffinity(0)), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="relief")

    def __call__(self, state: ReliefState, cameras: Cameras) -> ViewSet:
        """[V, H, W, 4] views. Cameras must stand on the horizontal circle about LOOK_AT; each may be as wide as it likes."""
        away = cameras.cam2world[:, 1, 2]
        assert np.abs(away).max() < 1e-3, f"relief renders cameras without pitch only; forward.y = {away}"
        width, height = cameras.width, cameras.height
        share_x, share_y = cameras.span
        across, down = width / (CROP * share_x), height / (CROP * share_y)
        avatar = state.avatar
        texture, tx, ty = _texture(avatar, across, down)
        points = _placed(state, width, height, (across, down), (tx, ty))
        axis = ((avatar.axis[0] - CROP / 2) * across + width / 2, avatar.axis[1] * across)
        yaws, wide, middle = cameras.yaws, cameras.intrinsics[:, 0, 0], cameras.intrinsics[:, 0, 2]
        stretch = wide / wide[0]
        cosines, sines = (stretch * np.cos(yaws)).astype(np.float32), (stretch * np.sin(yaws)).astype(np.float32)
        slides = ((middle - 0.5) * width + (stretch - 1) * (axis[0] - width / 2)).astype(np.float32)
        gain = _lower_edge(avatar, height, share_y)
        out = np.empty((len(cameras), height, width), np.uint32)
        mesh = avatar.mesh

        def band(rows: tuple[int, int]) -> None:
            strips.render_rows(
                points,
                mesh.triangles,
                mesh.beside,
                mesh.culled,
                texture,
                axis,
                cosines,
                sines,
                slides,
                gain,
                rows[0],
                rows[1],
                out,
            )

        bounds = np.linspace(0, height, 3 * self.threads + 1).round().astype(int).tolist()
        list(self._pool.map(band, itertools.pairwise(bounds)))
        images = torch.from_numpy(out.view(np.uint8).reshape(len(cameras), height, width, 4))
        return ViewSet(images, cameras.first)


def _placed(
    state: ReliefState, width: int, height: int, scale: tuple[float, float], texture: tuple[float, float]
) -> np.ndarray:
    """[N, 6] float32: x, y and depth in pixels of a picture, u and v in those of the texture, and light."""
    points = np.empty((len(state.points), 6), np.float32)
    points[:, 0] = (state.points[:, 0] - CROP / 2) * scale[0] + width / 2
    points[:, 1] = (state.points[:, 1] - CROP / 2) * scale[1] + height / 2
    points[:, 2] = state.points[:, 2] * scale[0]
    points[:, 3] = state.avatar.mesh.uv[:, 0] * texture[0]
    points[:, 4] = state.avatar.mesh.uv[:, 1] * texture[1]
    points[:, 5] = state.light
    # the loops index by these numbers and check nothing: what is not finite would end the process
    assert np.isfinite(points).all(), "a vertex is not finite"
    assert np.abs(points).max() < LARGEST_NUMBER, np.abs(points).max()
    return points


def _lower_edge(avatar: ReliefAvatar, height: int, share: float) -> np.ndarray:
    """[H] float32: the share of light of each row. A picture that shows more than the crop needs no fade: the figure has its own."""
    if share > 1.0 + avatar.fade / CROP:
        return np.ones(height, np.float32)
    return lower_fade(np.arange(height) + 0.5, height, avatar.fade * height / (CROP * share))


def _texture(avatar: ReliefAvatar, across: float, down: float) -> tuple[np.ndarray, float, float]:
    """The avatar's atlas [H, W, 4] at this tile scale, and the texture pixels per atlas pixel, across and down."""
    tx, ty = (min(avatar.zoom * scale, LARGEST_TEXTURE_SCALE) for scale in (across, down))
    height, width = avatar.atlas.shape[:2]
    size = (max(round(width * tx), 2), max(round(height * ty), 2))
    found = avatar.scaled.get(size)
    if found is None:
        found = scaled(avatar.atlas, tx, ty)
        for oldest in list(avatar.scaled)[: max(len(avatar.scaled) + 1 - KEPT_SCALES, 0)]:
            avatar.scaled.pop(oldest, None)
        avatar.scaled[size] = found
    return found, size[0] / width, size[1] / height
