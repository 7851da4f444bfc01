"""Identity: how alike two faces are to two networks that never saw each other. Cosines; each network has a scale of its own."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch

from benchmarks.quality.instruments import catalogue
from benchmarks.quality.instruments.face import Look
from pipeline.likeness.graph import GraphModel
from pipeline.preprocess.rigid import fit

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"Where ArcFace's alignment puts eyes, nose and mouth in 112 pixels."
_NETWORKS = {"faceres": ("global_pooling/Mean", 224), "mobileface": ("batchnorm0/add_1", 112)}
"Name -> the node that is the embedding, and the side of its picture."
_MEAN_BGR = np.array([103.94, 116.78, 123.68], np.float32)


def here() -> list[str]:
    """The networks that were brought."""
    return [name for name in _NETWORKS if catalogue.here(name)]


def embedded(network: str, pixels: np.ndarray, face: Look) -> np.ndarray:
    """[D] float32 of length 1: the face in `pixels` [H, W, 3] uint8 RGB. Raises InstrumentMissing."""
    output, side = _NETWORKS[network]
    aligned = aligned_face(pixels, face, side).astype(np.float32)
    if network == "faceres":
        aligned = aligned[..., ::-1] - _MEAN_BGR
    made = _model(network)(torch.from_numpy(np.ascontiguousarray(aligned))[None], output).reshape(-1).numpy()
    return made / max(float(np.linalg.norm(made)), 1e-9)


def aligned_face(pixels: np.ndarray, face: Look, side: int) -> np.ndarray:
    """[side, side, 3] uint8: turned, scaled and moved, never sheared, so that its five points lie as near TEMPLATE as can be."""
    placed = fit(face.five.astype(np.float64), TEMPLATE * side / 112)
    matrix = np.column_stack([placed.scale * placed.rotation, placed.shift])
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)


@cache
def _model(network: str) -> GraphModel:
    return GraphModel(*catalogue.files(network))
