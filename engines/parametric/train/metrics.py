"""Metrics: how far a predicted surface is from the truth, as Occupancy Networks (arXiv 1812.03828) and NPHM count. In millimetres.

Two samples of one and the same surface are about 0.5 sqrt(area / n) apart: scores come with their n and that floor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.parametric.architecture import MILLIMETRES

THRESHOLDS = (1.0, 5.0)
"Millimetres of the F-scores. The thesis' tables print 1 and mean 5."


class UnitsRejected(ValueError):
    """Points in another unit than it was said; the message names the likely one."""


@dataclass(frozen=True)
class Cloud:
    """A surface, sampled."""

    points: np.ndarray
    "[n, 3] canonical units."
    normals: np.ndarray
    "[n, 3], of length one."

    def where(self, kept: np.ndarray) -> Cloud:
        """Those of its points that `kept` [n] names, as bools or numbers."""
        return Cloud(self.points[kept], self.normals[kept])


@dataclass(frozen=True)
class Scores:
    """How near a prediction comes to the truth."""

    chamfer_l1: float
    "Millimetres: the mean of both ways' mean distances to the nearest."
    completeness: float
    "Millimetres, from the truth to the prediction."
    accuracy: float
    "Millimetres, from the prediction to the truth."
    normal_consistency: float
    "0..1: mean |cosine| between normals of nearest points, both ways."
    f: dict[float, float]
    "0..1 by threshold in millimetres: the harmonic mean of the shares within it."
    samples: int
    floor: float
    "Millimetres of Chamfer distance that two samples of the same surface would have."


def scores(predicted: Cloud, truth: Cloud, area: float) -> Scores:
    """`area` of the true surface in square units. Raises UnitsRejected."""
    from scipy.spatial import KDTree

    _check(predicted.points, truth.points)
    there, first = KDTree(predicted.points).query(truth.points)
    back, second = KDTree(truth.points).query(predicted.points)
    return _counted(
        there, back, predicted.normals[first], truth.normals, truth.normals[second], predicted.normals, area
    )


def _counted(
    there: np.ndarray,
    back: np.ndarray,
    near_truth: np.ndarray,
    at_truth: np.ndarray,
    near_predicted: np.ndarray,
    at_predicted: np.ndarray,
    area: float,
) -> Scores:
    """Of distances `there` [n], `back` [m] to the nearest, and normals at both ends of each, [n, 3] and [m, 3] twice."""
    completeness, accuracy = (float(d.mean()) * MILLIMETRES for d in (there, back))
    alike = [float(np.abs((a * b).sum(1)).mean()) for a, b in ((near_truth, at_truth), (near_predicted, at_predicted))]
    f = {}
    for threshold in THRESHOLDS:
        recall, precision = (float((d * MILLIMETRES <= threshold).mean()) for d in (there, back))
        f[threshold] = 2 * precision * recall / max(precision + recall, 1e-12)
    samples = min(len(there), len(back))
    return Scores(
        (completeness + accuracy) / 2, completeness, accuracy, sum(alike) / 2, f, samples, floor(area, samples)
    )


def floor(area: float, samples: int) -> float:
    """Millimetres between two samples of one surface of this area in square units."""
    return 0.5 * float(np.sqrt(area / samples)) * MILLIMETRES


def sample(vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator) -> tuple[Cloud, float]:
    """[count] points spread evenly over a mesh of vertices [N, 3], faces [M, 3], with its triangles' normals.

    And its area in square units."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    across = np.cross(b - a, c - a)
    size = np.linalg.norm(across, axis=1)
    chosen = rng.choice(len(faces), count, p=size / size.sum())
    u, v = rng.random((2, count))
    root = np.sqrt(u)[:, None]
    v = v[:, None]
    points = (1 - root) * a[chosen] + root * (1 - v) * b[chosen] + root * v * c[chosen]
    return Cloud(points, across[chosen] / np.maximum(size[chosen, None], 1e-15)), float(size.sum() / 2)


def _check(predicted: np.ndarray, truth: np.ndarray) -> None:
    for name, points in (("predicted", predicted), ("true", truth)):
        if len(points) == 0:
            raise UnitsRejected(f"there are no {name} points to compare")
        if not np.isfinite(points).all():
            raise UnitsRejected(f"some {name} points are not finite")
        extent = float(np.ptp(points, axis=0).max())
        if not 0.1 < extent < 4:
            guess = "millimetres: divide by 250" if extent > 4 else "metres: multiply by 4"
            raise UnitsRejected(f"the {name} points span {extent:.3g} units of 250 mm; they look like {guess}")
