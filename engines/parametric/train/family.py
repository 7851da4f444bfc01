"""Family: heads of one topology, linear in what makes them different. Knows no networks.

Canonical space: y up, the face looks along +z, one unit is 250 mm; the middle between the eyeballs lies at EYES.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engines.parametric.architecture import MILLIMETRES

EYES = np.array([0.0, 20.0, 78.0], np.float32) / MILLIMETRES
"Where every head's eyes are brought, so that the whole head with a piece of neck lies about the middle of the planes' cube."

FACE_DOWN, FACE_UP, FACE_BACK = 135.0, 55.0, 62.0
"Millimetres from the middle between the eyes that bound the face: below it, above it, behind it."


@dataclass(frozen=True)
class Family:
    """Vertices = rest + identity @ sliders + expression @ actions, in millimetres, about the middle between the eyes."""

    rest: np.ndarray
    "[V, 3] float32."
    sliders: np.ndarray
    "[S, V, 3] float32: what one unit of each number of an identity adds."
    actions: np.ndarray
    "[A, V, 3] float32: what each facial action adds when it is whole."
    action_names: tuple[str, ...]
    "ARKit's names."
    triangles: np.ndarray
    "[T, 3] int32, counter-clockwise from outside: what can be seen of a head, and the cut through its neck, closed."
    eyes: np.ndarray
    "[E] int32: vertices whose mean is the middle between the eyes."
    numbers: np.ndarray
    "[V] int32: each vertex's own number in the topology that it was taken from; -1 for the cut's middle."

    def vertices(self, identities: np.ndarray) -> np.ndarray:
        """[P, V, 3] float32 canonical units of identities [P, S], at rest."""
        points = self.rest + np.tensordot(identities.astype(np.float32), self.sliders, 1)
        return (points - points[:, self.eyes].mean(1, keepdims=True)) / MILLIMETRES + EYES

    def displacements(self, expressions: np.ndarray) -> np.ndarray:
        """[X, V, 3] float32 canonical units of expressions [X, A]."""
        return np.tensordot(expressions.astype(np.float32), self.actions, 1) / MILLIMETRES

    landmarks: tuple[np.ndarray, np.ndarray] | None = None
    "Where MediaPipe's 478 points lie: corners [478, 3] and barycentric shares [478, 3]."

    @cached_property
    def face(self) -> np.ndarray:
        """[T] bool: the triangles of the face, by where they lie on the head at rest."""
        centres = self.rest[self.triangles].mean(1) - self.rest[self.eyes].mean(0)
        return (centres[:, 1] > -FACE_DOWN) & (centres[:, 1] < FACE_UP) & (centres[:, 2] > -FACE_BACK)


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[..., V, 3] unit normals of vertices, the mean of their triangles' by area."""
    a, b, c = (vertices[..., triangles[:, k], :] for k in range(3))
    across = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    rows = np.moveaxis(total, -2, 0)  # a view
    for k in range(3):
        np.add.at(rows, triangles[:, k], np.moveaxis(across, -2, 0))
    return total / np.maximum(np.linalg.norm(total, axis=-1, keepdims=True), 1e-12)


def areas(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[..., T]."""
    a, b, c = (vertices[..., triangles[:, k], :] for k in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=-1) / 2


def visible(vertices: np.ndarray, triangles: np.ndarray, step: float = 1.0, views: int = 10) -> np.ndarray:
    """[T] bool: triangles that parallel cameras all round see, by depth maps whose pixels are `step` wide.

    As NPHM samples scans (arXiv 2212.02761): what ten cameras on a sphere cannot see does not count.
    """
    rng = np.random.default_rng(0)
    sizes = areas(vertices, triangles)
    count = np.maximum((sizes / step**2 * 12).astype(int), 4)
    owner = np.repeat(np.arange(len(triangles)), count)
    points = (vertices[triangles[owner]] * barycentric(rng, len(owner))[..., None]).sum(1)
    facing = np.cross(*(vertices[triangles[:, k]] - vertices[triangles[:, 0]] for k in (1, 2)))
    seen = np.zeros(len(triangles))
    for axis in directions(views):
        frame = np.linalg.svd(axis[None])[2]
        across, depth = points @ frame[1:].T, points @ axis
        pixel = ((across - across.min(0)) / step).astype(int)
        place = pixel[:, 0] * (pixel[:, 1].max() + 1) + pixel[:, 1]
        nearest = np.full(place.max() + 1, -np.inf)
        np.maximum.at(nearest, place, depth)
        front = (depth > nearest[place] - 1.5 * step) & (facing[owner] @ axis > 0)
        seen = np.maximum(seen, np.bincount(owner, front, len(triangles)) / count)
    return seen > 0.25


def directions(count: int) -> np.ndarray:
    """[count, 3] unit vectors spread evenly over the sphere (Fibonacci), the first towards +z."""
    k = np.arange(count)
    z = 1 - 2 * k / max(count - 1, 1)
    turn = k * np.pi * (3 - 5**0.5)
    side = np.sqrt(1 - z**2)
    return np.stack([side * np.cos(turn), side * np.sin(turn), z], -1)


def barycentric(rng: np.random.Generator, count: int) -> np.ndarray:
    """[count, 3] even over a triangle."""
    u = rng.random((count, 2), np.float32)
    root = np.sqrt(u[:, :1])
    return np.concatenate([1 - root, root * (1 - u[:, 1:]), root * u[:, 1:]], 1)


def capped(triangles: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangles [T, 3] with the lowest of their open borders closed by a fan [F, 3], and that border's vertices [F].

    The fan's middle is a new vertex, numbered len(vertices); it belongs at the mean of the border."""
    loops = _borders(triangles)
    lowest = min((loop for loop in loops if len(loop) > 20), key=lambda loop: vertices[loop, 1].mean())
    middle = len(vertices)
    fan = np.array([[b, a, middle] for a, b in zip(lowest, np.roll(lowest, -1), strict=True)], np.int32)
    return np.concatenate([triangles, fan]), np.asarray(lowest)


def _borders(triangles: np.ndarray) -> list[list[int]]:
    """The loops of edges of triangles [T, 3] that have one on one side only, in the direction of that triangle."""
    edges = {(int(a), int(b)) for t in triangles for a, b in zip(t, np.roll(t, -1), strict=True)}
    after = {a: b for a, b in edges if (b, a) not in edges}
    loops = []
    while after:
        start, here = after.popitem()
        loop = [start]
        while here != start and here in after:
            loop.append(here)
            here = after.pop(here)
        loops.append(loop)
    return loops
