"""Shapes: displacements that are mixed, as an asset's controls: each shape has three, one along each axis, all by its coefficient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a bare GPU machine has no scipy, and runs what imports this
    from scipy.sparse import csr_matrix


def moves(
    shapes: np.ndarray,  # [S, N, 3]
    size: np.ndarray,  # [S]: at least sizes()
    least: float,  # displacements below it are none
) -> csr_matrix:
    """[N, 3 S] float32, -1..1: how each vertex follows each control, with `size` taken out."""
    from scipy.sparse import csr_matrix

    scaled = shapes / size[:, None, None]
    kept = np.abs(shapes) >= least
    found = np.where(kept, scaled, 0).transpose(1, 0, 2).reshape(shapes.shape[1], -1)
    return csr_matrix(found.astype(np.float32))


def sizes(shapes: np.ndarray) -> np.ndarray:
    """[S] float32: the furthest that each of `shapes` [S, N, 3] goes along an axis."""
    return np.maximum(np.abs(shapes).max(axis=(1, 2)), 1e-9).astype(np.float32)


def controls(coefficients: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[3 S, 3] float32 moves of the controls, of shapes' coefficients [S] and their `size` [S]."""
    return np.kron((coefficients * size)[:, None], np.eye(3)).astype(np.float32)
