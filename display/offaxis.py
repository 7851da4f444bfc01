"""Off-axis: cameras that slide past the window, out of cameras that orbit the head. Exact, whatever the depth.

A light-field display is a window: all its views see one and the same plane of glass, while an orbiting camera sees it
keystoned. Two pinholes at one place differ by a homography alone, so no depth is needed to go from one to the other. What
stays of the orbit is that cameras stand on a circle instead of a line, which below 20 degrees nobody sees.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from display.optics import LOOK_AT, Cameras
from display.views import ViewSet

PIXELS_AT_ONCE = 1 << 19
"Of views straightened together: some 30 MB."


def cameras(orbit: Cameras) -> Cameras:
    """The off-axis cameras at the places of `orbit`'s: all look along -z, and their frusta share the glass through LOOK_AT."""
    away = orbit.cam2world[:, :3, 3].astype(np.float64) - LOOK_AT
    radius = np.linalg.norm(away, axis=1)
    sideways, upward, nearness = (away / radius[:, None]).T
    focal_x, focal_y = orbit.intrinsics[:, 0, 0].astype(np.float64), orbit.intrinsics[:, 1, 1].astype(np.float64)
    cam2world = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (len(orbit), 1, 1))
    cam2world[:, :3, 3] = orbit.cam2world[:, :3, 3]
    intrinsics = np.tile(np.eye(3), (len(orbit), 1, 1))
    intrinsics[:, 0, 0], intrinsics[:, 0, 2] = focal_x * nearness, 0.5 + focal_x * sideways
    intrinsics[:, 1, 1], intrinsics[:, 1, 2] = focal_y * nearness, 0.5 - focal_y * upward
    return replace(orbit, cam2world=cam2world.astype(np.float32), intrinsics=intrinsics.astype(np.float32))


def homographies(orbit: Cameras, *, focus: float = 0.0, parallel: bool = False) -> np.ndarray:
    """[V, 3, 3] float64: from a place in the off-axis picture to the place in the orbit picture that shows the same.

    `orbit` is the whole fan. Places are (x, y, 1) with x and y 0..1 over the picture, y down. `focus` slides view i by
    (2 i + 1) / V - 1 times as many picture widths, which moves the plane of the glass in depth. `parallel`: the pictures are
    parallel projections along the cameras' axes, which only narrow what lies on the glass.
    """
    turned = _narrowed(orbit) if parallel else _turned(orbit)
    slides = np.tile(np.eye(3), (len(orbit), 1, 1))
    slides[:, 0, 2] = ((2 * np.arange(len(orbit)) + 1) / len(orbit) - 1) * focus
    return turned @ slides


def _turned(orbit: Cameras) -> np.ndarray:
    """[V, 3, 3]: pinholes at one place see a direction at places that are linear in it."""
    straight = cameras(orbit)
    rotation = np.swapaxes(orbit.cam2world[:, :3, :3], 1, 2).astype(np.float64) @ straight.cam2world[:, :3, :3]
    return orbit.intrinsics.astype(np.float64) @ rotation @ np.linalg.inv(straight.intrinsics.astype(np.float64))


def _narrowed(orbit: Cameras) -> np.ndarray:
    """[V, 3, 3]: the glass seen from the side by parallel rays is narrower by the cosine, about its middle."""
    narrowed = np.tile(np.eye(3), (len(orbit), 1, 1))
    narrowed[:, 0, 0] = np.cos(orbit.yaws)
    narrowed[:, 0, 2] = 0.5 - 0.5 * np.cos(orbit.yaws)
    return narrowed


def reframed(orbit: Cameras, matrices: np.ndarray) -> Cameras:
    """The V cameras whose parallel projections are what straightened() would make of those of `orbit`; `matrices`: [V, 3, 3] from
    homographies().

    Narrowing and sliding are what a camera's intrinsics say anyway: asked for so, no picture is sampled a second time.
    """
    intrinsics = np.linalg.inv(matrices) @ orbit.intrinsics
    return replace(orbit, intrinsics=intrinsics.astype(np.float32))


def straightened(views: ViewSet, matrices: np.ndarray) -> ViewSet:
    """Orbit views as off-axis views, bilinear, on the device where they are; beyond a picture's edge its last pixel goes on.

    `matrices`: [V, 3, 3] from homographies().
    """
    assert len(views) == len(matrices), (len(views), len(matrices))
    height, width = views.images.shape[1:3]
    at_once = max(1, PIXELS_AT_ONCE // (height * width))
    turned = torch.from_numpy(matrices).float().to(views.images.device)
    parts = [_moved(*each) for each in zip(views.images.split(at_once), turned.split(at_once), strict=True)]
    return ViewSet(torch.cat(parts), views.first)


def _moved(images: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """[V, H, W, C] uint8 through [V, 3, 3]."""
    height, width = images.shape[1:3]
    x, y = ((torch.arange(size, device=images.device) + 0.5) / size for size in (width, height))
    places = torch.stack(torch.broadcast_tensors(x, y[:, None], torch.ones_like(x)), dim=2)
    sources = places.view(-1, 3) @ matrices.mT
    grid = (2 * sources[..., :2] / sources[..., 2:] - 1).view(-1, height, width, 2)
    pictures = images.permute(0, 3, 1, 2).float()
    moved = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved.add_(0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def plainly_straightened(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8: one view as straightened() makes it; the definition."""
    height, width = image.shape[:2]
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    sources = np.stack([x, y, np.ones_like(x)], axis=-1) @ matrix.T
    across, down = sources[..., 0] / sources[..., 2], sources[..., 1] / sources[..., 2]
    column = np.clip(across * width - 0.5, 0, width - 1)[..., None]
    row = np.clip(down * height - 0.5, 0, height - 1)[..., None]
    left, top = column.astype(int)[..., 0], row.astype(int)[..., 0]
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    beside, below = column - left[..., None], row - top[..., None]
    upper = image[top, left] * (1 - beside) + image[top, right] * beside
    lower = image[bottom, left] * (1 - beside) + image[bottom, right] * beside
    return np.floor(upper * (1 - below) + lower * below + 0.5).astype(np.uint8)
