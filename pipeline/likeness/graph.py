"""Graph: a TF.js graph model (model.json and one .bin) run in torch. Knows the eighteen operations that FaceRes and MobileFace have."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_WIDTHS = {"float32": np.float32, "int32": np.int32}


class GraphModel:
    """Pictures in as [N, H, W, 3] float32; one node's value out."""

    def __init__(self, description: Path, weights: Path) -> None:
        model = json.loads(description.read_text())
        self._nodes: list[dict[str, Any]] = model["modelTopology"]["node"]
        self._values = _weights(model["weightsManifest"], weights.read_bytes())

    @torch.no_grad()
    def __call__(self, pictures: Tensor, output: str) -> Tensor:
        """The value of the node called `output`."""
        values: dict[str, Tensor] = dict(self._values)
        by_name = {node["name"]: node for node in self._nodes}

        def value(name: str) -> Tensor:
            name = name.partition(":")[0]
            if name not in values:
                node = by_name[name]
                if node["op"] == "Placeholder":
                    values[name] = pictures
                else:
                    inputs = [value(one) for one in node.get("input", ()) if not one.startswith("^")]
                    values[name] = _OPERATIONS[node["op"]](node.get("attr", {}), *inputs)
            return values[name]

        return value(output)


def _weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, Tensor]:
    """Every constant, in the manifest's order; half precision where `quantization` says so."""
    values, at = {}, 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        kept = np.float16 if "quantization" in entry else _WIDTHS[entry["dtype"]]
        assert entry.get("quantization", {"dtype": "float16"})["dtype"] == "float16", entry
        count = int(np.prod(entry["shape"], dtype=int))
        array = np.frombuffer(data, kept, count, at).reshape(entry["shape"])
        values[entry["name"]] = torch.from_numpy(array.astype(_WIDTHS[entry["dtype"]]))
        at += count * np.dtype(kept).itemsize
    return values


def _strides(attributes: dict[str, Any]) -> tuple[int, int]:
    numbers = [int(number) for number in attributes["strides"]["list"]["i"]]
    return numbers[1], numbers[2]


def _padded(pictures: Tensor, kernel: tuple[int, int], strides: tuple[int, int], attributes: dict[str, Any]) -> Tensor:
    """[N, C, H, W], with SAME's padding, whose odd pixel lies right and below."""
    if base64.b64decode(attributes["padding"]["s"]).decode() == "VALID":
        return pictures
    sides: list[int] = []
    for size, wide, stride in zip(pictures.shape[:1:-1], kernel[::-1], strides[::-1], strict=True):
        lacking = max((-(-size // stride) - 1) * stride + wide - size, 0)
        sides += [lacking // 2, lacking - lacking // 2]
    return F.pad(pictures, sides)


def _convolved(attributes: dict[str, Any], pictures: Tensor, kernel: Tensor) -> Tensor:
    strides = _strides(attributes)
    padded = _padded(pictures.permute(0, 3, 1, 2), (kernel.shape[0], kernel.shape[1]), strides, attributes)
    return F.conv2d(padded, kernel.permute(3, 2, 0, 1), stride=strides).permute(0, 2, 3, 1)


def _depthwise(attributes: dict[str, Any], pictures: Tensor, kernel: Tensor) -> Tensor:
    strides = _strides(attributes)
    padded = _padded(pictures.permute(0, 3, 1, 2), (kernel.shape[0], kernel.shape[1]), strides, attributes)
    each = kernel.permute(2, 3, 0, 1).reshape(-1, 1, *kernel.shape[:2])
    return F.conv2d(padded, each, stride=strides, groups=kernel.shape[2]).permute(0, 2, 3, 1)


def _multiplied(attributes: dict[str, Any], a: Tensor, b: Tensor, *bias: Tensor) -> Tensor:
    turned = [attributes.get(key, {}).get("b", False) for key in ("transpose_a", "transpose_b")]
    product = (a.T if turned[0] else a) @ (b.T if turned[1] else b)
    return product + bias[0] if bias else product


def _filled(_: dict[str, Any], values: Tensor, sides: Tensor) -> Tensor:
    return F.pad(values, [int(number) for pair in sides.flip(0) for number in pair])


def _mean(attributes: dict[str, Any], values: Tensor, axes: Tensor) -> Tensor:
    return values.mean([int(axis) for axis in axes.reshape(-1)], attributes.get("keep_dims", {}).get("b", False))


_OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "Conv2D": _convolved,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _multiplied,
    "_FusedMatMul": _multiplied,
    "Pad": _filled,
    "Mean": _mean,
    "Add": lambda _, a, b: a + b,
    "AddV2": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Maximum": lambda _, a, b: torch.maximum(a, b),
    "Minimum": lambda _, a, b: torch.minimum(a, b),
    "Relu": lambda _, a: a.relu(),
    "Reshape": lambda _, a, shape: a.reshape([int(number) for number in shape]),
}
"What the way to an embedding consists of; heads for age and sex are not run."
