"""Traced: a scene with depth of its own, seen by any rays: what a right answer about cameras can be compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from display.optics import HALF_PICTURE, LOOK_AT, Cameras

SAMPLES = 3
"Rays a pixel, each way: edges must not decide whether two pictures are alike."
_SPHERES = (
    (np.array([0.0, 0.0, 0.2]), 0.15),
    (np.array([0.12, -0.08, 0.42]), 0.05),
    (np.array([-0.14, 0.1, 0.05]), 0.08),
)
_WALL = -0.25
"z of a plane behind everything."


@dataclass(frozen=True)
class Rays:
    """One ray for each sample of a picture."""

    origins: np.ndarray
    "[H, W, 3]"
    directions: np.ndarray
    "[H, W, 3], of any length."


def through(cameras: Cameras, view: int) -> Rays:
    """The rays of one pinhole camera."""
    x, y = _samples(cameras)
    places = np.stack([x, y, np.ones_like(x)], axis=-1)
    seen = places @ np.linalg.inv(cameras.intrinsics[view].astype(np.float64)).T
    cam2world = cameras.cam2world[view].astype(np.float64)
    directions = seen @ cam2world[:3, :3].T
    return Rays(np.broadcast_to(cam2world[:3, 3], directions.shape), directions)


def along(cameras: Cameras, view: int, window: bool) -> Rays:
    """Parallel rays along one orbiting camera's axis, through a picture that faces it, or that is the `window` itself."""
    x, y = _samples(cameras)
    right, down, forward = cameras.cam2world[view, :3, :3].T.astype(np.float64)
    across, upright = cameras.span
    side = np.array([1.0, 0.0, 0.0]) if window else right
    glass = LOOK_AT + HALF_PICTURE * ((2 * x - 1)[..., None] * across * side + (2 * y - 1)[..., None] * upright * down)
    return Rays(glass - 3 * forward, np.broadcast_to(forward, glass.shape))


def traced(rays: Rays) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, 3] uint8: what the rays meet; and [H, W] bool: pixels that one thing fills, with all their neighbours."""
    reached = (_WALL - rays.origins[..., 2]) / rays.directions[..., 2]
    met = np.zeros(reached.shape, int)
    for number, (centre, radius) in enumerate(_SPHERES, start=1):
        away = rays.origins - centre
        a = (rays.directions**2).sum(-1)
        b = (rays.directions * away).sum(-1)
        inside = b * b - a * ((away**2).sum(-1) - radius**2)
        hit = np.where(inside > 0, (-b - np.sqrt(np.maximum(inside, 0))) / a, np.inf)
        met[hit < reached] = number
        reached = np.minimum(reached, hit)
    points = rays.origins + reached[..., None] * rays.directions
    waves = np.sin(points * 40) * np.sin(points[..., [1, 2, 0]] * 70 + 1)
    light = _pixels(127.5 + 100 * waves + 27 * np.sin(9 * points[..., 2:])).mean(axis=(1, 3))
    most, least = _pixels(met).max(axis=(1, 3)), _pixels(met).min(axis=(1, 3))
    return light.round().clip(0, 255).astype(np.uint8), _around(most, np.maximum) == _around(least, np.minimum)


def _around(values: np.ndarray, chosen: np.ufunc) -> np.ndarray:
    """[H, W]: the largest or smallest of each pixel and its eight neighbours."""
    padded = np.pad(values, 1, mode="edge")
    rows = chosen(chosen(padded[:-2], padded[1:-1]), padded[2:])
    return chosen(chosen(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def _pixels(samples: np.ndarray) -> np.ndarray:
    """[H, SAMPLES, W, SAMPLES, ...] of [H * SAMPLES, W * SAMPLES, ...]."""
    height, width = samples.shape[0] // SAMPLES, samples.shape[1] // SAMPLES
    return samples.reshape(height, SAMPLES, width, SAMPLES, *samples.shape[2:])


def _samples(cameras: Cameras) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every sample, 0..1 over the picture."""
    width, height = cameras.width * SAMPLES, cameras.height * SAMPLES
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return x, y
