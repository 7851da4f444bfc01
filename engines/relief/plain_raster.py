"""Plain raster: the strip renderer's twin. One view, one triangle after another, nearest wins. Slow and simple."""

from __future__ import annotations

import numpy as np


def _bilinear(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`texture` [H, W, 4] float at [N] coordinates in texels."""
    height, width = texture.shape[:2]
    x, y = np.clip(u - 0.5, 0, width - 1.01), np.clip(v - 0.5, 0, height - 1.01)
    i, j = x.astype(int), y.astype(int)
    fx, fy = (x - i)[:, None], (y - j)[:, None]
    top = texture[j, i] * (1 - fx) + texture[j, i + 1] * fx
    low = texture[j + 1, i] * (1 - fx) + texture[j + 1, i + 1] * fx
    return top * (1 - fy) + low * fy


def render_view(
    points: np.ndarray,  # [N, 6]: x, y, z, u, v, light; tile pixels and texels
    triangles: np.ndarray,  # [T, 3], back layers first
    culled: np.ndarray,  # [T] bool
    texture: np.ndarray,  # [H, W, 4] uint8
    axis: tuple[float, float],
    yaw: float,
    width: int,
    height: int,
) -> np.ndarray:
    """[height, width, 3] float 0..255."""
    dx, dz = points[:, 0] - axis[0], points[:, 2] - axis[1]
    x = dx * np.cos(yaw) + dz * np.sin(yaw) + axis[0]
    z = dz * np.cos(yaw) - dx * np.sin(yaw)
    y = points[:, 1]
    colours = texture.astype(float)
    out, depth = np.zeros((height, width, 3)), np.full((height, width), np.inf)
    for t, (a, b, c) in enumerate(triangles):
        area = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
        if area == 0 or (culled[t] and area < 0):
            continue
        left, right = max(int(min(x[a], x[b], x[c])), 0), min(int(max(x[a], x[b], x[c])) + 1, width)
        top, low = max(int(min(y[a], y[b], y[c])), 0), min(int(max(y[a], y[b], y[c])) + 1, height)
        if left >= right or top >= low:
            continue
        py, px = np.mgrid[top:low, left:right] + 0.5
        of_b = ((px - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (py - y[a])) / area
        of_c = ((x[b] - x[a]) * (py - y[a]) - (px - x[a]) * (y[b] - y[a])) / area
        of_a = 1 - of_b - of_c
        inside = (of_a >= 0) & (of_b >= 0) & (of_c >= 0)
        near = of_a * z[a] + of_b * z[b] + of_c * z[c]
        rows, columns = np.nonzero(inside & (near < depth[top:low, left:right]))
        if len(rows) == 0:
            continue
        weights = np.stack([of_a[rows, columns], of_b[rows, columns], of_c[rows, columns]], 1)
        u, v, light = (weights @ points[[a, b, c], 3:]).T
        pixel = _bilinear(colours, u, v)
        alpha = pixel[:, 3:] / 255
        shown = np.clip(pixel[:, :3] * light[:, None], 0, 255)
        out[top + rows, left + columns] = out[top + rows, left + columns] * (1 - alpha) + shown * alpha
        firm = alpha[:, 0] >= 0.5
        depth[top + rows[firm], left + columns[firm]] = near[rows[firm], columns[firm]]
    return out
