"""Formula: heads whose truth is known exactly: a distance-like function whose zero is the surface, and a forward expression field.

A smooth union of ellipsoids (log-sum-exp), with sockets, eyeballs, a slit for the mouth, ears, a cap of hair with bumps and a cut
neck; expressions are a jaw that turns about its hinge and Gaussians. 16 numbers say who, 6 what the face does. No likeness is
claimed: it is what networks, losses and metrics are tried on. In canonical units, without Anny and without files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engines.parametric import extraction
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.train.family import normals
from engines.parametric.train.normal_maps import Looks, of_meshes

IDENTITY, EXPRESSION = 16, 6
NAMES = ("rest", "jaw", "corners", "brows", "frown", "pucker", "puff")
MOUTH, THROAT, HINGE = -56.0, -118.0, (-5.0, -5.0)
"Millimetres: heights of the mouth and of where the neck no longer follows the jaw; y and z that the jaw turns about."
JAW_DEGREES = 14.0
CUT = -150.0
HAIR_WAVE, HAIR_BUMPS = 28.0, 2.0
FACE_FRONT, FACE_LOW, FACE_HIGH = 40.0, -105.0, 55.0
"Millimetres that bound what counts as face."


def distance(points: Tensor, who: Tensor) -> Tensor:
    """[B, N] of points [B, N, 3] and identities [B, 16]: 0 on the surface, negative inside, with a slope of about 1 near it."""
    p, a = points * MILLIMETRES, who.unbind(-1)
    both = torch.cat((p[..., :1].abs(), p[..., 1:]), -1)  # left and right alike

    def egg(at: Tensor, centre: tuple, radii: tuple) -> Tensor:
        c, r = _vector(a[0], centre), _vector(a[0], radii)
        q = at - c
        shrunk, slope = (q / r).norm(dim=-1).clamp_min(1e-6), (q / r**2).norm(dim=-1).clamp_min(1e-6)
        return shrunk * (shrunk - 1) / slope

    skull = egg(p, (0, 20, -10), (75 + 4.5 * a[0], 100 + 6 * a[1], 92 + 4.6 * a[2]))
    jaw = egg(p, (0, -45, 22), (52 + 5 * a[3], 62 + 5 * a[4], 60))
    chin = egg(p, (0, -90 - 4 * a[4], 62 + 4 * a[5]), (17 + 2 * a[3], 14, 15))
    bridge = egg(p, (0, -6, 86 + 3 * a[6]), (9 + 1.5 * a[7], 26, 14 + 3 * a[6]))
    nose = egg(p, (0, -24, 98 + 4 * a[6]), (13 + 2 * a[7], 9, 13))
    brow = egg(both, (26, 30, 76), (22, 8 + 1.5 * a[8], 11))
    cheek = egg(both, (42, -18, 60), (19 + 2 * a[9], 14, 15))
    neck = egg(p, (0, -130, -18), (50 + 4 * a[13], 95, 50 + 4 * a[13]))
    upper = egg(p, (0, -50, 80), (24 + 2 * a[11], 6.5, 11))
    lower = egg(p, (0, -62, 78), (21 + 2 * a[11], 7.5, 11))
    face = _union(8, skull, jaw, chin, bridge, nose, brow, cheek, neck)
    face = _union(3, face, upper, lower)
    face = _without(4, face, egg(both, (31 + 2 * a[10], 11, 94), (16, 9, 14)))
    face = _union(1.5, face, egg(both, (31 + 2 * a[10], 11, 70), (13, 13, 13)))
    face = _without(1.5, face, egg(p, (0, MOUTH, 96), (19 + 2 * a[11], 1.6, 12)))
    face = _union(4, face, egg(both, (76 + 4.5 * a[0], 2, -8), (8, 27 + 3 * a[12], 16)))
    hair = egg(p, (0, 44, -20), (82 + 4 * a[14], 88 + 7 * a[15], 92 + 4 * a[14]))
    hair = hair + HAIR_BUMPS * torch.sin(2 * torch.pi / HAIR_WAVE * p).prod(-1)
    hair = _without(8, hair, p[..., 1] - 38 + 0.55 * (60 - p[..., 2]))
    cut = _without(3, _union(4, face, hair), p[..., 1] - CUT)
    return cut / MILLIMETRES


def displacement(points: Tensor, who: Tensor, what: Tensor) -> Tensor:
    """[B, N, 3] that expressions [B, 6] (jaw, corners, brows, frown, pucker, puff) move points of the heads [B, 16] by."""
    p, a, e = points * MILLIMETRES, who.unbind(-1), what.unbind(-1)
    _, y, z = p.unbind(-1)
    weight = torch.sigmoid((MOUTH - y) / 3) * torch.sigmoid((z - 25) / 9) * torch.sigmoid((y - THROAT) / 6)
    angle = np.radians(JAW_DEGREES) * e[0].clamp_min(0)[:, None] * weight
    dy, dz = y - HINGE[0], z - HINGE[1]
    cos, sin = torch.cos(angle), torch.sin(angle)
    total = torch.stack((torch.zeros_like(y), cos * dy - sin * dz - dy, sin * dy + cos * dz - dz), -1)
    for centre, width, move, amount in (
        ((22 + 2 * a[11], MOUTH, 82), 13, (6, 6, -4), e[1]),
        ((26, 30, 84), 15, (0, 7, 0), e[2]),
        ((18, 28, 86), 12, (-4, -3, 1), e[3]),
        ((45 + 2 * a[9], -48, 58), 18, (7, 0, 3), e[5]),
    ):
        for side in (1, -1):
            total = total + _bump(p, a[0], (side * centre[0], *centre[1:]), width, (side * move[0], *move[1:]), amount)
    total = total + _bump(p, a[0], (0, MOUTH, 88), 16, (0, 0, 8), e[4])
    return total / MILLIMETRES


def drawn(people: int, seed: int) -> Tensor:
    """[people, 16] identities: normal, within two standard deviations."""
    return torch.randn(people, IDENTITY, generator=torch.Generator().manual_seed(seed)).clamp(-2, 2)


def surface(who: Tensor, count: int, seed: int, rounds: int = 7) -> tuple[Tensor, Tensor]:
    """Points and unit normals [B, count, 3] on the surfaces: random points of a shell, brought on it by Newton steps, evened out
    by keeping as many of each of a coarse grid's cells as its area asks."""
    draw = torch.Generator().manual_seed(seed)
    points = torch.randn(len(who), 2 * count, 3, generator=draw)
    points = points / points.norm(dim=-1, keepdim=True) * torch.tensor([0.36, 0.55, 0.42]) + torch.tensor(
        [0, -0.05, 0.0]
    )
    for _ in range(rounds + 8):
        values, slope = _slope(points, who)
        step = (values / slope.square().sum(-1).clamp_min(1e-3)).clamp(-0.03, 0.03)
        points = points - step[..., None] * slope
    values, slope = _slope(points, who)
    off = values.abs().argsort(1)[:, :count, None].expand(-1, -1, 3)
    normals = torch.nn.functional.normalize(slope, dim=-1)
    return points.gather(1, off), normals.gather(1, off)


@dataclass
class Formulas:
    """Heads by formula, as the training loop asks for them."""

    who: Tensor
    points: np.ndarray
    "[P, n, 3] float32."
    normals: np.ndarray

    expressions: list[str] = field(default_factory=lambda: list(NAMES))

    @classmethod
    def drawn(cls, people: int, seed: int = 0, count: int = 6000) -> Formulas:
        """So many people, and of each of them `count` points of the surface."""
        who = drawn(people, seed)
        parts = [surface(part, count, seed + k) for k, part in enumerate(who.split(8))]
        points, normals = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        return cls(who, points, normals)

    @property
    def people(self) -> int:
        """How many heads there are."""
        return len(self.who)

    def surface(self, who: np.ndarray, face: int, rest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Heads.surface: points and unit normals, each [B, face + rest, 3] float32."""
        chosen = np.stack([_picked(face_of(self.points[k]), face, rest, rng) for k in who])
        return self.points[who[:, None], chosen], self.normals[who[:, None], chosen]

    def normal_maps(self, who: np.ndarray, looks: Looks) -> Tensor:
        """Heads.normal_maps [B, 3, H, H], of meshes that are made of the formulas for it."""
        meshes = [extraction.surface(truth(self.who[k : k + 1]), side=64) for k in who.tolist()]
        maps = []
        for k, found in enumerate(meshes):
            facing = normals(found.vertices, found.faces)[None]
            maps.append(of_meshes(found.vertices[None], facing, found.faces, looks.one(k)))
        return torch.cat(maps)

    def codes(self, numbers: int) -> np.ndarray | None:
        """None, instead of [P, numbers]: training starts from noise."""
        return None

    def pairs(
        self, who: np.ndarray, which: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heads.pairs [B, count, 3] twice, three quarters of them on the face."""
        rest, _ = self.surface(who, count * 3 // 4, count - count * 3 // 4, rng)
        what = torch.eye(EXPRESSION + 1)[which, 1:]
        moved = displacement(torch.from_numpy(rest), self.who[who], what)
        return rest, rest + moved.numpy()


def face_of(points: np.ndarray) -> np.ndarray:
    """[...] bool: which points lie on the face."""
    y, z = points[..., 1] * MILLIMETRES, points[..., 2] * MILLIMETRES
    return (z > FACE_FRONT) & (y > FACE_LOW) & (y < FACE_HIGH)


def _picked(is_face: np.ndarray, face: int, rest: int, rng: np.random.Generator) -> np.ndarray:
    """[face + rest] numbers of points at random, those on the face first; `is_face` [n] bool."""
    on, off = np.flatnonzero(is_face), np.flatnonzero(~is_face)
    return np.concatenate([rng.choice(on, face), rng.choice(off, rest)])


def _slope(points: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """Distances [B, n] of points [B, n, 3] and their slopes [B, n, 3]."""
    points = points.detach().requires_grad_(True)
    values = distance(points, who)
    return values.detach(), torch.autograd.grad(values.sum(), points)[0]


def _vector(like: Tensor, parts: tuple) -> Tensor:
    """[B, 1, n] of numbers and of tensors [B] such as `like`."""
    columns = [part if isinstance(part, Tensor) else torch.full_like(like, float(part)) for part in parts]
    return torch.stack(columns, -1)[:, None]


def _union(width: float, *parts: Tensor) -> Tensor:
    """A smooth union of distances of one shape [...]."""
    return -width * torch.logsumexp(torch.stack([-part / width for part in parts]), 0)


def _without(width: float, what: Tensor, taken: Tensor) -> Tensor:
    """What is left of `what` outside of `taken`, distances [...] alike."""
    return -_union(width, -what, taken)


def _bump(p: Tensor, like: Tensor, centre: tuple, width: float, move: tuple, amount: Tensor) -> Tensor:
    """[B, n, 3]: how points [B, n, 3] near `centre` are moved, by `amount` [B]."""
    near = torch.exp(-(p - _vector(like, centre)).square().sum(-1) / (2 * width**2))
    return near[..., None] * _vector(like, move) * amount[:, None, None]


Truth = Callable[[Tensor], Tensor]


def truth(who: Tensor) -> Truth:
    """The distance of one identity [1, 16], as extraction asks for it."""
    return lambda points: distance(points, who)
