"""Painting: the mannequin's colours: plaster, lips, brows, hair and eyes, in a light that is painted in. Knows no Gaussians."""

from __future__ import annotations

import numpy as np

from engines.morphable import model
from engines.splats import subdivision

PLASTER, LIPS, HAIR, BROWS = (0.80, 0.74, 0.68), (0.67, 0.47, 0.43), (0.26, 0.22, 0.21), (0.30, 0.24, 0.22)
WHITE, IRIS, PUPIL = (0.93, 0.92, 0.90), (0.30, 0.45, 0.52), (0.05, 0.05, 0.06)
LIGHT = np.array([0.28, 0.55, 0.79], np.float32)
"Where the light that is painted in comes from."
_BROW = {
    "Right": ((46, 70), (53, 63), (52, 105), (65, 66), (55, 107)),
    "Left": ((276, 300), (283, 293), (282, 334), (295, 296), (285, 336)),
}
"MediaPipe's points along a brow, below and above, from outside."
_HAIRLINE = (
    (-17, -12, -8.5, -6.5, -4.5, -2.0, 0.5, 2.5, 4.0, 7.0),
    (-6.5, -5.5, -4.0, 1.0, 3.8, 4.2, 6.8, 8.4, 9.6, 10.2),
)
"z, and the height above which hair is painted there."


def skin(head: model.Head, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[N, 3] float32 0..1 sRGB of `vertices` [N, 3], centimetres: plaster with painted lips, brows and hair, in painted light."""
    x, y, z = vertices.T
    colours = np.tile(np.array(PLASTER, np.float32), (len(vertices), 1))
    hair = soft((y - np.interp(z, *_HAIRLINE)) / 0.35) * (1 - soft((np.abs(x) - 7.75) / 0.15) * (y < 4.6))
    points = head.points[0]
    brows = np.zeros(len(vertices))
    for brow in _BROW.values():
        line = np.stack([points[list(pair)].mean(0) for pair in brow])
        away, along = _from_line(vertices, line)
        brows = np.maximum(brows, soft((0.24 + 0.22 * np.sqrt(along) - away) / 0.2))
    lips = points[[13, 14, 61, 291, 0, 17]]
    middle = (lips[0] + lips[1]) / 2
    across = np.clip(np.abs(x - middle[0]) / (0.5 * (lips[3, 0] - lips[2, 0])), 0, 1.3)
    curve = middle[1] + (lips[2:4, 1].mean() - middle[1]) * across**2
    high = (lips[4, 1] - lips[0, 1]) * (1 - across**2) + 0.08
    low = (lips[1, 1] - lips[5, 1]) * (1 - across**2) + 0.08
    mouth = soft(np.minimum(high - (y - curve), low + (y - curve)) / 0.12) * soft((1.06 - across) / 0.05) * (z > 3.5)
    for share, paint in ((hair, HAIR), (brows, BROWS), (mouth, LIPS)):
        colours += share[:, None] * (np.array(paint) - colours)
    return (colours * _shade(vertices, triangles)[:, None]).astype(np.float32)


def eye(ring: np.ndarray, around: np.ndarray) -> np.ndarray:
    """[N, 3] float32 0..1 sRGB by `ring` [N], degrees from where the eye looks, and `around` [N], radians about that."""
    rays = 0.9 + 0.1 * np.sin(13 * around) * np.sin(7 * around + 1)
    iris = np.array(IRIS) * (rays * (1.15 - 0.5 * soft((ring - 17) / 4)))[:, None]
    colours = np.array(WHITE) * (1 - 0.25 * soft((ring - 45) / 40))[:, None]
    colours = colours + soft((19.5 - ring) / 1.5)[:, None] * (iris - colours)
    colours = colours + soft((8.0 - ring) / 1.5)[:, None] * (np.array(PUPIL) - colours)
    glint = soft((13 - ring) / 3) * soft((ring - 6) / 3) * soft((0.45 - np.abs(around - 1.1)) / 0.2)
    return (colours + glint[:, None] * (1 - colours)).astype(np.float32)


def soft(values: np.ndarray) -> np.ndarray:
    """Of `values` [...] 0 below -0.5, 1 above 0.5, smooth between."""
    share = np.clip(values + 0.5, 0, 1)
    return share * share * (3 - 2 * share)


def _from_line(points: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([N] the distance of points [N, 3] from a broken line [L, 3], [N] 0..1 how far along it)."""
    begin, step = line[:-1], np.diff(line, axis=0)
    share = np.clip(((points[:, None] - begin) * step).sum(2) / np.square(step).sum(1), 0, 1)
    away = np.linalg.norm(points[:, None] - begin - share[..., None] * step, axis=2)
    nearest = away.argmin(1)
    each = np.arange(len(points))
    return away[each, nearest], (nearest + share[each, nearest]) / len(step)


def _shade(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[N]: light from one side, less of it in folds."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.stack([np.bincount(triangles.ravel(), np.repeat(faces[:, k], 3), len(vertices)) for k in range(3)], 1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    pairs, _ = subdivision.edges(triangles)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    valence = np.bincount(both[:, 0], minlength=len(vertices))
    around = (
        np.stack([np.bincount(both[:, 0], vertices[both[:, 1], k], len(vertices)) for k in range(3)], 1)
        / valence[:, None]
    )
    reach = (
        np.bincount(both[:, 0], np.linalg.norm(vertices[both[:, 1]] - vertices[both[:, 0]], axis=1), len(vertices))
        / valence
    )
    fold = ((around - vertices) * normals).sum(1) / np.maximum(reach, 1e-6)
    return np.clip(0.55 + 0.5 * np.maximum(normals @ LIGHT, -0.3), 0, 1) * np.clip(1 - 1.2 * fold, 0.6, 1.08)
