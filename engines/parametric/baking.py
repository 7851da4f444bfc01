"""Baking: F_ex at one head's vertices as a few shapes to be added, and how landmarks choose them. What frames are driven by.

The network itself would take seconds a frame on a CPU; the shapes and one small matrix take microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engines.parametric.architecture import MILLIMETRES
from engines.parametric.head import HeadModel

SHAPES = 32
"Of 47 that the named expressions span. By 24, jaws were off by 18.7 % of how far they move and funnels by 30, by 32 by 17.4 and 27."
SENSED = 0.8 / MILLIMETRES
"Standard deviation of a driving landmark in canonical units."
LEAST = 0.1
"Of all expressions' mean size: what moves less is no expression."
BLOCK = 4096


@dataclass(frozen=True)
class Baked:
    """Displacements from the head at rest, whose mouth is a little open: `shut` + coefficients @ `shapes`."""

    shut: np.ndarray
    "[N, 3] float32 canonical units: the first named expression, a face at rest."
    shapes: np.ndarray
    "[n, N, 3] float32, each one standard deviation long."
    from_landmarks: np.ndarray
    "[n, 3 L] float32: coefficients of landmarks' offsets from the shut face, canonical units: the most likely ones."
    to_codes: np.ndarray
    "[n, E] float32: what each coefficient adds to the expression's code."


@torch.no_grad()
def bake(model: HeadModel, z_id: Tensor, vertices: np.ndarray, landmarks: np.ndarray, shapes: int = SHAPES) -> Baked:
    """Of canonical vertices [N, 3] and landmarks [L, 3] of the identity [1, Z] at rest."""
    both = torch.from_numpy(np.concatenate([vertices, landmarks]).astype(np.float32))
    moved = displacements(model, z_id, both, model.expressions)
    moves = (moved - moved[0]).reshape(len(moved), -1).astype(np.float64)
    counted = alike(moves)
    moves *= counted
    spread, mixtures = np.linalg.eigh(moves @ moves.T)
    kept = slice(-1, -min(shapes, len(moves) - 1) - 1, -1)
    size, mixtures = np.sqrt(spread[kept].clip(1e-12)), mixtures[:, kept]
    # rows of an SVD by way of its smaller side: as many as there are named expressions
    scale = size / np.sqrt(len(moves))
    found = (mixtures.T @ moves / size[:, None] * scale[:, None]).reshape(len(size), -1, 3)
    at_landmarks = found[:, len(vertices) :].reshape(len(size), -1)
    choose = np.linalg.solve(at_landmarks @ at_landmarks.T / SENSED**2 + np.eye(len(size)), at_landmarks / SENSED**2)
    codes = (mixtures / size * scale).T @ (counted * (model.expressions - model.expressions[0]).numpy())
    return Baked(
        moved[0, : len(vertices)],
        found[:, : len(vertices)].astype(np.float32),
        choose.astype(np.float32),
        codes.astype(np.float32),
    )


def alike(moves: np.ndarray) -> np.ndarray:  # [X, 3 N] -> [X, 1]
    """What each expression is multiplied with so that all are as large, but those that move next to nothing.

    By their own sizes jaws had all the shapes, and brows were taken for noise: driven by landmarks they were off by 34 % of how far
    they move, by these by 23 %, inner brows by 40 and 25, any other by half a percent more at most.
    """
    sizes = np.linalg.norm(moves, axis=1, keepdims=True)
    moving = sizes > 0
    whole = np.sqrt(np.square(sizes).sum() / max(moving.sum(), 1))
    return np.where(moving, whole / np.maximum(sizes, max(LEAST * whole, 1e-12)), 1.0)


@torch.no_grad()
def displacements(model: HeadModel, z_id: Tensor, points: Tensor, codes: Tensor) -> np.ndarray:
    """[X, N, 3] float32 of F_ex at points [N, 3] under each of the codes [X, E]."""
    return np.stack(
        [
            torch.cat(
                [model.deformation.displacement(part[None], z_id, code[None])[0] for part in points.split(BLOCK)]
            ).numpy()
            for code in codes
        ]
    )
