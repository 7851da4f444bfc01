"""Shaping: a head's surface as a mesh fit for frames: fine in the face, coarse elsewhere, and cut where the neck ends."""

from __future__ import annotations

import numpy as np
import torch

from engines.parametric import extraction
from engines.parametric.extraction import Box, Field, Progress

SIDE = 128
COARSER = 3
"Times the grid's step: the side of the cells that vertices off the face are gathered in."
FACE = Box((-0.36, -0.5, 0.0), (0.36, 0.3, 0.7))
"What is left fine, canonical units."
POLISHED = 2
"Newton steps that put gathered vertices back on the surface."


def shape(
    distance: Field, side: int = SIDE, progress: Progress = lambda *_: None
) -> tuple[np.ndarray, np.ndarray, extraction.Surface]:
    """Vertices [N, 3] float32, triangles [T, 3] int32, and the surface they were made from."""
    found = extraction.surface(distance, side=side, progress=progress)
    step = float(extraction.HEAD.size.max()) / side
    vertices, triangles = gathered(found.vertices, found.faces, step * COARSER)
    return polished(distance, vertices), triangles, found


def gathered(vertices: np.ndarray, triangles: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3] outside the face's box joined cell by cell (vertex clustering), and the triangles [T, 3] that are left.

    `cell` in canonical units. As float32 and int32."""
    fine = ((vertices > FACE.low) & (vertices < FACE.high)).all(1)
    place = np.floor(vertices / cell).astype(np.int64) + 512
    key = np.where(fine, (1 << 40) + np.arange(len(vertices)), place @ np.array([1 << 20, 1 << 10, 1]))
    _, group = np.unique(key, return_inverse=True)
    total = np.zeros((group.max() + 1, 3))
    np.add.at(total, group, vertices)
    joined = (total / np.bincount(group)[:, None]).astype(np.float32)
    named = group[triangles].astype(np.int32)
    whole = (named[:, 0] != named[:, 1]) & (named[:, 1] != named[:, 2]) & (named[:, 2] != named[:, 0])
    kept = np.unique(np.sort(named[whole], 1), axis=0, return_index=True)[1]
    used, again = np.unique(named[whole][np.sort(kept)], return_inverse=True)
    return joined[used], again.reshape(-1, 3).astype(np.int32)


def polished(distance: Field, vertices: np.ndarray) -> np.ndarray:
    """The vertices [N, 3] float32, each brought nearer the surface along the slope there: POLISHED steps of Newton."""
    points = torch.from_numpy(vertices)[None]
    for _ in range(POLISHED):
        with torch.enable_grad():
            points = points.detach().requires_grad_(True)
            values = distance(points)
            slopes = torch.autograd.grad(values.sum(), points)[0]
        steep = slopes.square().sum(-1, keepdim=True).clamp(min=0.1)
        points = points - (values[..., None] / steep).clamp(-0.01, 0.01) * slopes
    return points.detach()[0].numpy()


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[N, 3] unit normals."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], across)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
