"""Render: a state from a batch of cameras. The networks see square pictures through the official lens; screens get their shape."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from display import optics
from display.optics import Cameras
from display.views import ViewSet
from engines import shared_volume
from engines.shared_volume import Sampling
from engines.voodoo3d.drive import Voodoo3dState
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import Voodoo3D


def render(network: Voodoo3D, state: Voodoo3dState, cameras: Cameras, samples: Samples, sampling: Sampling) -> ViewSet:
    """All of `cameras` in one march; super-resolved; put into the screen's shape on black."""
    square = network.superresolve(marched(network, state, cameras, samples, sampling))
    return ViewSet(in_shape(square, cameras), cameras.first)


def marched(network: Voodoo3D, state: Voodoo3dState, cameras: Cameras, samples: Samples, sampling: Sampling) -> Tensor:
    """[V, 3, 128, 128] about -1..1: square pictures before super-resolution."""
    cam2world = torch.from_numpy(in_heads_world(state.pose, cameras.cam2world)).to(network.device)
    intrinsics = network.frontal()[1].expand(len(cameras), -1, -1)
    planes, side = state.planes.to(network.device), network.arch.marched
    if sampling is Sampling.SHARED_VOLUME:
        budget = shared_volume.Budget(side, samples.coarse, min(shared_volume.Budget.fine, samples.fine))
        return shared_volume.march(network.field(planes), cam2world, intrinsics, side, budget)[0]
    return network.march(planes, cam2world, intrinsics, side, samples.coarse, samples.fine, 3)[0]


def in_heads_world(pose: np.ndarray, cam2world: np.ndarray) -> np.ndarray:
    """[V, 4, 4] float32: the display's cameras as the turned head sees them; the frontal one becomes `pose`."""
    return (pose @ np.linalg.inv(optics.orbit(0)) @ cam2world).astype(np.float32)


def in_shape(square: Tensor, cameras: Cameras) -> Tensor:
    """[V, height, width, 4] uint8 RGBA of square pictures [V, 3, S, S] (-1..1): what the cameras' lens shows of the crop."""
    across, down = cameras.span
    side = square.shape[-1]
    seen = square[..., _middle(side, round(side * min(down, 1.0))), _middle(side, round(side * min(across, 1.0)))]
    height, width = round(cameras.height / max(down, 1.0)), round(cameras.width / max(across, 1.0))
    small = F.interpolate(seen, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    pixels = square.new_zeros((len(square), cameras.height, cameras.width, 4), dtype=torch.uint8)
    pixels[..., 3] = 255
    inside = (slice(None), _middle(cameras.height, height), _middle(cameras.width, width), slice(0, 3))
    pixels[inside] = ((small + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    return pixels


def _middle(whole: int, part: int) -> slice:
    begin = (whole - part) // 2
    return slice(begin, begin + part)
