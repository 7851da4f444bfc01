"""Rigid: the similarity that carries one set of points onto another. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Similarity:
    """y = scale * rotation @ x + shift, for points in n dimensions."""

    scale: float
    rotation: np.ndarray
    "[n, n], determinant 1."
    shift: np.ndarray
    "[n]."

    def apply(self, points: np.ndarray) -> np.ndarray:
        """[..., n] carried over."""
        return self.scale * points @ self.rotation.T + self.shift

    def undo(self, points: np.ndarray) -> np.ndarray:
        """[..., n] carried back."""
        return (points - self.shift) @ self.rotation / self.scale


def fit(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The least-squares similarity from source [N, n] to target [N, n] (Umeyama, IEEE PAMI 13(4), 1991). Never mirrors."""
    assert source.shape == target.shape, (source.shape, target.shape)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred / len(source)
    left, stretch, right = np.linalg.svd(covariance)
    sign = np.ones(len(stretch))
    sign[-1] = np.sign(np.linalg.det(left @ right))
    rotation = (left * sign) @ right
    scale = float((stretch * sign).sum() / np.square(centred).sum(axis=1).mean())
    return Similarity(scale, rotation, target_mean - scale * rotation @ source_mean)


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation [n, n] closest to `matrix` in the Frobenius norm."""
    left, _, right = np.linalg.svd(matrix)
    sign = np.ones(len(matrix))
    sign[-1] = np.sign(np.linalg.det(left @ right))
    return (left * sign) @ right
