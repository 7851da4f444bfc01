"""Plain raster: the strip renderer's twin. One view, one triangle after another, nearest wins. Slow and simple."""

from __future__ import annotations

import numpy as np

from engines.geometry.plain import triangle_into


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
    uv = points[:, 3:5] / texture.shape[1::-1]
    corners = np.column_stack([x, points[:, 1], z, np.ones(len(points)), uv, points[:, 5]])
    colours = texture.astype(float)
    out, depth = np.zeros((height, width, 3)), np.full((height, width), np.inf)
    for triangle, front_only in zip(triangles, culled, strict=True):
        triangle_into(out, depth, corners[triangle], colours, front_only)
    return out
