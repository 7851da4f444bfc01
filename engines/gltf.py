"""glTF: glTF 2.0 in one binary file: a header, a scene as JSON and arrays behind it, written and taken apart.

The format is a header before plain arrays, so it is written here rather than by a package of a hundred formats.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

VERTICES, INDICES = 34962, 34963
"What a view of the buffer is for."
TRIANGLES = 4
_TYPES = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
_NAMES = {number: name for name, number in _TYPES.items()}
_SHAPES = {"SCALAR": (), "VEC2": (2,), "VEC3": (3,), "VEC4": (4,), "MAT4": (16,)}
_MAGIC, _JSON, _BINARY = b"glTF", b"JSON", b"BIN\0"
MOST_SCENE = 2 << 20
"Bytes of JSON, which takes thirty times as much once it is read."


class GltfUnreadable(ValueError):
    """These bytes are not glTF 2.0 in one binary file, or lack what is asked of them."""


@dataclass
class Buffer:
    """The arrays of a file that is being written."""

    parts: list[bytes] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    size: int = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        """Take in bytes; the index of their view."""
        self.views.append({"buffer": 0, "byteOffset": self.size, "byteLength": len(data)})
        if target is not None:
            self.views[-1]["target"] = target
        data += b"\0" * (-len(data) % 4)
        self.parts.append(data)
        self.size += len(data)
        return len(self.views) - 1

    def accessor(
        self, array: np.ndarray, target: int | None = None, *, normalized: bool = False, bounds: bool = False
    ) -> int:
        """Take in an array [N] or [N, n] of a type that glTF has; the index of its accessor."""
        kind = next(name for name, shape in _SHAPES.items() if shape == array.shape[1:])
        accessor: dict[str, Any] = {
            "bufferView": self.view(np.ascontiguousarray(array).tobytes(), target),
            "componentType": _TYPES[array.dtype.name],
            "count": len(array),
            "type": kind,
        }
        if normalized:
            accessor["normalized"] = True
        if bounds:
            accessor |= {"min": np.atleast_1d(array.min(0)).tolist(), "max": np.atleast_1d(array.max(0)).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def sparse(self, which: np.ndarray, values: np.ndarray, count: int, *, normalized: bool = False) -> int:
        """Take in `count` vectors of which those at `which` [M], rising, are `values` [M, n], and all others zero; the index of their
        accessor."""
        kind = next(name for name, shape in _SHAPES.items() if shape == values.shape[1:])
        index = which.astype(np.uint16 if count <= 65535 else np.uint32)
        bounds = np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])
        accessor: dict[str, Any] = {
            "componentType": _TYPES[values.dtype.name],
            "count": count,
            "type": kind,
            "min": np.atleast_1d(bounds.min(0)).tolist(),
            "max": np.atleast_1d(bounds.max(0)).tolist(),
        }
        if normalized:
            accessor["normalized"] = True
        if len(which):
            accessor["sparse"] = {
                "count": len(which),
                "indices": {"bufferView": self.view(index.tobytes()), "componentType": _TYPES[index.dtype.name]},
                "values": {"bufferView": self.view(np.ascontiguousarray(values).tobytes())},
            }
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def packed(scene: dict[str, Any], buffer: Buffer, note: str = "") -> bytes:
    """The file: `scene` with `buffer`'s arrays; `note` is kept within it."""
    made_by = {"version": "2.0", "generator": "telequilt", **({"extras": {"note": note}} if note else {})}
    arrays = {
        "buffers": [{"byteLength": buffer.size}],
        "bufferViews": buffer.views,
        "accessors": buffer.accessors,
    }
    text = json.dumps({"asset": made_by, **scene, **arrays}).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(buffer.parts)
    chunks = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(binary), _BINARY) + binary
    return struct.pack("<4sII", _MAGIC, 2, 12 + len(chunks)) + chunks


@dataclass(frozen=True)
class File:
    """A file that was taken apart."""

    scene: dict[str, Any]
    binary: bytes

    def view(self, index: int) -> bytes:
        """The bytes of a view."""
        view = self.scene["bufferViews"][index]
        begin = view.get("byteOffset", 0)
        return self.binary[begin : begin + view["byteLength"]]

    def array(self, index: int) -> np.ndarray:
        """[N] or [N, n]: the array of an accessor, as stored (not normalised). A file that is not what it says raises LookupError,
        TypeError or ValueError."""
        accessor = self.scene["accessors"][index]
        return self._array(accessor, accessor["type"], accessor["count"])

    def sparse(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(which [M] int64, values [M] or [M, n]): what an accessor holds that is not zero, whether it stores only that or all.
        Raises as `array` does, and where an index lies outside."""
        accessor = self.scene["accessors"][index]
        if "sparse" not in accessor and "bufferView" not in accessor:
            return np.zeros(0, np.int64), np.zeros((0, *_SHAPES[accessor["type"]]), np.float32)
        if "sparse" not in accessor:
            values = self.array(index)
            which = np.flatnonzero(values.reshape(len(values), -1).any(axis=1))
            return which, values[which]
        if "bufferView" in accessor:
            raise ValueError("an accessor that changes some values of another is not read here")
        stored = accessor["sparse"]
        which = self._array(stored["indices"], "SCALAR", stored["count"]).astype(np.int64)
        if (np.diff(which) <= 0).any() or (which < 0).any() or (which >= accessor["count"]).any():
            raise ValueError("the indices of a sparse accessor do not rise, or lie outside")
        values = stored["values"] | {"componentType": accessor["componentType"]}
        return which, self._array(values, accessor["type"], stored["count"])

    def _array(self, stored: dict[str, Any], kind: str, count: int) -> np.ndarray:
        shape = _SHAPES[kind]
        flat, begin = count * int(np.prod(shape)), stored.get("byteOffset", 0)
        found = np.frombuffer(self.view(stored["bufferView"]), _NAMES[stored["componentType"]], flat, begin)
        return found.reshape(count, *shape)


def unpacked(data: bytes) -> File:
    """Raises GltfUnreadable."""
    try:
        magic, version, length = struct.unpack_from("<4sII", data)
        if magic != _MAGIC or version != 2 or length != len(data):
            raise GltfUnreadable("not a binary glTF 2.0 file, or not all of it")
        size, kind = struct.unpack_from("<I4s", data, 12)
        if size > MOST_SCENE:
            raise GltfUnreadable(f"its scene of {size} bytes is no avatar's")
        text = data[20 : 20 + size]
        scene = json.loads(text)
        binary_size, binary_kind = struct.unpack_from("<I4s", data, 20 + size)
    except (struct.error, ValueError) as error:
        raise GltfUnreadable(f"not a binary glTF 2.0 file: {error}") from None
    if kind != _JSON or binary_kind != _BINARY:
        raise GltfUnreadable("its chunks are not a scene and its arrays")
    return File(scene, data[28 + size : 28 + size + binary_size])
