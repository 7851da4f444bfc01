"""Strips: rows of pictures of shaded heads: between two people, between two expressions, from one face to another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from display import optics
from engines.parametric import extraction, shaping
from engines.parametric.baking import displacements
from engines.parametric.head import Codes, HeadModel
from engines.raster import textured

Progress = Callable[[int, int], None]
"Told (pictures done, of how many)."

SIDE = 96
"Of the grid that each head is looked for in."
PICTURE = 256
"Pixels of a picture's height; it is three quarters as wide, as heads are."
BACKDROP = (30, 32, 38)
"As dark as plaster in shadow."
YAW = 25.0
PLASTER = (214.0, 208.0, 200.0)
LIGHT = np.array([0.35, 0.45, 0.82], np.float32)


def between(
    model: HeadModel,
    first: Codes,
    last: Codes,
    steps: int = 7,
    progress: Progress = lambda *_: None,
) -> np.ndarray:
    """[H, steps W, 3] uint8 RGB: heads on the straight line from one to another."""
    pictures = []
    for k, share in enumerate(np.linspace(0, 1, steps).tolist()):
        pictures.append(picture(*posed(model, first.towards(last, share))))
        progress(k + 1, steps)
    return np.concatenate(pictures, 1)


def transferred(
    model: HeadModel, source: Codes, target: Codes, z_ex: Tensor, steps: int = 5, progress: Progress = lambda *_: None
) -> np.ndarray:
    """[2 H, steps W, 3] uint8 RGB: the expression [1, E] coming over the source's face, and over the target's, from rest."""
    rest = model.expressions[:1]
    rows = []
    for k, head in enumerate((source, target)):
        told = lambda done, of, k=k: progress(k * of + done, 2 * of)  # noqa: E731
        rows.append(between(model, head.saying(rest), head.saying(z_ex), steps, told))
    return np.concatenate(rows, 0)


def posed(model: HeadModel, head: Codes, side: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3] and triangles [T, 3] of a head under its expression, canonical units."""
    found = extraction.surface(model.distance(head.z_id, head.detail), side=side or SIDE)
    moved = displacements(model, head.z_id, torch.from_numpy(found.vertices), head.z_ex)[0]
    return found.vertices + moved, found.faces


def picture(vertices: np.ndarray, triangles: np.ndarray, yaw: float = YAW, side: int = PICTURE) -> np.ndarray:
    """[side, 3/4 side, 3] uint8 RGB of a head [N, 3], [T, 3] in plaster."""
    world = (vertices * 0.44 + optics.LOOK_AT).astype(np.float32)
    places = textured.project(world, optics.orbit(yaw, 4), optics.intrinsics(), side, side)
    count = len(vertices)
    facing = shaping.normals(vertices, triangles)
    light = np.clip(0.22 + 0.85 * facing @ LIGHT, 0.15, 1.1).astype(np.float32)
    colours = np.tile(np.array([*PLASTER, 0.0], np.float32), (count, 1))
    out = np.empty((side, side, 4), np.uint8)
    owner, depth = np.empty((side, side), np.int32), np.empty((side, side), np.float32)
    blank = np.zeros((2, 2, 3), np.uint8)
    textured.draw(places, triangles, np.zeros((count, 2), np.float32), colours, light, blank, owner, depth, out)
    return np.maximum(out[:, side // 8 : -(side // 8), :3], np.array(BACKDROP, np.uint8))
