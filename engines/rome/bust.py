"""Bust: a head and shoulders in FLAME's format, by formula: something to move where no FLAME model is. Nobody's face."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from engines.rome.architecture import EXPRESSION, HAIR, NECK, SHAPE

RINGS, COLUMNS = 81, 62
"Of FLAME's number of vertices, 5023: so many rings of so many, and the crown."
_HEIGHTS = (-0.235, -0.19, -0.165, -0.13, -0.10, -0.075, -0.04, 0.0, 0.05, 0.09, 0.12, 0.14)
_WIDE = (0.19, 0.17, 0.115, 0.062, 0.058, 0.062, 0.071, 0.077, 0.080, 0.074, 0.054, 0.008)
_DEEP = (0.10, 0.095, 0.078, 0.062, 0.062, 0.080, 0.092, 0.098, 0.100, 0.092, 0.066, 0.010)
_FORWARD = (-0.02, -0.02, -0.018, -0.012, -0.004, 0.008, 0.004, 0.0, -0.004, -0.008, -0.010, -0.012)
"Of the outline at these heights, metres: half its width, half its depth, and where its middle lies."


def tensors(rings: int = RINGS, columns: int = COLUMNS) -> dict[str, Tensor]:
    """What flame.Flame wants."""
    template, uv_of = _vertices(rings, columns), _uv(rings, columns)
    faces, uv_faces = _triangles(rings, columns)
    hair, neck = _parts(template)
    mouth, chin = np.array([0, -0.045, 0.10]), np.array([0, -0.07, 0.085])
    arrays = {
        "template": template,
        "shapes": _fields("shape", template, SHAPE, 0.002),
        "expressions": _fields("expression", template, EXPRESSION, 0.003, mouth, 0.05),
        "jaw_shapes": _fields("jaw", template, 9, 0.002, chin, 0.05),
        "joints": np.stack([_means(template, joint) for joint in ([0, -0.19, -0.02], [0, -0.01, 0.01])]),
        "jaw_weight": _near(template, chin, 0.045) * (template[:, 1] < -0.05),
        "uv": uv_of,
        "vertex_uv": uv_of[_own_uv(rings, columns)],
        "movable": (hair | neck).astype(np.float32),
        "hair": hair.astype(np.float32),
    }
    made = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}
    return made | {"faces": torch.from_numpy(faces), "uv_faces": torch.from_numpy(uv_faces)}


def basis(template: Tensor) -> dict[str, Tensor]:
    """What offsets.Basis wants, for a bust with this template [N, 3]: fields on hair and on neck and shoulders, outward means."""
    places = template.double().numpy()
    directions = np.zeros((len(places), 3, HAIR + NECK))
    mean = np.zeros_like(places)
    for part, columns, out in zip(_parts(places), (slice(HAIR), slice(HAIR, HAIR + NECK)), (0.015, 0.01), strict=True):
        count = columns.stop - (columns.start or 0)
        drawn = _fields("hair" if columns.start is None else "neck", places, count, 1.0)[part]
        orthonormal, _ = np.linalg.qr(drawn.reshape(-1, count))
        directions[part, :, columns] = orthonormal.reshape(-1, 3, count)
        outward = places[part] * [1, 0.3, 1]
        mean[part] = out * outward / np.linalg.norm(outward, axis=1, keepdims=True)
    flat = directions.reshape(-1, HAIR + NECK)
    return {"directions": torch.from_numpy(flat).float(), "mean": torch.from_numpy(mean).float()}


def _vertices(rings: int, columns: int) -> np.ndarray:
    """[rings * columns + 1, 3]: ring by ring from the crown down, each from the back towards the subject's left."""
    height = np.interp(np.linspace(0, 1, rings), [0, 1], [_HEIGHTS[-1], _HEIGHTS[0]])
    around = np.pi + 2 * np.pi * np.arange(columns) / columns
    y, angle = np.meshgrid(height, around, indexing="ij")
    wide, deep, forward = (_rounded(y, values) for values in (_WIDE, _DEEP, _FORWARD))
    bump = 0.022 * _bump(angle, y, 0, -0.012, 0.16, 0.018) + 0.006 * _bump(angle, y, 0, -0.045, 0.30, 0.012)
    bump += 0.008 * _bump(angle, y, 0, -0.072, 0.35, 0.016) + 0.005 * _bump(angle, y, 0, 0.045, 0.7, 0.012)
    bump -= 0.006 * (_bump(angle, y, 0.36, 0.022, 0.14, 0.012) + _bump(angle, y, -0.36, 0.022, 0.14, 0.012))
    bump += 0.014 * (_bump(angle, y, 1.55, 0.0, 0.10, 0.028) + _bump(angle, y, -1.55, 0.0, 0.10, 0.028))
    placed = np.stack([(wide + bump) * np.sin(angle), y, forward + (deep + bump) * np.cos(angle)], -1)
    return np.concatenate([placed.reshape(-1, 3), [[0, _HEIGHTS[-1] + 0.002, _FORWARD[-1]]]])


def _rounded(y: np.ndarray, values: tuple[float, ...]) -> np.ndarray:
    """[N] `values` of the outline at heights `y` [N] metres, their corners rounded over 2 cm."""
    fine = np.linspace(_HEIGHTS[0] - 0.02, _HEIGHTS[-1] + 0.02, 400)
    kernel = np.hanning(19) / np.hanning(19).sum()
    padded = np.pad(np.interp(fine, _HEIGHTS, values), 9, mode="edge")
    return np.interp(y, fine, np.convolve(padded, kernel, mode="valid"))


def _bump(angle: np.ndarray, y: np.ndarray, at: float, height: float, wide: float, tall: float) -> np.ndarray:
    """[N] 0..1 at angles [N], radians, and heights [N], metres."""
    away = np.angle(np.exp(1j * (angle - at)))
    return np.exp(-((away / wide) ** 2) - ((y - height) / tall) ** 2)


def _triangles(rings: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """[F, 3] int32 into vertices, and into `_uv`, where the seam's column stands twice; counter-clockwise from outside."""
    ring, column = (each.ravel() for each in np.mgrid[: rings - 1, :columns])
    beside = (column + 1) % columns
    a, b, c, d = (
        ring * columns + column,
        ring * columns + beside,
        (ring + 1) * columns + column,
        (ring + 1) * columns + beside,
    )
    wide = columns + 1
    p, q = ring * wide + column, (ring + 1) * wide + column
    around = np.arange(columns)
    crown, crown_uv = np.full(columns, rings * columns), rings * wide + around
    faces = [np.stack([a, c, d], 1), np.stack([a, d, b], 1), np.stack([crown, around, (around + 1) % columns], 1)]
    uv_faces = [np.stack([p, q, q + 1], 1), np.stack([p, q + 1, p + 1], 1), np.stack([crown_uv, around, around + 1], 1)]
    return np.concatenate(faces).astype(np.int32), np.concatenate(uv_faces).astype(np.int32)


def _uv(rings: int, columns: int) -> np.ndarray:
    """[rings * (columns + 1) + columns, 2] in -1..1, y down: a grid, and above it the crown, once for each column."""
    ring, column = (each.ravel() for each in np.mgrid[:rings, : columns + 1])
    grid = np.stack([-0.96 + 1.92 * column / columns, -0.9 + 1.86 * ring / (rings - 1)], 1)
    crown = np.stack([-0.96 + 1.92 * (np.arange(columns) + 0.5) / columns, np.full(columns, -0.96)], 1)
    return np.concatenate([grid, crown])


def _own_uv(rings: int, columns: int) -> np.ndarray:
    """[N]: the one of `_uv` that each vertex looks up."""
    ring, column = (each.ravel() for each in np.mgrid[:rings, :columns])
    return np.append(ring * (columns + 1) + column, rings * (columns + 1) + columns // 2)


def _parts(template: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which vertices of [N, 3] metres are hair, and which neck and shoulders: [N] bool each."""
    y, z = template.T[1:]
    return (y > 0.07) | ((z < -0.02) & (y > -0.06)), y < -0.11


def _near(template: np.ndarray, place: np.ndarray, reach: float) -> np.ndarray:
    """[N] 0..1: how near vertices [N, 3] lie to `place` [3], metres."""
    return np.exp(-((template - place) ** 2).sum(1) / reach**2)


def _means(template: np.ndarray, joint: list[float]) -> np.ndarray:
    """[N]: weights whose mean vertex lies near `joint`."""
    weights = _near(template, np.array(joint), 0.08)
    return weights / weights.sum()


def _fields(
    name: str, template: np.ndarray, count: int, metres: float, place: np.ndarray | None = None, reach: float = 0.0
) -> np.ndarray:
    """[N, 3, count] smooth displacements, ever smaller, of waves that the name sets; about `place` alone if there is one."""
    rng = np.random.default_rng(crc32(name.encode()))
    waves, phases = rng.uniform(-25, 25, (count, 3, 3)), rng.uniform(0, 2 * np.pi, (count, 3))
    directions = rng.standard_normal((count, 3, 3)) / 3
    moved = np.einsum("nkw,kwc->nck", np.sin(np.einsum("nc,kwc->nkw", template, waves) + phases), directions)
    local = 1.0 if place is None else _near(template, place, reach)[:, None, None]
    return metres / (1 + 0.1 * np.arange(count)) * moved * local
