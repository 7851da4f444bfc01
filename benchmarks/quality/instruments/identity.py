"""Identity: how alike two faces are to two networks that never saw each other. Cosines; each network has a scale of its own."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch

from benchmarks.quality.instruments import brought, catalogue
from benchmarks.quality.instruments.face import Look
from pipeline.likeness.graph import GraphModel
from pipeline.preprocess.rigid import fit

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"Where ArcFace's alignment puts eyes, nose and mouth in 112 pixels."
_NETWORKS = {"faceres": ("global_pooling/Mean", 224), "mobileface": ("batchnorm0/add_1", 112)}
"Name -> the node that is the embedding, and the side of its picture."
ARCFACE = "arcface"
_MEAN_BGR = np.array([103.94, 116.78, 123.68], np.float32)


def here() -> list[str]:
    """The networks that are there: two out of packages, ArcFace where the user has brought it."""
    return [name for name in _NETWORKS if catalogue.here(name)] + ([ARCFACE] if brought.here(ARCFACE) else [])


def embedded(network: str, pixels: np.ndarray, face: Look) -> np.ndarray:
    """[D] float32 of length 1: the face in `pixels` [H, W, 3] uint8 RGB. Raises InstrumentMissing."""
    if network == ARCFACE:
        return _unit(_arcface(aligned_face(pixels, face, brought.FACE)))
    output, side = _NETWORKS[network]
    aligned = aligned_face(pixels, face, side).astype(np.float32)
    if network == "faceres":
        aligned = aligned[..., ::-1] - _MEAN_BGR
    made = _model(network)(torch.from_numpy(np.ascontiguousarray(aligned))[None], output).reshape(-1).numpy()
    return _unit(made)


def _arcface(aligned: np.ndarray) -> np.ndarray:
    """[512] of [112, 112, 3] uint8 RGB: InsightFace's ONNX takes RGB, minus 127.5, over 127.5."""
    net = brought.network(ARCFACE)
    net.setInput(np.ascontiguousarray(aligned.transpose(2, 0, 1))[None].astype(np.float32) / 127.5 - 1)
    return net.forward().reshape(-1)


def _unit(made: np.ndarray) -> np.ndarray:
    return made / max(float(np.linalg.norm(made)), 1e-9)


def aligned_face(pixels: np.ndarray, face: Look, side: int) -> np.ndarray:
    """[side, side, 3] uint8: turned, scaled and moved, never sheared, so that its five points lie as near TEMPLATE as can be."""
    placed = fit(face.five.astype(np.float64), TEMPLATE * side / 112)
    matrix = np.column_stack([placed.scale * placed.rotation, placed.shift])
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)


@cache
def _model(network: str) -> GraphModel:
    return GraphModel(*catalogue.files(network))
