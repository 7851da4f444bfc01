"""Comparing: a predicted head with a true mesh, as the field does: what cameras see, above the throat; the face besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from engines.parametric import extraction, fitting
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.head import HeadModel
from engines.parametric.train import family, metrics
from engines.parametric.train.family import EYES
from engines.parametric.train.metrics import Cloud, Scores

THROAT = EYES[1] - 118 / MILLIMETRES
"Height below which nothing counts: necks are cut as each family likes."
FACE_LOW, FACE_HIGH, FACE_BACK = (EYES[k] + mm / MILLIMETRES for k, mm in ((1, -105), (1, 45), (2, -45)))


@dataclass(frozen=True)
class Compared:
    head: Scores
    face: Scores
    to_surface: float
    "Millimetres from true points to the predicted surface, first order: no floor in it."


def head_mesh(
    model: HeadModel, z: torch.Tensor, detail: torch.Tensor | None = None, side: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """The largest component of an identity's surface, less what no camera sees."""
    found = extraction.surface(model.distance(z, detail), side=side)
    return found.vertices, found.faces[family.visible(found.vertices * MILLIMETRES, found.faces, 1.5)]


def compared(
    predicted: tuple[np.ndarray, np.ndarray], truth: tuple[np.ndarray, np.ndarray], samples: int, to_surface: float
) -> Compared:
    rng = np.random.default_rng(0)
    (p, _), (t, area) = (metrics.sample(*mesh, samples, rng) for mesh in (predicted, truth))
    heads = (cloud.where(cloud.points[:, 1] > THROAT) for cloud in (p, t))
    faces = (cloud.where(is_face(cloud.points)) for cloud in (p, t))
    head, face = (_scores(one, other, area, samples) for one, other in (heads, faces))
    return Compared(head, face, to_surface)


def is_face(points: np.ndarray) -> np.ndarray:
    return (points[:, 1] > FACE_LOW) & (points[:, 1] < FACE_HIGH) & (points[:, 2] > FACE_BACK)


def to_surface(model: HeadModel, z: torch.Tensor, points: np.ndarray, detail: torch.Tensor | None = None) -> float:
    above = points[points[:, 1] > THROAT].astype(np.float32)
    return float(fitting.distances(model, z, torch.from_numpy(above), detail).mean())


def row(compared: Compared) -> dict[str, float]:
    """As a table shows it."""
    return {
        "chamfer_head_mm": compared.head.chamfer_l1,
        "chamfer_face_mm": compared.face.chamfer_l1,
        "nc_head": compared.head.normal_consistency,
        "f1_head": compared.head.f[1.0],
        "f5_head": compared.head.f[5.0],
        "to_surface_mm": compared.to_surface,
        "samples": compared.head.samples,
        "floor_mm": compared.head.floor,
    }


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _scores(predicted: Cloud, truth: Cloud, area: float, samples: int) -> Scores:
    return metrics.scores(predicted, truth, area * len(truth.points) / samples)
