"""Plain: an asset and a motion drawn as docs/geometry.md says; of a mesh one triangle after another. Slow and simple: what others are
held to."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from display.optics import FOCAL, Cameras
from display.views import ViewSet
from engines.geometry import plain_cloud
from engines.geometry.asset import Asset, posed
from engines.geometry.cloud import Cloud
from engines.geometry.motion import Motion
from engines.geometry.views import lower_edge, seen

FAINTEST = 4
"Alpha of 255 below which nothing is drawn."
FINER = 4
"Samples across a pixel: silhouettes are softened along rows."


def drawn(asset: Asset | Cloud, motion: Motion, cameras: Cameras) -> ViewSet:
    """[V, H, W, 4] views, without the mark, as an engine's `render` makes them. Cameras must have no pitch."""
    draw = plain_cloud.view_of if isinstance(asset, Cloud) else _view
    shown = FOCAL / float(cameras.intrinsics[0, 1, 1])
    rows = lower_edge(asset.fade, (np.arange(cameras.height) + 0.5) / cameras.height, shown)[:, None, None]
    views = [draw(asset, motion, cameras, view) * rows for view in range(len(cameras))]  # type: ignore[arg-type]
    images = np.full((len(cameras), cameras.height, cameras.width, 4), 255, np.uint8)
    images[..., :3] = np.rint(np.stack(views))
    return ViewSet(torch.from_numpy(images), cameras.first)


def texture(asset: Asset, width: int, height: int, span: tuple[float, float]) -> np.ndarray:
    """[h, w, 4] float: the atlas at the scale of a picture of `width` x `height` that shows `span` of the crop."""
    across, down = width / (asset.crop * span[0]), height / (asset.crop * span[1])
    tall, wide = asset.atlas.shape[:2]
    size = (max(round(wide * min(across, asset.largest)), 2), max(round(tall * min(down, asset.largest)), 2))
    if size == (wide, tall):
        return asset.atlas.astype(float)
    method = cv2.INTER_AREA if across < 1 and down < 1 else cv2.INTER_CUBIC
    return cv2.resize(asset.atlas, size, interpolation=method).astype(float)


def _view(asset: Asset, motion: Motion, cameras: Cameras, view: int) -> np.ndarray:
    """[H, W, 3] float 0..255."""
    points, light = posed(asset, motion)
    width, height = cameras.width, cameras.height
    first = cameras.intrinsics[0]
    picture = texture(asset, width, height, (FOCAL / first[0, 0], FOCAL / first[1, 1]))
    at = seen(points, asset.parallel, cameras, view)
    corners = np.column_stack([at[:, 0] * width * FINER, at[:, 1] * height, at[:, 2:], asset.uv, light])
    out, depth = np.zeros((height, width * FINER, 3)), np.full((height, width * FINER), np.inf)
    for part in asset.parts:
        for triangle in part.triangles[:, ::-1]:
            triangle_into(out, depth, corners[triangle], picture, part.culled)
    return out.reshape(height, width, FINER, 3).mean(axis=2)


def triangle_into(
    out: np.ndarray,  # [H, W, 3] float, changed in place
    depth: np.ndarray,  # [H, W] float, likewise
    corners: np.ndarray,  # [3, 7]: x, y in pixels, depth, divisor, u and v (0..1 of the texture), light
    texture: np.ndarray,  # [h, w, 4] float
    culled: bool,  # seen only where the corners go clockwise in the picture
) -> None:
    """Lay one triangle into a picture."""
    (xa, ya), (xb, yb), (xc, yc) = corners[:, :2]
    area = (xb - xa) * (yc - ya) - (xc - xa) * (yb - ya)
    if area == 0 or (culled and area < 0):
        return
    height, width = depth.shape
    left, right = max(int(min(xa, xb, xc)), 0), min(int(max(xa, xb, xc)) + 1, width)
    top, low = max(int(min(ya, yb, yc)), 0), min(int(max(ya, yb, yc)) + 1, height)
    if left >= right or top >= low:
        return
    py, px = np.mgrid[top:low, left:right] + 0.5
    of_b = ((px - xa) * (yc - ya) - (xc - xa) * (py - ya)) / area
    of_c = ((xb - xa) * (py - ya) - (px - xa) * (yb - ya)) / area
    shares = np.stack([1 - of_b - of_c, of_b, of_c], axis=-1)
    flat = shares / corners[:, 3]
    flat /= flat.sum(axis=-1, keepdims=True)
    near = flat @ corners[:, 2]
    rows, columns = np.nonzero((shares >= 0).all(axis=-1) & (near < depth[top:low, left:right]))
    u, v, light = (flat[rows, columns] @ corners[:, 4:]).T
    pixel = _bilinear(texture, u * texture.shape[1], v * texture.shape[0])
    alpha = np.where(pixel[:, 3:] < FAINTEST, 0, pixel[:, 3:] / 255)
    at = top + rows, left + columns
    out[at] = out[at] * (1 - alpha) + np.clip(pixel[:, :3] * light[:, None], 0, 255) * alpha
    firm = alpha[:, 0] >= 0.5
    depth[at[0][firm], at[1][firm]] = near[rows[firm], columns[firm]]


def _bilinear(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`texture` [H, W, 4] float at [N] coordinates in texels."""
    height, width = texture.shape[:2]
    x, y = np.clip(u - 0.5, 0, width - 1.01), np.clip(v - 0.5, 0, height - 1.01)
    i, j = x.astype(int), y.astype(int)
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    top = texture[j, i] * (1 - fx) + texture[j, i + 1] * fx
    low = texture[j + 1, i] * (1 - fx) + texture[j + 1, i + 1] * fx
    return top * (1 - fy) + low * fy
