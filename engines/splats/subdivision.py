"""Subdivision: a mesh made finer and smoother, and all that its vertices have with it (Loop 1987; Warren's weights)."""

from __future__ import annotations

import numpy as np


def edges(triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """([E, 2] the edges, lower vertex first; [T, 3] int: which edge lies from each corner to the next) of triangles [T, 3]."""
    sides = np.stack([triangles, np.roll(triangles, -1, 1)], 2).reshape(-1, 2)
    found, which = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    return found, which.reshape(-1, 3)


def loop(
    values: np.ndarray,  # [N, C] float32: places, and whatever else is to follow them linearly
    triangles: np.ndarray,  # [T, 3] int32
) -> tuple[np.ndarray, np.ndarray]:
    """([N + E, C], [4 T, 3] int32) after one step. Vertex n stays vertex n; a rim stays a smooth line of its own."""
    count = len(values)
    pairs, which = edges(triangles)
    opposite = _summed(which.ravel(), values[np.roll(triangles, 1, 1).ravel()], len(pairs))
    rim = np.bincount(which.ravel(), minlength=len(pairs)) == 1
    middles = values[pairs].sum(1)
    middles = np.where(rim[:, None], middles / 2, middles * 3 / 8 + opposite / 8)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    around, valence = _summed(both[:, 0], values[both[:, 1]], count), np.bincount(both[:, 0], minlength=count)
    share = np.where(valence > 3, 3 / (8 * np.maximum(valence, 1)), 3 / 16)[:, None].astype(values.dtype)
    moved = values * (1 - valence[:, None] * share).astype(values.dtype) + around * share
    on_rim = np.concatenate([pairs[rim], pairs[rim][:, ::-1]])
    beside, ends = _summed(on_rim[:, 0], values[on_rim[:, 1]], count), np.bincount(on_rim[:, 0], minlength=count)
    moved = np.where((ends > 0)[:, None], values, moved)
    moved = np.where((ends == 2)[:, None], values * 0.75 + beside / 8, moved)
    a, b, c = triangles.T
    ab, bc, ca = (which + count).T
    finer = np.concatenate([np.stack(each, 1) for each in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return np.concatenate([moved, middles]).astype(values.dtype), finer.astype(np.int32)


def _summed(where: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """[count, C]: of values [M, C] the sums of those that go to each place."""
    order = np.argsort(where, kind="stable")
    places, begins = np.unique(where[order], return_index=True)
    sums = np.zeros((count, values.shape[1]), values.dtype)
    sums[places] = np.add.reduceat(values[order], begins, axis=0)
    return sums
