"""Exporting: a painted mesh as the zip that LAM exports its avatars in, every file of it (importing.py reads it back)."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from engines import gltf
from engines.actions import ACTIONS
from engines.splats import mannequin
from engines.splats.archive import GLB, PLY
from engines.splats.mannequin import Painted

NOTE = "CC0: a made-up head, nobody's likeness"
STANDING = 1.66
"Metres that the face's middle is above the floor: the form has a standing person's head."
LEAST_MOVE = 1e-5
"Metres: what an action moves less is left out."
COLUMNS = ("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity",
           "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip
_LEAST_OPACITY = 1e-3
"As LAM's logits, which end at +-6.907."
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"The date of all files, so that the same avatar is the same bytes."


def packed(name: str = "mannequin", note: str = NOTE) -> bytes:
    """The mannequin's zip, of the folder `name`; `note`: its licence, kept within it."""
    mesh = mannequin.painted()
    places = mesh.vertices / 100 + np.array([0, STANDING, 0], np.float32)
    files = {
        PLY: _ply(mesh),
        GLB: _skin(mesh, places, note),
        "animation.glb": gltf.packed(_bones(), gltf.Buffer(), note),
        "vertex_order.json": json.dumps(np.argsort(places[:, 1], kind="stable").tolist()).encode(),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, data in files.items():
            archive.writestr(zipfile.ZipInfo(f"{name}/{file}", _FIRST_DAY), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _ply(mesh: Painted) -> bytes:
    """A row for each vertex; Gaussians lie on their vertices, so that offsets are 0."""
    sizes, turns = mannequin.surfels(mesh)
    opaque = np.clip(mannequin.opacities(mesh), _LEAST_OPACITY, 1 - _LEAST_OPACITY)
    rows = np.zeros((len(mesh.vertices), len(COLUMNS)), "<f4")
    rows[:, 6:9], rows[:, 9] = mesh.colours, np.log(opaque / (1 - opaque))
    rows[:, 10:13], rows[:, 13:] = np.log(sizes / 100), turns
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    head += [*(f"property float {name}" for name in COLUMNS), "end_header", ""]
    return "\n".join(head).encode("ascii") + rows.tobytes()


def _skin(mesh: Painted, places: np.ndarray, note: str) -> bytes:
    buffer, count = gltf.Buffer(), len(places)
    whole = np.zeros((count, 4), np.float32)
    whole[:, 0] = 1
    targets = []
    for moves in mesh.actions / 100:
        which = np.flatnonzero(np.abs(moves).max(axis=1) >= LEAST_MOVE)
        targets.append({"POSITION": buffer.sparse(which, moves[which].astype(np.float32), count)})
    primitive = {
        "attributes": {
            "POSITION": buffer.accessor(places.astype(np.float32), gltf.VERTICES, bounds=True),
            "JOINTS_0": buffer.accessor(np.zeros((count, 4), np.uint8), gltf.VERTICES),
            "WEIGHTS_0": buffer.accessor(whole, gltf.VERTICES),
        },
        "indices": buffer.accessor(mesh.triangles.astype(np.uint16).ravel(), gltf.INDICES),
        "targets": targets,
        "mode": gltf.TRIANGLES,
    }
    told = {
        "name": "head",
        "primitives": [primitive],
        "weights": [0.0] * len(ACTIONS),
        "extras": {"targetNames": list(ACTIONS)},
    }
    scene = _bones(children=[{"name": "head_final", "mesh": 0, "skin": 0}]) | {
        "meshes": [told],
        "skins": [{"joints": [0]}],
    }
    return gltf.packed(scene, buffer, note)


def _bones(children: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A scene of the one joint that all moves with, and what else is in it."""
    nodes = [{"name": "head"}, *(children or [])]
    return {"scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}], "nodes": nodes}
