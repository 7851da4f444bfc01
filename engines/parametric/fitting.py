"""Fitting: which identity, and which expression, a cloud of points is of. In canonical space; knows no files and no pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from engines.parametric import extraction
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.detail import Refining, refined
from engines.parametric.head import HeadModel

Progress = Callable[[int, int], None]
"Told (steps done, of how many)."

CLAMPS = (0.1, 0.05, 0.03, 0.02)
"Of each quarter of the steps: points further than this from the surface, in units, count as outliers then (NPHM's idea)."

SURFACE = 96
"Points along each side of the grid in which a head is looked for whose expression is sought."


class CloudRejected(ValueError):
    """The caller's points cannot be a head; the message says why and what would help."""


@dataclass(frozen=True)
class Fitted:
    """What was found."""

    z_id: Tensor
    "[1, Z]."
    coefficients: Tensor
    "[1, K], in standard deviations of the prior."
    turn: np.ndarray
    "[3, 3] and"
    shift: np.ndarray
    "[3]: canonical = (points - shift) @ turn; the identity where the cloud was not let loose."
    detail: Tensor | None
    "[1, 3, C, S, S] what the cloud shows beyond that identity, to be added to its planes; None where it was not looked for."
    error: float
    "Mean distance of the cloud to the surface in millimetres, first order: |f| / |grad f|."

    def placed(self, cloud: Tensor) -> Tensor:
        """The cloud [N, 3] where the head is, alike, canonical."""
        return (cloud - torch.from_numpy(self.shift)) @ torch.from_numpy(self.turn)


@dataclass(frozen=True)
class Search:
    """How an identity is looked for: Adam on whitened coefficients, in the span of the identities trained on; then its detail."""

    steps: int = 160
    points: int = 1500
    "Of each step."
    rate: float = 0.1
    "Halved each quarter."
    prior: float = 2e-5
    "Of |c|^2 against the mean distance in units, and"
    prior_by_noise: float = 8e-5
    "as much more for each millimetre of noise."
    noise: float = 0.1
    "Of the points, millimetres: a good scanner's."
    seed: int = 0
    loose: bool = False
    "Whether the cloud may turn and shift as well, by some degrees and centimetres."
    refining: Refining | None = field(default_factory=Refining)
    "None: the identity alone."


def checked(points: np.ndarray) -> Tensor:
    """[N, 3] canonical points as a tensor. Raises CloudRejected for what cannot be a head."""
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 50:
        raise CloudRejected(f"a head needs at least 50 points with three coordinates each, not {tuple(points.shape)}")
    bad = int((~np.isfinite(points)).any(1).sum())
    if bad:
        raise CloudRejected(f"{bad} of {len(points)} points are not finite: remove them from the scan")
    extent = float(np.ptp(points, axis=0).max()) * MILLIMETRES
    if not 60 < extent < 900:
        raise CloudRejected(
            f"these points span {extent:.3g} mm, so they are no head in canonical units (1 unit is 250 mm): say --units"
        )
    return torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32))


def identity(
    model: HeadModel, cloud: Tensor, search: Search = Search(), progress: Progress = lambda *_: None
) -> Fitted:
    """The identity whose surface at rest the cloud [N, 3] lies on."""
    draw = torch.Generator().manual_seed(search.seed)
    found = torch.zeros(1, len(model.basis), requires_grad=True)
    place = torch.zeros(6, requires_grad=True)
    optimiser = torch.optim.Adam([{"params": [found], "lr": search.rate}, {"params": [place], "lr": search.rate / 10}])
    wanted = [found, place] if search.loose else [found]
    prior = search.prior + search.prior_by_noise * search.noise
    whole = search.steps + (search.refining.steps if search.refining else 0)
    for step in range(search.steps):
        quarter = step * 4 // search.steps
        for group, rate in zip(optimiser.param_groups, (search.rate, search.rate / 10), strict=True):
            group["lr"] = rate * 0.5**quarter
        chosen = cloud[torch.randint(len(cloud), (search.points,), generator=draw)][None]
        if search.loose:
            chosen = _placed(chosen, place)
        off = model.identity.sdf(model.identity.planes(model.z(found)), chosen).abs()
        near = off[off < CLAMPS[quarter]]
        loss = (near.mean() if len(near) else off.mean()) + prior * found.square().sum()
        optimiser.zero_grad()
        loss.backward(inputs=wanted)
        optimiser.step()
        progress(step + 1, whole)
    z, still = model.z(found.detach()), place.detach()
    placed = _placed(cloud[None], still)[0] if search.loose else cloud
    more = None
    if search.refining:
        told = lambda done, _: progress(search.steps + done, whole)  # noqa: E731
        more = refined(model, z, placed, search.noise, search.refining, told)
    away = float(distances(model, z, placed, more).mean())
    return Fitted(z, found.detach(), _turn(still[:3]).numpy(), still[3:].numpy(), more, away)


def _placed(points: Tensor, place: Tensor) -> Tensor:
    """Points [..., N, 3] moved back by the last three numbers of `place` [6], then turned by the first three (a rotation vector)."""
    return (points - place[3:]) @ _turn(place[:3])


def _turn(vector: Tensor) -> Tensor:
    """[3, 3] of a rotation vector [3], radians; differentiable at 0 too."""
    x, y, z = vector
    zero = torch.zeros_like(x)
    skew = torch.stack([torch.stack([zero, -z, y]), torch.stack([z, zero, -x]), torch.stack([-y, x, zero])])
    return torch.linalg.matrix_exp(skew)


def distances(model: HeadModel, z: Tensor, points: Tensor, detail: Tensor | None = None, block: int = 20000) -> Tensor:
    """[N] millimetres from each point to the head's surface, first order."""
    far = model.distance(z, detail)
    return torch.cat([_first_order(far, part[None])[0] for part in points.split(block)]) * MILLIMETRES


def _first_order(far: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """[1, N] distances of points [1, N, 3], canonical, to first order: |f| / |grad f|."""
    with torch.enable_grad():
        points = points.detach().requires_grad_(True)
        values = far(points)
        slopes = torch.autograd.grad(values.sum(), points)[0]
    return (values.abs() / slopes.norm(dim=-1).clamp(min=0.2)).detach()


@dataclass(frozen=True)
class ExpressionSearch:
    """How an expression is looked for: the way forward. The head's own surface points are carried, and matched anew."""

    steps: int = 120
    tried: int = 800
    "Points of the cloud that each named expression is tried with, to start from the nearest."
    rematch: int = 5
    points: int = 4000
    "Of the cloud, at most."
    rate: float = 0.05
    prior: float = 2e-6
    reach: float = 0.04
    "Units beyond which a match is no match."


def expression(
    model: HeadModel,
    z_id: Tensor,
    surface: Tensor,
    cloud: Tensor,
    search: ExpressionSearch = ExpressionSearch(),
    progress: Progress = lambda *_: None,
) -> Tensor:
    """[1, E] the expression that carries the head's `surface` [N, 3] at rest onto the cloud [M, 3].

    Nothing has to be inverted: NPHM finds the roots of its deformation for every observed point instead.
    """
    from scipy.spatial import KDTree

    draw = torch.Generator().manual_seed(0)
    cloud = cloud[torch.randperm(len(cloud), generator=draw)[: search.points]]
    middle, spread = model.expressions.mean(0), model.expressions.std(0) + 1e-3
    start = _nearest_expression(model, z_id, surface, cloud[: search.tried])
    found = ((start - middle) / spread).clone().requires_grad_(True)
    optimiser = torch.optim.Adam([found], lr=search.rate * 4)
    matched = torch.zeros(len(cloud), dtype=torch.long)
    for step in range(search.steps):
        optimiser.param_groups[0]["lr"] = search.rate * 4 * 0.5 ** (step * 4 // search.steps)
        code = middle + found * spread
        if step % search.rematch == 0:
            with torch.no_grad():
                posed = surface + model.deformation.displacement(surface[None], z_id, code)[0]
            matched = torch.from_numpy(KDTree(posed.numpy()).query(cloud.numpy())[1])
        own, back = matched.unique(return_inverse=True)
        carried = surface[own] + model.deformation.displacement(surface[own][None], z_id, code)[0]
        off = (carried[back] - cloud).norm(dim=-1)
        near = off[off < search.reach]
        loss = (near.mean() if len(near) else off.mean()) + search.prior * found.square().sum()
        optimiser.zero_grad()
        loss.backward(inputs=[found])
        optimiser.step()
        progress(step + 1, search.steps)
    return (middle + found * spread).detach()


def with_expression(
    model: HeadModel,
    cloud: Tensor,
    search: Search = Search(),
    faces: ExpressionSearch = ExpressionSearch(),
    progress: Progress = lambda *_: None,
) -> tuple[Fitted, Tensor]:
    """Whose head the cloud [N, 3] is of, and the expression [1, E] that its face has: `identity` where a face is not at rest.

    What the face does is taken off the points before detail is looked for in them, which would take it for the head's own shape.
    """
    found = identity(model, cloud, replace(search, refining=None), progress)
    surface, placed = _surface(model, found), found.placed(cloud)
    z_ex = expression(model, found.z_id, surface, placed, faces, progress)
    rest = brought_back(model, found.z_id, surface, placed, z_ex)
    detail = None
    if search.refining:
        detail = refined(model, found.z_id, rest, search.noise, search.refining, progress)
    away = float(distances(model, found.z_id, rest, detail).mean())
    return replace(found, detail=detail, error=away), z_ex


@torch.no_grad()
def brought_back(
    model: HeadModel, z_id: Tensor, surface: Tensor, cloud: Tensor, z_ex: Tensor, reach: float = 0.04
) -> Tensor:
    """[K, 3] where the cloud [N, 3] would lie were the face at rest: less what moves the nearest point of the `surface` [M, 3].

    Points further than `reach` units from the moved surface are left out, unless that were most of them.
    """
    from scipy.spatial import KDTree

    moved = model.deformation.displacement(surface[None], z_id, z_ex)[0]
    apart, nearest = KDTree((surface + moved).numpy()).query(cloud.numpy())
    rest = cloud - moved[torch.from_numpy(nearest)]
    kept = torch.from_numpy(apart < reach)
    return rest[kept] if kept.float().mean() > 0.5 else rest


def _surface(model: HeadModel, found: Fitted) -> Tensor:
    """[N, 3] points of a head's surface at rest, 4 mm apart."""
    return torch.from_numpy(extraction.surface(model.distance(found.z_id, found.detail), side=SURFACE).vertices)


@torch.no_grad()
def _nearest_expression(model: HeadModel, z_id: Tensor, surface: Tensor, cloud: Tensor) -> Tensor:
    """[1, E] the named expression under which the head's points lie nearest to the cloud's: jaws drop by further than a match
    can follow."""
    from scipy.spatial import KDTree

    own = surface[:: max(len(surface) // 4000, 1)]
    apart = []
    for code in model.expressions:
        posed = own + model.deformation.displacement(own[None], z_id, code[None])[0]
        apart.append(KDTree(posed.numpy()).query(cloud.numpy())[0].mean())
    return model.expressions[int(np.argmin(apart))][None]
