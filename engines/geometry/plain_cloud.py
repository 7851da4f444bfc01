"""Plain cloud: Gaussians drawn as docs/geometry.md says, one after another. Slow and simple: what others are held to."""

from __future__ import annotations

import numpy as np

from display.optics import Cameras
from engines.geometry.cloud import Cloud, covariances, placed
from engines.geometry.motion import Motion
from engines.geometry.views import seen

BLUR = 0.3
"Square pixels by which each Gaussian is wider, so that none falls between pixels."
LEAST, MOST = 1 / 255, 0.999
"Opacity below which nothing is drawn, and the most that a Gaussian has."
HELD = 0.3
"Beyond a picture's edge by so many halves of it, how a Gaussian looks is taken from there."


def view_of(cloud: Cloud, motion: Motion, cameras: Cameras, view: int) -> np.ndarray:
    """[H, W, 3] float 0..255: what a camera sees, on black."""
    turn, place = motion.joints[0][:, :3].astype(float), motion.joints[0][:, 3]
    at = seen(placed(cloud, motion) @ turn.T + place, cloud.parallel, cameras, view)
    shapes = turn @ covariances(cloud) @ turn.T
    size = np.array([cameras.width, cameras.height])
    derived = _derived(at, cloud.parallel, cameras, view)
    flat = derived @ shapes @ derived.transpose(0, 2, 1) + BLUR * np.eye(2)
    out = np.zeros((cameras.height, cameras.width, 3))
    for one in np.argsort(-at[:, 2], kind="stable"):
        _lay(out, at[one, :2] * size, flat[one], cloud.opacities[one], 255 * cloud.colours[one])
    return out


def _derived(at: np.ndarray, parallel: bool, cameras: Cameras, view: int) -> np.ndarray:
    """[N, 2, 3]: by how many pixels a Gaussian moves, right and down, where it moves along the axes of the world."""
    yaw, lens = cameras.yaws[view], cameras.intrinsics[view]
    right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    into = np.array([-np.sin(yaw), 0, -np.cos(yaw)])
    held = np.clip(at[:, :2], -HELD / 2, 1 + HELD / 2) - lens[:2, 2]
    rows = []
    for axis, size, way in ((0, cameras.width, right), (1, cameras.height, np.array([0.0, -1.0, 0.0]))):
        sideways = lens[axis, axis] * way[None]
        slanted = 0 if parallel else held[:, axis : axis + 1] * into
        rows.append(size * (sideways - slanted) / at[:, 3:])
    return np.stack(rows, axis=1)


def _lay(out: np.ndarray, middle: np.ndarray, shape: np.ndarray, opacity: float, colour: np.ndarray) -> None:
    """One Gaussian over a picture [H, W, 3], changed in place."""
    if opacity < LEAST:
        return
    height, width = out.shape[:2]
    reach = np.sqrt(2 * np.log(opacity / LEAST) * np.diag(shape))
    left, top = np.maximum(np.ceil(middle - reach - 0.5), 0).astype(int)
    right, low = np.minimum(np.floor(middle + reach - 0.5) + 1, (width, height)).astype(int)
    if left >= right or top >= low:
        return
    inverse = np.linalg.inv(shape)
    x, y = np.arange(left, right)[None] + 0.5 - middle[0], np.arange(top, low)[:, None] + 0.5 - middle[1]
    square = inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y
    alpha = np.minimum(opacity * np.exp(-0.5 * square), MOST)
    alpha = np.where(alpha < LEAST, 0, alpha)[..., None]
    out[top:low, left:right] = out[top:low, left:right] * (1 - alpha) + alpha * colour
