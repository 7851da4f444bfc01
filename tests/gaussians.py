"""Gaussians without a face: drawn by chance about where a head is, to try drawing on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from display.optics import LOOK_AT, Cameras, intrinsics, orbit
from engines.actions import ACTIONS
from engines.splats.avatar import SplatAvatar


def some(count: int, seed: int = 0, largest: float = 0.03) -> SplatAvatar:
    """`count` Gaussians, 2.5 mm to `largest` world units wide, of which each action moves a few."""
    draw = np.random.default_rng(seed)
    few = max(count // 20, 1)
    which = np.concatenate([np.sort(draw.choice(count, few, replace=False)) for _ in ACTIONS])
    turns = draw.normal(size=(count, 4))
    return SplatAvatar(
        points=(LOOK_AT + draw.normal(size=(count, 3)) * 0.09).astype(np.float32),
        starts=(few * np.arange(len(ACTIONS) + 1)).astype(np.int32),
        which=which.astype(np.int32),
        moves=draw.normal(size=(len(which), 3)).astype(np.float32) * np.float32(0.02),
        colours=draw.uniform(size=(count, 3)).astype(np.float32),
        opacities=draw.uniform(size=count).astype(np.float32),
        scales=np.exp(draw.uniform(np.log(0.0025), np.log(largest), (count, 3))).astype(np.float32),
        rotations=(turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32),
        eyes=np.array([[-0.085, 0.09, 0.18], [0.085, 0.09, 0.18]], np.float32),
    )


def ball(
    at: tuple[float, float, float], size: float, opacity: float, colour: tuple[float, float, float]
) -> SplatAvatar:
    """One Gaussian that is the same all round."""
    return replace(
        some(1),
        points=np.array([at], np.float32),
        colours=np.array([colour], np.float32),
        opacities=np.array([opacity], np.float32),
        scales=np.full((1, 3), size, np.float32),
    )


def together(*avatars: SplatAvatar) -> SplatAvatar:
    """All their Gaussians at rest, which no action moves."""
    fields = ("points", "colours", "opacities", "scales", "rotations")
    joined = {name: np.concatenate([getattr(one, name) for one in avatars]) for name in fields}
    still = {"starts": np.zeros(len(ACTIONS) + 1, np.int32), "which": np.zeros(0, np.int32)}
    return SplatAvatar(**joined, **still, moves=np.zeros((0, 3), np.float32), eyes=avatars[0].eyes)


def cameras(*yaws: float, width: int = 64, height: int = 64, pitch: float = 0.0) -> Cameras:
    """Cameras on the circle, of pictures of this size."""
    lens = np.repeat(intrinsics(width / height)[None], len(yaws), axis=0)
    return Cameras(np.stack([orbit(yaw, pitch) for yaw in yaws]), lens, width, height)


def points(avatar: SplatAvatar) -> torch.Tensor:
    """[N, 3] at rest."""
    return torch.from_numpy(avatar.points)
