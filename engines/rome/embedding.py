"""Embedding: where MediaPipe's landmarks lie on the FLAME head. Given by files that come with FLAME, or found on a portrait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines import pickled
from engines.rome.crops import SIXTY_EIGHT
from engines.weights import CheckpointRejected

FACE = SIXTY_EIGHT[17:]
"Landmarks of brows, nose, eyes and lips: all that DECA's embedding has of fixed places, and what is looked for without one."
WATCHED = np.array(
    [
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, 159, 145, 386, 374),  # lids
        *(78, 82, 13, 312, 308, 317, 14, 87, 81, 80, 191, 311, 310, 415, 178, 88, 95, 402, 318, 324),  # inner lips
    ]
)
"Landmarks that count three times: a little movement there is much of an expression."
STEPS, KEPT = 30, 0.8
"Of looking for the places: rounds, and the share of the landmarks that pull, the nearest ones."
CENTIMETRES = 100.0


@dataclass(frozen=True)
class Embedding:
    """Places on a FLAME mesh for some of MediaPipe's landmarks."""

    landmarks: np.ndarray
    "[K] indices of the 478."
    corners: np.ndarray
    "[K, 3] vertices of the triangle that each lies on."
    weights: np.ndarray
    "[K, 3] barycentric."

    def tensors(self) -> dict[str, Tensor]:
        """Its arrays by their names, for a checkpoint: [K], [K, 3], [K, 3]."""
        return {name: torch.from_numpy(getattr(self, name)) for name in ("landmarks", "corners", "weights")}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Embedding:
        """What `tensors` gave."""
        return cls(**{name: tensor.numpy() for name, tensor in tensors.items()})

    @property
    def emphasis(self) -> np.ndarray:
        """[K]: how much each landmark counts."""
        return np.where(np.isin(self.landmarks, WATCHED), 3.0, 1.0)


def read(path: Path, faces: np.ndarray) -> Embedding:
    """mediapipe_landmark_embedding.npz (FLAME's site) or DECA's landmark_embedding.npy, for a head with triangles [F, 3].

    Raises weights.CheckpointRejected or FileNotFoundError.
    """
    if path.suffix == ".npz":
        held, names = _npz(path), ("landmark_indices", "lmk_face_idx", "lmk_b_coords")
    else:
        held, names = pickled.read_npy(path), ("", "static_lmk_faces_idx", "static_lmk_bary_coords")
    try:
        listed = np.asarray(held[names[0]]) if names[0] else FACE
        chosen, weights = np.asarray(held[names[1]]).astype(np.int64), np.asarray(held[names[2]], np.float64)
        return Embedding(listed.astype(np.int64), faces[chosen], weights.reshape(len(listed), 3))
    except (KeyError, TypeError, ValueError, IndexError):
        raise CheckpointRejected(
            f"{path.name} is no landmark embedding: it lacks {', '.join(filter(None, names))}"
        ) from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except Exception:  # whatever a damaged archive raises
        raise CheckpointRejected(f"{path.name} cannot be read: it is truncated, damaged or of another format") from None


def found(
    face: np.ndarray,  # [478, 3] of a face freed of pose, centimetres, x right, y up, z out of the face
    template: np.ndarray,  # [N, 3] metres, in the same directions
    faces: np.ndarray,  # [F, 3]
) -> Embedding:
    """The vertices nearest to a portrait's landmarks once template and face lie over each other, nose on nose (ICP, Besl 1992).

    They are some millimetres off, which cancels: only how landmarks move from rest is ever fitted to them.
    """
    head = CENTIMETRES * template.astype(np.float64)
    points = face[:468].astype(np.float64)
    points = points + head[head[:, 2].argmax()] - points[points[:, 2].argmax()]
    for _ in range(STEPS):
        nearest, distance = _nearest(points, head)
        pulls = distance <= np.quantile(distance, KEPT)
        points = _laid_over(points, points[pulls], head[nearest[pulls]])
    chosen, _ = _nearest(points[FACE], head)
    any_face = {int(vertex): face for face, corners in enumerate(faces) for vertex in corners}
    corners = faces[[any_face[int(vertex)] for vertex in chosen]]
    return Embedding(FACE, corners, (corners == chosen[:, None]).astype(np.float64))


def _nearest(points: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each of `points` [K, 3]: which of `head` [N, 3] is nearest, and the square of how far."""
    squared = (points**2).sum(1)[:, None] - 2 * points @ head.T + (head**2).sum(1)
    return squared.argmin(1), squared.min(1)


def _laid_over(points: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`points` moved by the similarity that best carries `source` [K, 3] onto `target` [K, 3] (Umeyama 1991)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    turn = (u * flip) @ vt
    scale = (s * flip).sum() / (a**2).sum()
    return scale * (points - source.mean(0)) @ turn.T + target.mean(0)
