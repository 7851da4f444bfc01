"""Textured: whole pictures of coloured, textured triangles as one camera sees them, by a depth buffer. Compiled by numba.

By rules of its own: pixels as display/optics.py counts them, and what turns its back is not drawn. Which triangle a pixel shows is
found first, and coloured once.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit: Any = numba.njit(cache=True, nogil=True, fastmath=True)
EDGE = 1.0 / 3.0


@_jit
def draw(
    places: np.ndarray,  # [N, 3] float32: x, y in pixels, depth
    triangles: np.ndarray,  # [T, 3] int32, counter-clockwise from outside as y runs up, so clockwise in pixels
    uv: np.ndarray,  # [N, 2] float32 texture pixels
    colours: np.ndarray,  # [N, 4] float32 0..255 RGB of each vertex, and the share 0..1 of the texture in what is seen of it
    light: np.ndarray,  # [N] float32 that colours are multiplied with
    texture: np.ndarray,  # [TH, TW, 3] uint8
    owner: np.ndarray,  # [H, W] int32 scratch
    depth: np.ndarray,  # [H, W] float32 scratch
    out: np.ndarray,  # [H, W, 4] uint8 out: on black
) -> None:
    """One picture. What turns its back is not drawn; the outline is softened by how much of a pixel's neighbours it covers."""
    height, width = depth.shape
    depth[:] = np.inf
    owner[:] = -1
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = places[a, 0], places[a, 1], places[b, 0], places[b, 1], places[c, 0], places[c, 1]
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if area <= 1e-9 or places[a, 2] <= 0.0:
            continue
        left, right = max(int(np.ceil(min(ax, bx, cx) - 0.5)), 0), min(int(np.ceil(max(ax, bx, cx) - 0.5)), width)
        top, bottom = max(int(np.ceil(min(ay, by, cy) - 0.5)), 0), min(int(np.ceil(max(ay, by, cy) - 0.5)), height)
        if left >= right or top >= bottom:
            continue
        scale = 1.0 / area
        ua, ub = (by - cy) * scale, (cy - ay) * scale  # d of the shares of a and b by x; by y the others
        va, vb = (cx - bx) * scale, (ax - cx) * scale
        az, bz, cz = places[a, 2], places[b, 2], places[c, 2]
        for y in range(top, bottom):
            py = y + 0.5 - cy
            for x in range(left, right):
                px = x + 0.5 - cx
                wa = -(ua * px + va * py)
                wb = -(ub * px + vb * py)
                wc = 1.0 - wa - wb
                if wa >= 0.0 and wb >= 0.0 and wc >= 0.0:
                    z = wa * az + wb * bz + wc * cz
                    if z < depth[y, x]:
                        depth[y, x] = z
                        owner[y, x] = t
    _colour(places, triangles, uv, colours, light, texture, owner, out)


@_jit
def _colour(
    places: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    colours: np.ndarray,
    light: np.ndarray,
    texture: np.ndarray,
    owner: np.ndarray,
    out: np.ndarray,
) -> None:
    """Writes `out` [H, W, 4] uint8 by who owns each pixel, `owner` [H, W]; the rest as draw has it."""
    height, width = owner.shape
    tall, wide = texture.shape[0], texture.shape[1]
    for y in range(height):
        for x in range(width):
            t = owner[y, x]
            out[y, x, 3] = 255
            if t < 0:
                out[y, x, 0] = out[y, x, 1] = out[y, x, 2] = 0
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay, bx, by, cx, cy = places[a, 0], places[a, 1], places[b, 0], places[b, 1], places[c, 0], places[c, 1]
            scale = 1.0 / ((cx - ax) * (by - ay) - (bx - ax) * (cy - ay))
            px, py = x + 0.5 - cx, y + 0.5 - cy
            wa = -((by - cy) * px + (cx - bx) * py) * scale
            wb = -((cy - ay) * px + (ax - cx) * py) * scale
            wc = 1.0 - wa - wb
            share = wa * colours[a, 3] + wb * colours[b, 3] + wc * colours[c, 3]
            bright = (wa * light[a] + wb * light[b] + wc * light[c]) * _covered(owner, x, y)
            u = min(max(wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0] - 0.5, 0.0), wide - 1.001)
            v = min(max(wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1] - 0.5, 0.0), tall - 1.001)
            u0, v0 = int(u), int(v)
            fu, fv = u - u0, v - v0
            for k in range(3):
                own = wa * colours[a, k] + wb * colours[b, k] + wc * colours[c, k]
                if share > 0.0:
                    above = texture[v0, u0, k] * (1.0 - fu) + texture[v0, u0 + 1, k] * fu
                    below = texture[v0 + 1, u0, k] * (1.0 - fu) + texture[v0 + 1, u0 + 1, k] * fu
                    own += share * (above * (1.0 - fv) + below * fv - own)
                out[y, x, k] = np.uint8(min(max(own * bright, 0.0), 255.0))


@_jit
def _covered(owner: np.ndarray, x: int, y: int) -> float:
    """1 within the figure (`owner` [H, W] >= 0); less on its outline, by how many of the nine pixels about it are covered."""
    height, width = owner.shape
    if x == 0 or y == 0 or x == width - 1 or y == height - 1:
        return 1.0
    count = 0
    for dy in range(-1, 2):
        for dx in range(-1, 2):
            if owner[y + dy, x + dx] >= 0:
                count += 1
    return 1.0 if count == 9 else max((count / 9.0 - EDGE) * 1.5, 0.0)


def project(points: np.ndarray, cam2world: np.ndarray, intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """[N, 3] float32 pixels and depth of world points [N, 3], by a camera as display/optics.py has them."""
    seen = (points - cam2world[:3, 3]) @ cam2world[:3, :3]
    depth = np.maximum(seen[:, 2], 1e-6)
    x = (intrinsics[0, 0] * seen[:, 0] / depth + intrinsics[0, 2]) * width
    y = (intrinsics[1, 1] * seen[:, 1] / depth + intrinsics[1, 2]) * height
    return np.stack([x, y, seen[:, 2]], 1).astype(np.float32)


def compile_all() -> None:
    """Compile (or load from numba's cache) by drawing one triangle."""
    places = np.array([[0, 0, 1], [0, 4, 1], [4, 0, 1]], np.float32)
    draw(
        places, np.array([[0, 2, 1]], np.int32), np.zeros((3, 2), np.float32), np.zeros((3, 4), np.float32), np.ones(3, np.float32),
        np.zeros((2, 2, 3), np.uint8), np.empty((4, 4), np.int32), np.empty((4, 4), np.float32), np.empty((4, 4, 4), np.uint8),
    )  # fmt: skip
