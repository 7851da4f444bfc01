"""Plain: the rules as they are written, a triangle at a time; and attributes of what is seen, which every form needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

EPSILON = 1e-8
"Least twofold area of a triangle that is drawn, and what is added to it before dividing."


class Fragments(NamedTuple):
    """What the samples of V pictures show."""

    face: Tensor
    "[V, S, S] int32: the triangle's index; -1 where there is none."
    barycentric: Tensor
    "[V, S, S, 3] float32: where on it; 0 where there is none."

    @property
    def alpha(self) -> Tensor:
        """[V, 1, S, S] float32: 1 where there is a triangle."""
        return (self.face >= 0).float()[:, None]


def rasterised(
    screen: Tensor,  # [V, N, 3] float32 on the CPU
    faces: Tensor,  # [F, 3] integers
    side: int,
) -> Fragments:
    """What each of the side x side samples of V pictures shows, by the rules above."""
    views = [_one(view.double().numpy(), faces.numpy(), side) for view in screen]
    return Fragments(
        torch.from_numpy(np.stack([face for face, _ in views])),
        torch.from_numpy(np.stack([barycentric for _, barycentric in views])),
    )


def _one(screen: np.ndarray, faces: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces [S, S] int32 and barycentric coordinates [S, S, 3] float32 of one picture; screen [N, 3] float64."""
    shown = np.full((side, side), -1, np.int32)
    barycentric, nearest = np.zeros((side, side, 3), np.float32), np.full((side, side), np.inf)
    for index, corners in enumerate(screen[faces]):
        (ax, ay), (bx, by), (cx, cy) = corners[:, :2]
        area = (cx - ax) * (by - ay) - (cy - ay) * (bx - ax)
        if not (np.isfinite(corners).all() and abs(area) > EPSILON):
            continue
        columns, rows = (_samples(corners[:, k], side) for k in (0, 1))
        x, y = -1 + (2 * columns + 1) / side, (-1 + (2 * rows + 1) / side)[:, None]
        edges = (
            (x - bx) * (cy - by) - (y - by) * (cx - bx),
            (x - cx) * (ay - cy) - (y - cy) * (ax - cx),
            (x - ax) * (by - ay) - (y - ay) * (bx - ax),
        )
        weights = np.stack([edge / (area + EPSILON) for edge in edges], -1)
        depth = weights @ corners[:, 2]
        box = np.ix_(rows, columns)
        wins = (weights > 0).all(-1) & (depth < nearest[box])
        shown[box] = np.where(wins, index, shown[box])
        nearest[box] = np.where(wins, depth, nearest[box])
        barycentric[box] = np.where(wins[..., None], weights, barycentric[box])
    return shown, barycentric


def _samples(places: np.ndarray, side: int) -> np.ndarray:
    """[n] indices of the samples between the least and the greatest of `places` [3], -1..1, within the picture."""
    first, last = np.ceil((places.min() + 1) * side / 2 - 0.5), np.floor((places.max() + 1) * side / 2 - 0.5)
    return np.arange(max(int(first), 0), min(int(last), side - 1) + 1)


def interpolated(
    seen: Fragments,
    values: Tensor,  # [F, 3, C] float32: of each triangle's corners
) -> Tensor:
    """[V, C, S, S] float32: the values where the samples lie, linear across the screen; 0 where there is no triangle."""
    of_corners = values[seen.face.clamp(min=0).long()]
    return (seen.barycentric[..., None] * of_corners).sum(-2).permute(0, 3, 1, 2)
