"""FLAME files: a FLAME model, DECA's and ROME's small data files beside it, as the tensors that flame.py works with."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engines import pickled, weights
from engines.rome.architecture import EXPRESSION, SHAPE
from engines.weights import CheckpointRejected

VERTICES, FACES, CLOSED, UV = 5023, 9976, 10006, 5118
"Of FLAME; of FLAME with ROME's triangles that close the mouth; of DECA's texture layout."
FIRST_EXPRESSION = 300
"Of the columns of `shapedirs`; shapes stand before it."
_MODEL = {
    "v_template": (VERTICES, 3),
    "shapedirs": (VERTICES, 3, 400),
    "posedirs": (VERTICES, 3, 36),
    "J_regressor": (5, VERTICES),
    "weights": (VERTICES, 5),
    "f": (FACES, 3),
}
_ROOT, _JAW = 0, 2
_JAW_ENTRIES = slice(9, 18)
"Of a pose's 36 numbers: nine each for neck, jaw and eyes."

THROAT = (
    *(3383, 3385, 3387, 3389, 3392, 3393, 3395, 3397, 3399, *range(3413, 3425), *range(3441, 3462)),
    *(3578, 3579, 3581, 3583, 3587, 3594, 3595, 3598, 3600, 3630, *range(3634, 3638), 3643, 3644, 3646, 3649, 3650),
    *(3652, 3673, *range(3676, 3682), 3685, 3691, 3693, 3695, 3697, 3698, 3701, 3703, 3707, 3709),
)
"Vertices of the neck's list that the release keeps on the head all the same: the front of the throat up to the jaw."


class Release(Enum):
    """Which FLAME a file is, and so under which licence it came."""

    FLAME_2020 = "FLAME 2020: research licence with registration, no redistribution"
    OTHER = (
        "FLAME of another release than 2020 (if it is FLAME 2023 Open: CC BY 4.0); DECA and ROME's linear model know 2020's "
        "expressions only, so faces will move otherwise than they should"
    )


def release_of(flame: Path) -> Release:
    """Told by the template, which DECA's head_template.obj has too; by the file's name where that holds no vertices."""
    rows = _rows(flame.parent / "head_template.obj", "v ")
    if len(rows) == VERTICES:
        template = np.asarray(pickled.read(flame)["v_template"], np.float64)
        return Release.FLAME_2020 if np.abs(template - rows[:, :3]).max() < 1e-3 else Release.OTHER
    return Release.OTHER if "2023" in flame.name else Release.FLAME_2020


def read_flame(flame: Path) -> dict[str, Tensor]:
    """The tensors of flame.Flame. Raises weights.CheckpointRejected or FileNotFoundError, naming the file at fault."""
    model, folder = _model(flame), flame.parent
    faces = weights.read_tensor(folder / "faces_v2.pth", (1, CLOSED, 3))[0]
    uv_faces = weights.read_tensor(folder / "uvfaces_v2.pth", (1, CLOSED, 3))[0]
    uv = _rows(folder / "head_template.obj", "vt ")
    if not np.array_equal(faces[:FACES].numpy(), model["f"].astype(np.int64)):
        raise CheckpointRejected(f"{flame.name} has other triangles than faces_v2.pth, so it is not FLAME's head")
    if len(uv) != UV or int(uv_faces.max()) >= UV or int(uv_faces.min()) < 0 or int(faces.max()) >= VERTICES:
        raise CheckpointRejected(
            f"head_template.obj has {len(uv)} texture coordinates instead of {UV}, so it is not DECA's"
        )
    arrays = {
        "template": model["v_template"],
        "shapes": model["shapedirs"][..., :SHAPE],
        "expressions": model["shapedirs"][..., FIRST_EXPRESSION : FIRST_EXPRESSION + EXPRESSION],
        "jaw_shapes": model["posedirs"][..., _JAW_ENTRIES],
        "joints": model["J_regressor"][[_ROOT, _JAW]],
        "jaw_weight": model["weights"][:, _JAW],
        "uv": np.stack((2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]), 1),
        "movable": _listed(folder, "hair_list.pkl", "neck_list.pkl"),
        "hair": _listed(folder, "hair_list.pkl"),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}
    tensors["vertex_uv"] = weights.read_tensor(folder / "vertex_uvcoords.pth", (1, VERTICES, 2))[0].float()
    return tensors | {"faces": faces.int(), "uv_faces": uv_faces.int()}


def _model(flame: Path) -> dict[str, np.ndarray]:
    found = pickled.read(flame)
    if not isinstance(found, dict):
        raise CheckpointRejected(f"{flame.name} is no FLAME model: it holds no table of arrays")
    for name, shape in _MODEL.items():
        array = found.get(name)
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind not in "fiu":
            seen = f"of shape {array.shape}" if isinstance(array, np.ndarray) else "missing"
            raise CheckpointRejected(f"{flame.name} is no FLAME model: {name} is {seen} instead of {shape}")
        if not np.isfinite(array).all():
            raise CheckpointRejected(f"{flame.name}: {name} holds values that are not finite")
    return {name: found[name] for name in _MODEL}


def _listed(folder: Path, *names: str) -> np.ndarray:
    """[5023]: 1 on the vertices that these files list, but for the throat."""
    listed = np.zeros(VERTICES, np.float32)
    for name in names:
        listed[vertex_list(folder / name)] = 1
    listed[list(THROAT)] = 0
    return listed


def vertex_list(path: Path) -> np.ndarray:
    """[n] int64 vertices that a pickle lists. Raises weights.CheckpointRejected or FileNotFoundError."""
    listed: Any = pickled.read(path)
    try:
        chosen = np.asarray(listed).astype(np.int64, casting="safe").reshape(-1)
    except (TypeError, ValueError):
        raise CheckpointRejected(f"{path.name} is no list of vertices") from None
    if not len(chosen) or chosen.min() < 0 or chosen.max() >= VERTICES:
        raise CheckpointRejected(f"{path.name} lists vertices that FLAME has not")
    return chosen


def _rows(path: Path, kind: str) -> np.ndarray:
    """[n, 2 or 3] numbers of an OBJ file's lines of one kind. Raises weights.CheckpointRejected or FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        lines = [line.split()[1:] for line in path.read_text().splitlines() if line.startswith(kind)]
        rows = np.array(lines, np.float64)
        return rows if len(rows) else np.empty((0, 3))
    except ValueError:
        raise CheckpointRejected(f"{path.name} is damaged: its lines of {kind.strip()!r} are not all numbers") from None
