"""Sliders: a family's own numbers fitted to a cloud, the classical way: what the neural prior is compared with."""

from __future__ import annotations

import numpy as np

from engines.parametric.architecture import MILLIMETRES
from engines.parametric.train.family import Family, normals

NOISE = 1.0 / MILLIMETRES
"Standard deviation of a point's distance to the surface."
ACTED = 0.4
"Standard deviation of a facial action's share, where faces are not at rest."
ROUNDS = 12
FURTHEST = 12.0 / MILLIMETRES


def fit(
    family: Family, population: np.ndarray, cloud: np.ndarray, acting: bool = False, rounds: int = ROUNDS
) -> np.ndarray:
    """[V, 3] the family's head nearest the cloud [N, 3]: point to plane, identity and place together, with the population's
    [P, S] mean and covariance as prior; and the facial actions with them where it is `acting`."""
    from scipy.spatial import KDTree

    middle = population.mean(0)
    _, spread, axes = np.linalg.svd(population - middle, full_matrices=False)
    basis = spread[:, None] / np.sqrt(len(population) - 1) * axes
    basis = basis[spread > 1e-3 * spread[0]]
    shapes = family.vertices(middle + basis) - family.vertices(middle[None])
    if acting:
        shapes = np.concatenate([shapes, family.displacements(ACTED * np.eye(len(family.actions)))])
    base = family.vertices(middle[None])[0]
    found, turn, shift = np.zeros(len(shapes)), np.eye(3), np.zeros(3)
    for _ in range(rounds):
        shape = base + np.tensordot(found, shapes, 1)
        posed = shape @ turn.T + shift
        facing = normals(posed.astype(np.float32), family.triangles)
        apart, near = (np.asarray(part) for part in KDTree(posed).query(cloud))
        kept = apart < FURTHEST
        at, toward, target = near[kept], facing[near[kept]], cloud[kept]
        moves = np.einsum("knc,nc->nk", shapes[:, at] @ turn.T, toward)
        around = np.cross(posed[at], toward)
        rows = np.concatenate([moves, around, toward], 1) / NOISE
        off = ((target - posed[at]) * toward).sum(1) / NOISE
        weight = np.concatenate([np.ones(len(shapes)), np.full(6, 1e-6)])
        pull = np.concatenate([found, np.zeros(6)]) * weight
        step = np.linalg.solve(rows.T @ rows + np.diag(weight), rows.T @ off - pull)
        found = found + step[: len(shapes)]
        small = _rotation(step[-6:-3])
        turn, shift = small @ turn, small @ shift + step[-3:]
    return (base + np.tensordot(found, shapes, 1)) @ turn.T + shift


def _rotation(vector: np.ndarray) -> np.ndarray:
    """[3, 3] (Rodrigues' formula) of a rotation vector [3]."""
    angle = float(np.linalg.norm(vector))
    cross = np.array([[0, -vector[2], vector[1]], [vector[2], 0, -vector[0]], [-vector[1], vector[0], 0]])
    if angle < 1e-12:
        return np.eye(3)
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross
