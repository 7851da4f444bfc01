"""Surface: pieces of mesh and how they are put together. Positions are crop pixels, x right, y down, z into the scene."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from engines.relief.topology import beside


@dataclass(frozen=True)
class Sheet:
    """One connected piece of mesh that is drawn with one rule."""

    points: np.ndarray
    "[N, 3] float32 at rest."
    uv: np.ndarray
    "[N, 2] float32 atlas pixels."
    triangles: np.ndarray
    "[T, 3] int32, clockwise in the picture where seen from the front."
    light: np.ndarray
    "[N] float32 that colours are multiplied with."
    culled: bool = False
    "Seen from its front only."


@dataclass(frozen=True)
class Mesh:
    """All sheets in one, back to front."""

    points: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray
    light: np.ndarray
    culled: np.ndarray
    "[T] bool"
    beside: np.ndarray
    "[T, 3] int32"


def joined(sheets: list[Sheet]) -> tuple[Mesh, list[slice]]:
    """The sheets as one mesh, and where each one's points lie in it."""
    starts = np.cumsum([0] + [len(s.points) for s in sheets])
    triangles = [s.triangles + start for s, start in zip(sheets, starts[:-1], strict=True)]
    borders = np.cumsum([0] + [len(t) for t in triangles])
    neighbours = [beside(t) for t in triangles]
    mesh = Mesh(
        np.concatenate([s.points for s in sheets]).astype(np.float32),
        np.concatenate([s.uv for s in sheets]).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.concatenate([s.light for s in sheets]).astype(np.float32),
        np.concatenate([np.full(len(s.triangles), s.culled) for s in sheets]),
        np.concatenate([np.where(n >= 0, n + b, -1) for n, b in zip(neighbours, borders[:-1], strict=True)]).astype(
            np.int32
        ),
    )
    return mesh, [slice(int(a), int(b)) for a, b in itertools.pairwise(starts)]


def wound(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[T, 3] int32: `triangles` of `points` [N, 2 or 3], each turned clockwise in the picture (positive area, y down)."""
    a, b, c = (points[triangles[:, k], :2] for k in range(3))
    ab, ac = b - a, c - a
    turned = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0] < 0
    return np.where(turned[:, None], triangles[:, ::-1], triangles).astype(np.int32)


def grid_triangles(rows: int, columns: int) -> np.ndarray:
    """[2 (rows-1)(columns-1), 3]: a grid of points in row-major order, x right and y down, as clockwise triangles."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns - 1]
    a = (r * columns + c).ravel()
    b, d, e = a + 1, a + columns, a + columns + 1
    return np.concatenate([np.stack([a, b, e], 1), np.stack([a, e, d], 1)]).astype(np.int32)


def smooth(t: np.ndarray) -> np.ndarray:
    """Smoothstep of t, of any shape, clipped to 0..1."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3] scale times rotation that best carries `source` [N, 3] onto `target` [N, 3] (Umeyama 1991), shift left out."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return ((s * np.diag(flip)).sum() / (a**2).sum() * (u @ flip @ vt)).astype(np.float32)
