"""Render: a state from a batch of cameras, as parallel projections along their axes: one drawing, one texture look-up, one U-Net.

The networks see square pictures in the crop's framing; screens get their shape. A camera's own focal length across and principal
point are part of its projection, so that the display's off-axis cameras (display/offaxis.py) are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from display.optics import FOCAL, Cameras
from display.views import ViewSet
from engines.lens import in_shape
from engines.rome.drive import RomeState
from engines.rome.mask import solid
from engines.rome.network import Rome
from engines.staging import onto


class Projection(NamedTuple):
    """From the head's frame to V square pictures: turned about the root, scaled, shifted."""

    turns: np.ndarray
    "[V, 3, 3]."
    scales: np.ndarray
    "[V, 3]: x and y of the screen, and depth, by the metre."
    shifts: np.ndarray
    "[V, 3]: of the picture's middle, in -1..1."
    upright: np.ndarray
    "[V, 3, 3]: the turns of what does not turn with the head, its root about the middle of the views."


def render(network: Rome, requests: Sequence[tuple[RomeState, Cameras]]) -> list[ViewSet]:
    """Each state from all of its cameras; views of all of them shaded together, whoever they belong to; on black."""
    if not requests:
        return []
    seen = [network.seen(on_screen(network, *each), each[0].normals.to(network.device)) for each in requests]
    textures = [state.avatar.texture.to(network.device).expand(len(cameras), -1, -1, -1) for state, cameras in requests]
    maps = [torch.cat(parts) for parts in zip(*seen, strict=True)]
    colours, soft = network.shade(torch.cat(textures), *maps)
    on_black = (colours * solid(soft)).split([len(cameras) for _, cameras in requests])
    return [
        ViewSet(in_shape(2 * some - 1, cameras), cameras.first)
        for some, (_, cameras) in zip(on_black, requests, strict=True)
    ]


def on_screen(network: Rome, state: RomeState, cameras: Cameras) -> Tensor:
    """[V, N, 3]: the state's vertices as the cameras see them, in the axes that raster draws in."""
    middle = state.avatar.stand.middle.astype(np.float32)[None]
    turns, scales, shifts, upright = (
        onto(part.astype(np.float32), network.device) for part in projection(state, cameras)
    )
    vertices, root = state.vertices.to(network.device), state.root.to(network.device)
    turned = (vertices - root[:, None]) @ turns.mT
    of_root = (root - onto(middle, network.device)) @ upright.mT
    return (turned + of_root) * scales[:, None] + shifts[:, None]


def projection(state: RomeState, cameras: Cameras) -> Projection:
    """The parallel projection of `state` to each of V `cameras`, in float64."""
    stand = state.avatar.stand
    right, down, forward = (cameras.cam2world[:, :3, k].astype(np.float64) for k in range(3))
    looks = np.stack((right, -down, -forward), 1)
    lens = cameras.intrinsics.astype(np.float64)
    across, tall = lens[:, 0, 0] / lens[0, 0, 0], lens[:, 1, 1] / lens[0, 1, 1]
    scales = stand.scale * np.stack((across, -tall, -np.ones(len(cameras))), 1)
    middles = 2 * (lens[:, :2, 2] - 0.5) * FOCAL / lens[0, [0, 1], [0, 1]]
    shifts = np.column_stack((middles, np.zeros(len(cameras))))
    return Projection(looks @ state.turn @ stand.upright, scales, shifts, looks @ stand.upright)
