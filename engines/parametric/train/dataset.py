"""Dataset: points of many heads' surfaces and where expressions carry them, drawn as training asks. Knows no networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from torch import Tensor

from engines.parametric import points
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.train.family import Family, areas, barycentric, normals
from engines.parametric.train.normal_maps import Looks, of_meshes


class Heads(Protocol):
    """What the training loop asks of heads, whether they are meshes, samples in files or formulas."""

    expressions: list[str]

    @property
    def people(self) -> int:
        """How many heads there are."""
        ...

    def surface(self, who: np.ndarray, face: int, rest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Points and unit normals [B, face + rest, 3] float32 of the heads `who` [B] at rest, those of the face first."""
        ...

    def normal_maps(self, who: np.ndarray, looks: Looks) -> Tensor:
        """[B, 3, H, H] true normal maps of heads `who` [B] at rest from as many cameras."""
        ...

    def codes(self, numbers: int) -> np.ndarray | None:
        """[P, numbers] float32 identities to start training from, where the heads say something about each other."""
        ...

    def pairs(
        self, who: np.ndarray, which: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Points [B, count, 3] float32 of heads `who` at rest, and where expressions `which` [B] carry them."""
        ...


BENT = 0.5
"""Share of a surface's points that are drawn by how much it bends: ears, eyes and lips are a fifth of a head and have two thirds of
what normals miss."""
FULLY_BENT = 1 - np.cos(np.radians(30))
"Between a triangle and its corners' normals: more than this counts no more, as where a mesh folds."
STILL = 0.3
"Share of the points of an expression that are drawn from the whole head; the others by how far they move."


@dataclass(frozen=True)
class Scanner:
    """What a scanner does to a surface."""

    noise: float = 0.1
    "Millimetres, standard deviation along the normal."
    holes: int = 3
    "In each head, of 6 to 16 mm radius."


class Crowd:
    """People of one family, as meshes."""

    def __init__(
        self,
        family: Family,
        identities: np.ndarray,  # [P, S]
        expressions: list[str],
        moves: np.ndarray,  # [X, A] shares of actions
        scanner: Scanner = Scanner(),
        seed: int = 0,
    ) -> None:
        self.family, self.expressions, self.scanner = family, expressions, scanner
        self.vertices = family.vertices(identities).astype(np.float32)
        self.displacements = family.displacements(moves).astype(np.float32)
        self._holes = _holes(np.random.default_rng(seed), scanner, self.vertices)

    @property
    def people(self) -> int:
        """How many heads there are."""
        return len(self.vertices)

    @cached_property
    def normals(self) -> np.ndarray:
        """[P, V, 3] float32."""
        return np.concatenate(
            [normals(part, self.family.triangles) for part in np.array_split(self.vertices, 16) if len(part)]
        )

    def surface(self, who: np.ndarray, face: int, rest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Heads.surface: points and unit normals, each [B, face + rest, 3] float32."""
        spare = 2 if self.scanner.holes else 1
        places, facing = [], []
        for shares, count in ((self._face, face), (~self._face, rest)):
            corners, share = self._places(shares, len(who) * count * spare, rng)
            shape = (len(who), count * spare, 3)
            p = _mixed(self.vertices, who, corners, share, shape)
            n = _mixed(self.normals, who, corners, share, shape)
            kept = self._outside_holes(who, p, count)
            places.append(np.take_along_axis(p, kept, 1))
            facing.append(np.take_along_axis(n, kept, 1))
        p, n = np.concatenate(places, 1), np.concatenate(facing, 1)
        n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)
        noise = rng.standard_normal(p.shape[:2], np.float32)[..., None] * np.float32(self.scanner.noise / MILLIMETRES)
        return p + n * noise, n

    def normal_maps(self, who: np.ndarray, looks: Looks) -> Tensor:
        """Heads.normal_maps [B, 3, H, H], drawn from the meshes."""
        return of_meshes(self.vertices[who], self.normals[who], self.family.triangles, looks)

    def codes(self, numbers: int) -> np.ndarray:
        """[P, numbers] float32: first_codes, since these heads are registered."""
        return first_codes(self.vertices, numbers)

    def landmarks(self, indices: tuple[int, ...] = points.ALL) -> np.ndarray:
        """[P, L, 3] float32 where these of MediaPipe's points lie on each head at rest."""
        assert self.family.landmarks is not None, "this family has no landmarks"
        corners, shares = (part[list(indices)] for part in self.family.landmarks)
        return (self.vertices[:, corners] * shares[..., None]).sum(2)

    def pairs(
        self, who: np.ndarray, which: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heads.pairs [B, count, 3] twice: triangles by their area and by how far they move."""
        rows = self._moving[which]
        chosen = [np.searchsorted(row, rng.random(count) * row[-1]).clip(0, len(row) - 1) for row in rows]
        corners, share = self.family.triangles[np.concatenate(chosen)], barycentric(rng, len(who) * count)
        shape = (len(who), count, 3)
        rest = _mixed(self.vertices, who, corners, share, shape)
        return rest, rest + _mixed(self.displacements, which, corners, share, shape)

    @cached_property
    def _areas(self) -> np.ndarray:
        """[T] square units, of the mean head."""
        return areas(self.vertices[: min(32, self.people)].mean(0), self.family.triangles)

    @cached_property
    def _drawn(self) -> np.ndarray:
        """[T] how often a triangle of a surface is drawn: by its area, and by its area and how much the mean head bends there."""
        mean, triangles = self.vertices[: min(32, self.people)].mean(0), self.family.triangles
        facing = np.cross(*(mean[triangles[:, k]] - mean[triangles[:, 0]] for k in (1, 2)))
        facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
        bend = 1 - (normals(mean, triangles)[triangles] * facing[:, None]).sum(-1).mean(1)
        cut = (self.family.numbers < 0)[triangles].any(1)
        bent = self._areas * np.where(cut, 0, bend.clip(0, FULLY_BENT))
        return (1 - BENT) * self._areas / self._areas.sum() + BENT * bent / max(bent.sum(), 1e-12)

    @cached_property
    def _face(self) -> np.ndarray:
        """[T] bool: which triangles lie on the face."""
        return self.family.face

    @cached_property
    def _moving(self) -> np.ndarray:
        """[X, T] cumulated: how often a triangle is shown with an expression: by its area, by how far it moves, and by how far it
        moves from the first expression, which all of them share. Each counts as a whole: lids are a hundredth of a head."""
        still = self._areas / self._areas.sum()
        moving = [
            self._areas * self._sizes(moves)
            for moves in (self.displacements, self.displacements - self.displacements[0])
        ]
        shares = [rows / np.maximum(rows.sum(1, keepdims=True), 1e-9) for rows in moving]
        return np.cumsum(STILL * still + (1 - STILL) * (shares[0] + shares[1]) / 2, 1)

    def _sizes(self, moves: np.ndarray) -> np.ndarray:  # [X, V, 3] -> [X, T]
        """How far each triangle moves."""
        return np.linalg.norm(moves, axis=-1)[:, self.family.triangles].mean(2)

    def _places(self, shares: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Corners [count, 3] of random triangles, as often as they are drawn times `shares`, and barycentric shares [count, 3]."""
        cumulated = np.cumsum(self._drawn * shares)
        chosen = np.searchsorted(cumulated, rng.random(count) * cumulated[-1]).clip(0, len(cumulated) - 1)
        return self.family.triangles[chosen], barycentric(rng, count)

    def _outside_holes(self, who: np.ndarray, points: np.ndarray, count: int) -> np.ndarray:
        """[B, count, 1] which of the points to keep: those that no hole swallowed, as far as there are enough."""
        if not self.scanner.holes:
            return np.broadcast_to(np.arange(count)[None, :, None], (len(who), count, 1))
        places, radii = (part[who] for part in self._holes)
        inside = (np.linalg.norm(points[:, :, None] - places[:, None], axis=-1) < radii[:, None]).any(-1)
        return np.argsort(inside, 1, kind="stable")[:, :count, None]


def _mixed(
    table: np.ndarray, rows: np.ndarray, corners: np.ndarray, shares: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Values of `table` [P, V, 3] at places on triangles, each of its own row."""
    owner = np.repeat(rows, shape[1])
    return (table[owner[:, None], corners] * shares[..., None]).sum(1).reshape(shape)


def _holes(rng: np.random.Generator, scanner: Scanner, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each head: where its holes lie [P, H, 3] and how large they are [P, H]."""
    people, count, _ = vertices.shape
    centre = rng.integers(0, count, (people, scanner.holes))
    return np.take_along_axis(vertices, centre[..., None], 1), rng.uniform(6, 16, centre.shape).astype(
        np.float32
    ) / MILLIMETRES


def first_codes(vertices: np.ndarray, numbers: int) -> np.ndarray:  # [P, V, 3] -> [P, numbers] float32
    """Codes to start from where heads are registered: their principal components, of length one on average.

    Each has the square root of its own spread, so that the last of them are still told apart. What has no registration starts
    from noise instead.
    """
    people = len(vertices)
    flat = vertices.reshape(people, -1) - vertices.reshape(people, -1).mean(0)
    spread, axes = np.linalg.eigh((flat @ flat.T).astype(np.float64) / people)
    spread, axes = spread[::-1][:numbers].clip(0), axes[:, ::-1][:, :numbers]
    codes = axes * np.sqrt(people) * spread**0.25
    codes *= spread > 1e-9 * spread.max()
    codes /= np.sqrt((codes**2).sum(1).mean())
    return np.pad(codes, ((0, 0), (0, numbers - codes.shape[1]))).astype(np.float32)
