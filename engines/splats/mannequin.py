"""Mannequin: a made-up head whose truth is known: a painted mesh with 51 actions, and Gaussians that lie on its vertices.

Its skin is engines/morphable's (CC0) at rest, made finer; eyeballs, teeth and the mouth's inside are added. So tests and
strangers have an avatar that is nobody. Centimetres of the canonical face until it is exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from engines.actions import ACTIONS, INDEX
from engines.morphable import model
from engines.splats import painting, subdivision

TEETH, MOUTH = (0.90, 0.88, 0.84), (0.20, 0.06, 0.06)
OPAQUE = 0.99
COVERING = 0.92
"Standard deviation along a surface, in root mean squares of the distance to neighbours: no gaps, and edges as sharp as can be."
STRETCHED = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen", "mouthSmileLeft", "mouthSmileRight")
"Actions that pull neighbours apart: what they leave of the surface is to be covered too."
THIN = 0.03
"Centimetres: across the surface."
NECK = -10.7
"Height in centimetres where the neck is half faded."
LARGEST = 1.0
"Centimetres, as LAM's."
GAZE_ASIDE, GAZE_UP = np.radians(25.0), np.radians(20.0)
"By how much an eyeball is turned by a whole action."
_INNER_LIPS = (13, 14)
RIM = 25
"Points along the inner rim of a lip."


@dataclass(frozen=True)
class Painted:
    """A coloured mesh and what actions do to it."""

    vertices: np.ndarray
    "[N, 3] float32 centimetres: x to the person's left, y up, z to the front."
    triangles: np.ndarray
    "[T, 3] int32, counter-clockwise from outside."
    colours: np.ndarray
    "[N, 3] float32 0..1 sRGB, light and shade painted in."
    actions: np.ndarray
    "[51, N, 3] float32 centimetres, in the order of engines/actions.py."


@cache
def painted() -> Painted:
    """The mannequin: skin, the mouth's inside, teeth, the right and the left eyeball, each a piece of its own."""
    parts = [_skin(), _mouth(), _teeth(upper=True), _teeth(upper=False), _eyeball("Right"), _eyeball("Left")]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Painted(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=False)]).astype(np.int32),
        np.concatenate([part.colours for part in parts]),
        np.concatenate([part.actions for part in parts], 1),
    )


def surfels(mesh: Painted) -> tuple[np.ndarray, np.ndarray]:
    """(standard deviations [N, 3] centimetres, turns [N, 4] w x y z) of flat Gaussians on its vertices that cover it."""
    rest = spread = _spread(mesh, mesh.vertices)
    for name in STRETCHED:
        moved = _spread(mesh, mesh.vertices + mesh.actions[INDEX[name]])
        wider = np.einsum("nii->n", moved) > np.einsum("nii->n", spread)
        spread = np.where(wider[:, None, None], (rest + moved) / 2, spread)
    squares, axes = np.linalg.eigh(spread)  # rising: across the surface comes first
    axes[:, :, 0] = np.cross(axes[:, :, 1], axes[:, :, 2])
    sizes = np.clip(COVERING * np.sqrt(np.maximum(squares, 0)), THIN, LARGEST)
    return sizes.astype(np.float32), _quaternions(axes)


def _spread(mesh: Painted, vertices: np.ndarray) -> np.ndarray:
    """[N, 3, 3]: the mean of d d' over the steps d from each vertex to its neighbours."""
    pairs, _ = subdivision.edges(mesh.triangles)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    away = (vertices[both[:, 1]] - vertices[both[:, 0]]).astype(np.float64)
    sums = [np.bincount(both[:, 0], away[:, i] * away[:, j], len(vertices)) for i in range(3) for j in range(3)]
    return np.stack(sums, 1).reshape(-1, 3, 3) / np.bincount(both[:, 0], minlength=len(vertices))[:, None, None]


def opacities(mesh: Painted) -> np.ndarray:
    """[N] 0..1: opaque, but for the neck's ragged end."""
    _, y, z = mesh.vertices.T
    return OPAQUE * painting.soft(
        (y + 0.4 * np.maximum(z + 2.0, 0) - NECK) / 2.2
    )  # a chin stays, at whatever height it is


def _quaternions(turns: np.ndarray) -> np.ndarray:
    """[N, 4] float32 w, x, y, z of rotation matrices [N, 3, 3]: by the largest of the four, as Shepperd has it."""
    m = {(i, j): turns[:, i, j] for i in range(3) for j in range(3)}
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    x, y, z = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    rows = [
        (1 + trace, x, y, z),
        (x, 1 + 2 * m[0, 0] - trace, xy, xz),
        (y, xy, 1 + 2 * m[1, 1] - trace, yz),
        (z, xz, yz, 1 + 2 * m[2, 2] - trace),
    ]
    four = np.stack([np.stack(row, 1) for row in rows], 1)
    best = np.argmax(np.einsum("nii->ni", four), 1)
    found = four[np.arange(len(four)), best]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _skin() -> Painted:
    head = model.load()
    triangles = _piece_with_most(head.triangles, len(head.mean))
    used = np.unique(triangles)
    values = np.concatenate([head.mean[None], head.actions])[:, used].transpose(1, 0, 2).reshape(len(used), -1)
    finer, triangles = subdivision.loop(values, np.searchsorted(used, triangles).astype(np.int32))
    finer = finer.reshape(len(finer), -1, 3)
    vertices = finer[:, 0].copy()
    return Painted(
        vertices, triangles, painting.skin(head, vertices, triangles), finer[:, 1:].transpose(1, 0, 2).copy()
    )


def _piece_with_most(triangles: np.ndarray, count: int) -> np.ndarray:
    """Those of triangles [T, 3] that hang together with the piece of most vertices."""
    label = np.arange(count)
    while True:
        lowest = label[triangles].min(1)
        spread = label.copy()
        for corner in range(3):
            np.minimum.at(spread, triangles[:, corner], lowest)
        if (spread == label).all():
            return triangles[label[triangles[:, 0]] == np.bincount(label).argmax()]
        label = spread


def _mouth() -> Painted:
    """A dark bag that hangs on the lips' inner rim, and opens where they do."""
    upper, lower = _inner_rims()
    rim = np.concatenate([upper, lower[::-1]])
    throat = rim.mean(0, keepdims=True)
    rings = []
    for depth in np.array([0.0, 0.05, 0.12, 0.22, 0.35, 0.5, 0.65, 0.8, 0.95]):
        ring = rim + depth**2 * (throat - rim)
        ring[:, 0, 2] = rim[:, 0, 2] - 4.5 * depth
        rings.append(ring)
    values = np.stack(rings)
    depth = np.linspace(0, 1, len(rings), dtype=np.float32)[:, None, None]
    colours = np.broadcast_to(np.array(MOUTH, np.float32) * (1 - 0.85 * depth), (*values.shape[:2], 3))
    flat = values.reshape(-1, *values.shape[2:])
    actions = flat[:, 1:].transpose(1, 0, 2).copy()
    return Painted(flat[:, 0].copy(), _grid(values[:, :, 0], True), colours.reshape(-1, 3).copy(), actions)


def _inner_rims() -> tuple[np.ndarray, np.ndarray]:
    """Of the upper and of the lower lip [RIM, 52, 3]: places from right to left where the skin ends within the mouth, and their moves."""
    head = model.load()
    pairs, which = subdivision.edges(head.triangles)
    ends = np.unique(pairs[np.bincount(which.ravel()) == 1])
    at = head.points[0][list(_INNER_LIPS)].mean(0)
    ends = ends[(np.abs(head.mean[ends] - at) < (3.0, 0.8, 1.8)).all(1)]
    values = np.concatenate([head.mean[None], head.actions])[:, ends].transpose(1, 0, 2)
    jaw = -values[:, 1 + INDEX["jawOpen"], 1]
    corners = values[[values[:, 0, 0].argmin(), values[:, 0, 0].argmax()]]
    across = np.linspace(corners[0, 0, 0], corners[1, 0, 0], RIM)
    return _resampled(values[jaw < 1.0], corners, across), _resampled(values[jaw > 1.6], corners, across)


def _resampled(values: np.ndarray, corners: np.ndarray, across: np.ndarray) -> np.ndarray:
    """[R, 52, 3]: `values` [M, 52, 3] between `corners` [2, 52, 3], at x = `across` [R]."""
    inner = values[np.abs(values[:, 0, 0]) < np.abs(corners[:, 0, 0]).min() - 0.05]
    line = np.concatenate([corners[:1], inner[np.argsort(inner[:, 0, 0])], corners[1:]])
    flat = line.reshape(len(line), -1)
    columns = [np.interp(across, flat[:, 0], column) for column in flat.T]
    return np.stack(columns, 1).reshape(len(across), *line.shape[1:]).astype(np.float32)


def _grid(places: np.ndarray, closed: bool) -> np.ndarray:
    """[T, 3] triangles between rows and columns of points [R, C, 3]; `closed`: the last column is beside the first."""
    rows, columns = places.shape[:2]
    at = np.arange(rows * columns).reshape(rows, columns)
    at = np.concatenate([at, at[:, :1]], 1) if closed else at
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, :-1].ravel(), at[1:, 1:].ravel()
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)]).astype(np.int32)


def _teeth(upper: bool) -> Painted:
    """A row of teeth along half an ellipse; the lower one goes with the chin as the jaw's actions have it."""
    head = model.load()
    lips = head.points[0][list(_INNER_LIPS)].mean(0)
    top, bottom = (0.55, -0.25) if upper else (-0.3, -1.0)
    turn, height = np.meshgrid(np.linspace(-1.25, 1.25, 61), np.linspace(top, bottom, 7))
    places = np.stack(
        [2.25 * np.sin(turn), lips[1] + height, lips[2] - 3.6 + (2.65 if upper else 2.5) * np.cos(turn)], 2
    )
    gaps = np.abs(np.sin(turn * 10 / 2.5 * np.pi))  # ten teeth
    light = (0.72 + 0.28 * np.cos(turn)) * (0.78 + 0.22 * painting.soft(4 * gaps - 0.6)) * (0.9 if upper else 0.8)
    actions = np.zeros((len(ACTIONS), places.size // 3, 3), np.float32)
    if not upper:
        chin = np.linalg.norm(head.actions[INDEX["jawOpen"]], axis=1).argmax()
        for name in ("jawForward", "jawLeft", "jawOpen", "jawRight"):
            actions[INDEX[name]] = head.actions[INDEX[name], chin]
    colours = (np.array(TEETH) * light[..., None]).reshape(-1, 3)
    return Painted(places.reshape(-1, 3).astype(np.float32), _grid(places, False), colours.astype(np.float32), actions)


def _eyeball(side: str) -> Painted:
    """A ball about whose middle looks turn it; its rings are close together where it is seen."""
    middle, radius = _eye_socket(side)
    angles = np.radians([*np.linspace(0.6, 24, 14), *np.linspace(27, 75, 14), 90, 110, 130, 150, 170, 179])
    ring, around = np.meshgrid(angles, np.linspace(0, 2 * np.pi, 40, endpoint=False), indexing="ij")
    places = radius * np.stack([np.sin(ring) * np.cos(around), np.sin(ring) * np.sin(around), np.cos(ring)], 2)
    flat = places.reshape(-1, 3)
    actions = np.zeros((len(ACTIONS), len(flat), 3), np.float32)
    outward = 1.0 if side == "Left" else -1.0
    for name, yaw, pitch in (("Out", outward, 0), ("In", -outward, 0), ("Up", 0, 1), ("Down", 0, -1)):
        actions[INDEX[f"eyeLook{name}{side}"]] = flat @ _turned(GAZE_ASIDE * yaw, GAZE_UP * pitch).T - flat
    colours = painting.eye(np.degrees(ring).ravel(), around.ravel())
    return Painted((flat + middle).astype(np.float32), _grid(places, True), colours, actions)


def _eye_socket(side: str) -> tuple[np.ndarray, float]:
    """(middle [3], radius) of the ball that fits what the head has of an eye."""
    head = model.load()
    moves = np.linalg.norm(head.actions[INDEX[f"eyeLookOut{side}"]], axis=1)
    inner = np.abs(head.mean - head.points[0][[33, 133] if side == "Right" else [263, 362]].mean(0)).max(1) < 2.2
    loose = np.setdiff1d(np.arange(len(head.mean)), _piece_with_most(head.triangles, len(head.mean)))
    seen = head.mean[loose[inner[loose]]].astype(np.float64)
    assert len(seen) > 8, (side, moves.max())
    equations = np.concatenate([2 * seen, np.ones((len(seen), 1))], 1)
    found = np.linalg.lstsq(equations, np.square(seen).sum(1), rcond=None)[0]
    return found[:3], float(np.sqrt(found[3] + found[:3] @ found[:3]))


def _turned(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3]: what looks along +z looks `yaw` to +x and `pitch` up."""
    aside = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    up = np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
    return aside @ up
