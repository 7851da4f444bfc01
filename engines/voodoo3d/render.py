"""Render: a state from a batch of cameras. The networks see square pictures through the official lens; screens get their shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from display import optics
from display.optics import Cameras
from display.views import ViewSet
from engines.lens import in_shape
from engines.shared_volume import Budget, Sampling
from engines.staging import onto
from engines.voodoo3d.components import Look
from engines.voodoo3d.drive import Voodoo3dState
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.warp import Resolved, picked

_FROM_FRONTAL = np.linalg.inv(optics.orbit(0))


class Marched(NamedTuple):
    """V square pictures before super-resolution, and who saw them."""

    raw: Tensor
    "[V, 3, 128, 128] about -1..1."
    depth: Tensor
    "[V, 1, 128, 128] along the rays."
    cam2world: Tensor
    "[V, 4, 4] in the head's world."
    intrinsics: Tensor
    "[V, 3, 3]."


def render(
    network: Voodoo3D,
    requests: Sequence[tuple[Voodoo3dState, Cameras]],
    samples: Samples,
    sampling: Sampling,
    resolved: Resolved = Resolved.EVERY,
) -> list[ViewSet]:
    """Each state from all of its cameras in one march; those that are `resolved` super-resolved together, whoever they belong
    to, and warped over to the others; put into the screens' shapes on black."""
    seen = [marched(network, state, cameras, samples, sampling) for state, cameras in requests]
    if not seen:
        return []
    chosen = [picked(some.raw, resolved) for some in seen]
    sharp = network.superresolve(torch.cat(chosen)).split([len(some) for some in chosen])
    square = [network.warp(resolved, *some, part) for some, part in zip(seen, sharp, strict=True)]
    return [
        ViewSet(in_shape(some, cameras), cameras.first) for some, (_, cameras) in zip(square, requests, strict=True)
    ]


def marched(network: Voodoo3D, state: Voodoo3dState, cameras: Cameras, samples: Samples, sampling: Sampling) -> Marched:
    """What the march sees of `state` from each of V cameras: pictures, depth, and the cameras in the head's world."""
    look = looking(network, len(cameras), samples, sampling)
    cam2world = onto(in_heads_world(state.pose, cameras.cam2world), network.device)
    intrinsics = network.frontal()[1].expand(len(cameras), -1, -1)
    seen = network.look(look, state.planes.to(network.device), cam2world, intrinsics)
    return Marched(*seen, cam2world, intrinsics)


def looking(network: Voodoo3D, views: int, samples: Samples, sampling: Sampling) -> Look:
    """How the network looks from `views` cameras at once."""
    side, finely = network.arch.marched, (samples.coarse, samples.fine)
    shared = Budget(side, samples.coarse, min(Budget.fine, samples.fine))
    return Look(views, side, shared if sampling is Sampling.SHARED_VOLUME else finely, 3)


def in_heads_world(pose: np.ndarray, cam2world: np.ndarray) -> np.ndarray:
    """[V, 4, 4] float32: the display's cameras as the turned head sees them; the frontal one becomes `pose`."""
    return (pose @ _FROM_FRONTAL @ cam2world).astype(np.float32)
