"""Render: posed Gaussians from each camera: by kernels on a GPU that runs them, otherwise by the compiled loops on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from display.optics import Cameras
from display.views import ViewSet
from engines.kernels.presence import available
from engines.loading import EachDevice
from engines.splats import plain
from engines.splats.avatar import SplatAvatar
from engines.splats.plain import Shapes

if TYPE_CHECKING:  # the one imports Triton, the other knows what it is given
    from engines.splats.fused import Kernels

VIEWS_AT_ONCE = 24
"On a GPU: a quilt's. Scratch memory is 0.16 GB at 512 x 512 with 20,000 Gaussians, counted (kernels.splatting.scratch_bytes)."

log = logging.getLogger(__name__)


class Renderer:
    """Keeps what frames of an avatar share for as long as the avatar is. May be called from several threads at once."""

    def __init__(self) -> None:
        self._shapes: WeakKeyDictionary[SplatAvatar, Shapes] = WeakKeyDictionary()
        self._devices = EachDevice(_kernels)

    def warm_up(self) -> None:
        """Compile, so that the first picture does not wait for it."""
        kernels = self._devices.here()
        if kernels is not None:
            kernels.warm_up()
            return
        from engines.splats import raster

        raster.compile_all()

    @property
    def views_at_once(self) -> int:
        """Views of a full batch on the device that this thread works on; on a CPU each is a piece of work of its own."""
        return 1 if self._devices.here() is None else VIEWS_AT_ONCE

    def __call__(self, avatar: SplatAvatar, coefficients: np.ndarray, cameras: Cameras) -> ViewSet:
        """V views of the avatar with its actions as large as `coefficients` [51] say; `cameras` moved as the head is turned."""
        return self.many([(avatar, coefficients, cameras)])[0]

    def many(self, requests: Sequence[tuple[SplatAvatar, np.ndarray, Cameras]]) -> list[ViewSet]:
        """Of each (avatar, coefficients [51], cameras) its views; on a GPU those of all fill the same batches."""
        kernels = self._devices.here()
        if kernels is None:
            return [ViewSet(self._by_loops(*one), one[2].first) for one in requests]
        return by_batches(kernels, requests)

    def _by_loops(self, avatar: SplatAvatar, coefficients: np.ndarray, cameras: Cameras) -> torch.Tensor:
        from engines.splats import raster  # numba, which a bare GPU machine lacks

        shapes = self._shapes.get(avatar)
        if shapes is None:
            shapes = self._shapes.setdefault(avatar, plain.prepared(avatar))
        return raster.draw(raster.posed(avatar, coefficients), shapes, cameras)


def by_batches(kernels: Kernels, requests: Sequence[tuple[SplatAvatar, np.ndarray, Cameras]]) -> list[ViewSet]:
    """Renderer.many's of (avatar, coefficients [51], cameras), VIEWS_AT_ONCE views of one size at a time."""
    from engines.splats.fused import Request

    shown: list[list[torch.Tensor]] = [[] for _ in requests]
    for size in dict.fromkeys((cameras.width, cameras.height) for _, _, cameras in requests):
        of_size = [k for k, (_, _, cameras) in enumerate(requests) if (cameras.width, cameras.height) == size]
        for batch in batches([(k, len(requests[k][2])) for k in of_size]):
            parts = [Request(*requests[k][:2], _some(requests[k][2], begin, end)) for k, begin, end in batch]
            made = kernels.draw(parts).split([end - begin for _, begin, end in batch])
            for (k, _, _), images in zip(batch, made, strict=True):
                shown[k].append(images)
    pictures = [images[0] if len(images) == 1 else torch.cat(images) for images in shown]
    return [ViewSet(each, cameras.first) for each, (_, _, cameras) in zip(pictures, requests, strict=True)]


def batches(wanted: Sequence[tuple[int, int]], most: int = VIEWS_AT_ONCE) -> list[list[tuple[int, int, int]]]:
    """Of (whose, how many views) the runs (whose, begin, end) in batches of `most`; the last one is not full at most."""
    found: list[list[tuple[int, int, int]]] = []
    room = 0
    for whose, views in wanted:
        begin = 0
        while begin < views:
            if room == 0:
                found.append([])
                room = most
            end = min(begin + room, views)
            found[-1].append((whose, begin, end))
            room -= end - begin
            begin = end
    return found


def _some(cameras: Cameras, begin: int, end: int) -> Cameras:
    return Cameras(
        cameras.cam2world[begin:end],
        cameras.intrinsics[begin:end],
        cameras.width,
        cameras.height,
        cameras.first + begin,
    )


def _kernels(device: torch.device) -> Kernels | None:
    """What draws on `device`; None where loops on the CPU do."""
    if device.type != "cuda":
        return None
    if not available(device):
        _say_once(str(device))
        return None
    from engines.splats.fused import Kernels

    return Kernels(device)


@cache
def _say_once(device: str) -> None:
    log.warning(
        "%s runs no Triton kernels (pip install triton, a GPU from Ampere on): Gaussians are drawn by the CPU", device
    )
