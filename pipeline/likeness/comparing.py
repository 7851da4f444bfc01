"""Comparing: two faces by MobileFace, whose files the operator brings (`make quality-instruments`). Nothing of a face is kept.

The network was learnt from public collections of faces, and networks like it are known to be worse on some groups of people than on
others: what it says is shown and stated, and never decides.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from engines.contract import FaceObservation
from pipeline.likeness.graph import GraphModel
from pipeline.preprocess.rigid import fit

FILES = ("mobileface.json", "mobileface.bin")
OUTPUT, SIDE = "batchnorm0/add_1", 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"Where ArcFace's alignment puts eyes, nose and mouth in 112 pixels."
EYES, NOSE, MOUTH = (468, 473), 1, (61, 291)
"FaceMesh's points of both irises, the nose's tip, the mouth's corners, as a picture shows them from left to right."
ALIKE_FROM = 0.35
"Of the cosine. Of eight people one's own pictures came to 0.65 and more, two persons' to 0.25 at most (tests/test_likeness_of_people.py)."


class Comparing:
    """May be used from any thread."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the network's two files lie. Raises FileNotFoundError, or ValueError where they are no such network."""
        self._model = GraphModel(*(folder / name for name in FILES))

    def cosine(self, one: FaceObservation, other: FaceObservation) -> float:
        """How alike two observations that hold their crops are, -1..1."""
        return float(self._embedded(one) @ self._embedded(other))

    def _embedded(self, seen: FaceObservation) -> np.ndarray:
        assert seen.crop is not None
        points = [
            *(seen.landmarks[eye, :2] for eye in EYES),
            seen.landmarks[NOSE, :2],
            *(seen.landmarks[at, :2] for at in MOUTH),
        ]
        placed = fit(np.array(points, np.float64), TEMPLATE)
        matrix = np.column_stack([placed.scale * placed.rotation, placed.shift])
        aligned = cv2.warpAffine(seen.crop, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR).astype(np.float32)
        made = self._model(torch.from_numpy(aligned)[None], OUTPUT).reshape(-1).numpy()
        return made / max(float(np.linalg.norm(made)), 1e-9)


def comparing(folder: Path | None) -> Comparing | None:
    """None where the operator has named no folder. Raises FileNotFoundError, with the command that brings the files, or ValueError."""
    if folder is None:
        return None
    try:
        return Comparing(folder)
    except OSError:
        raise FileNotFoundError(
            f"{folder} (TELEQUILT_IDENTITY_MODEL) lacks {' and '.join(FILES)}: make quality-instruments brings them to data/quality"
        ) from None
