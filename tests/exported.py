"""Exported: a small head in the form that LAM exports, made here, and zips of it that are not as they should be."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engines import gltf
from engines.actions import ACTIONS

COLUMNS = ("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", *(f"scale_{i}" for i in range(3)))
COLUMNS += tuple(f"rot_{i}" for i in range(4))


@dataclass
class Head:
    """Skin and two eyeballs, metres; what a test wants otherwise it changes."""

    vertices: np.ndarray
    triangles: np.ndarray
    rows: np.ndarray
    "[N, 17] float32 of COLUMNS."
    targets: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def glb(self, **scene: Any) -> bytes:
        buffer = gltf.Buffer()
        attributes = {"POSITION": buffer.accessor(self.vertices.astype(np.float32), gltf.VERTICES, bounds=True)}
        primitive = {
            "attributes": attributes,
            "indices": buffer.accessor(self.triangles.astype(np.uint16).ravel(), gltf.INDICES),
            "targets": [{"POSITION": self._sparse(buffer, *target)} for target in self.targets.values()],
        }
        names = {"targetNames": list(self.targets)}
        return gltf.packed({"meshes": [{"primitives": [primitive], "extras": names}], **scene}, buffer)

    def _sparse(self, buffer: gltf.Buffer, which: np.ndarray, moves: np.ndarray) -> int:
        stored = {
            "count": len(which),
            "indices": {"bufferView": buffer.view(which.astype(np.uint16).tobytes()), "componentType": 5123},
            "values": {"bufferView": buffer.view(moves.astype(np.float32).tobytes())},
        }
        buffer.accessors.append({"componentType": 5126, "count": len(self.vertices), "type": "VEC3", "sparse": stored})
        return len(buffer.accessors) - 1

    def ply(self, columns: tuple[str, ...] = COLUMNS) -> bytes:
        head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(self.rows)}"]
        head += [*(f"property float {name}" for name in columns), "end_header", ""]
        return "\n".join(head).encode() + self.rows.astype("<f4").tobytes()

    def zipped(self) -> bytes:
        return zipped({"me/offset.ply": self.ply(), "me/skin.glb": self.glb(), "__MACOSX/me/._skin.glb": b"junk"})


def zipped(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


def head() -> Head:
    """1,600 vertices, coloured from chin to crown; jawOpen moves what is low, gaze turns the eyeballs."""
    parts = [
        _ball((0.0, 1.65, 0.0), 0.1, 36, 34),
        _ball((-0.031, 1.69, 0.07), 0.012, 20, 10),
        _ball((0.031, 1.69, 0.07), 0.012, 20, 10),
    ]
    starts = np.cumsum([0, *(len(points) for points, _ in parts)])
    vertices = np.concatenate([points for points, _ in parts])
    triangles = np.concatenate([triangles + start for (_, triangles), start in zip(parts, starts, strict=False)])
    rows = np.zeros((len(vertices), len(COLUMNS)), np.float32)
    rows[:, 6:9] = (vertices - vertices.min(axis=0)) / np.ptp(vertices, axis=0)
    rows[:, 9], rows[:, 10:13], rows[:, 13] = 2.0, np.log(0.004), 1.0
    return Head(vertices, triangles, rows, _targets(vertices, starts))


def _targets(vertices: np.ndarray, starts: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    nothing = np.zeros(0, np.int64), np.zeros((0, 3))
    names: list[str] = list(reversed(ACTIONS))  # files have them in no particular order
    targets = dict.fromkeys(names, nothing)
    low = np.flatnonzero(vertices[: starts[1], 1] < 1.6)
    targets["jawOpen"] = low, np.tile([0.0, -0.03, -0.005], (len(low), 1))
    for side, first, last in (("Right", starts[1], starts[2]), ("Left", starts[2], starts[3])):
        away = -1 if side == "Right" else 1
        ball = np.arange(first, last)
        targets[f"eyeLookOut{side}"] = ball, np.tile([0.004 * away, 0.0, 0.0], (len(ball), 1))
        lids = np.flatnonzero(np.abs(vertices[: starts[1]] - [0.031 * away, 1.69, 0.08]).sum(axis=1) < 0.05)
        targets[f"eyeBlink{side}"] = lids, np.tile([0.0, -0.009, 0.0], (len(lids), 1))
    return targets


def _ball(middle: tuple[float, float, float], radius: float, around: int, rings: int) -> tuple[np.ndarray, np.ndarray]:
    turn, tilt = np.meshgrid(np.linspace(0, 2 * np.pi, around, endpoint=False), np.linspace(0.05, np.pi - 0.05, rings))
    out = np.stack([np.sin(tilt) * np.sin(turn), np.cos(tilt), np.sin(tilt) * np.cos(turn)], axis=-1).reshape(-1, 3)
    here = np.arange(around * rings).reshape(rings, around)
    right, below = np.roll(here, -1, axis=1)[:-1], here[1:]
    diagonal = np.roll(here, -1, axis=1)[1:]
    triangles = np.concatenate(
        [
            np.stack([here[:-1], below, right], axis=-1).reshape(-1, 3),
            np.stack([right, below, diagonal], axis=-1).reshape(-1, 3),
        ]
    )
    return (np.array(middle) + radius * out).astype(np.float32), triangles
