"""Faces: expressions from landmarks and from clouds, carried over to others, and what lies between two people."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from engines.parametric import baking, extraction, fitting
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.fitting import Search
from engines.parametric.head import HeadModel
from engines.parametric.train import metrics, worlds
from engines.parametric.train.dataset import Crowd, Scanner

Row = dict[str, float]
SHOWN = ("jaw", "smile", "brows up", "pucker", "blink", "puff")
MOVING = 1.0
"Millimetres above which a point counts as moved."
STILL = 0.02
"Below which it counts as being at rest."
LANDMARK_NOISE = 0.5
STEPS = 5


def moved(model: HeadModel, people: int) -> dict[str, Row]:
    """A7 and A8, on heads never met, whose identities were fitted: error of moving points, as a share of how far they move."""
    crowd = worlds.people(people, worlds.UNSEEN, Scanner(0, 0))
    rows: dict[str, list[float]] = {}
    for who in range(people):
        rng = np.random.default_rng(who)
        cloud, _ = metrics.sample(crowd.vertices[who], crowd.family.triangles, 5000, rng)
        found = fitting.identity(model, fitting.checked(cloud.points))
        told = [*_by_landmarks(model, crowd, who, found.z_id, rng), _from_a_cloud(model, crowd, who, found, rng)]
        for name, value in told:
            rows.setdefault(name, []).append(value)
    return {name: {"share": float(np.mean(values))} for name, values in rows.items()}


def _by_landmarks(
    model: HeadModel, crowd: Crowd, who: int, z: torch.Tensor, rng: np.random.Generator
) -> Iterator[tuple[str, float]]:
    """Of each shown expression: driven by noisy landmarks, carried over by its code, and what that does to points at rest."""
    rest, shut = crowd.vertices[who], crowd.displacements[0]
    baked = baking.bake(model, z, rest, crowd.landmarks()[who])
    corners, shares = (part[list(model.landmark_indices)] for part in crowd.family.landmarks or ())
    for name in SHOWN:
        true = crowd.displacements[crowd.expressions.index(name)] - shut
        at_marks = (true[corners] * shares[..., None]).sum(1)
        noisy = at_marks + LANDMARK_NOISE / MILLIMETRES * rng.standard_normal(at_marks.shape)
        driven = np.tensordot(baked.from_landmarks @ noisy.ravel().astype(np.float32), baked.shapes, 1)
        codes = torch.cat((model.expressions[:1], model.expression(name)))
        closed, given = baking.displacements(model, z, torch.from_numpy(rest), codes)
        still = np.linalg.norm(true, axis=1) * MILLIMETRES < STILL
        yield f"driven: {name}", share_off(driven, true)
        yield f"transferred: {name}", share_off(given - closed, true)
        yield "still points move, mm", float(np.linalg.norm(given - closed, axis=1)[still].mean() * MILLIMETRES)


def _from_a_cloud(
    model: HeadModel, crowd: Crowd, who: int, found: fitting.Fitted, rng: np.random.Generator
) -> tuple[str, float]:
    """The jaw, looked for in a cloud of the posed head."""
    rest, true = crowd.vertices[who], crowd.displacements[crowd.expressions.index("jaw")]
    seen, _ = metrics.sample(rest + true, crowd.family.triangles, 5000, rng)
    surface = torch.from_numpy(
        extraction.surface(model.distance(found.z_id, found.detail), side=fitting.SURFACE).vertices
    )
    code = fitting.expression(model, found.z_id, surface, torch.from_numpy(seen.points).float())
    reached = baking.displacements(model, found.z_id, torch.from_numpy(rest), code)[0]
    return "from a cloud: jaw", share_off(reached, true)


def share_off(found: np.ndarray, true: np.ndarray) -> float:
    size = np.linalg.norm(true, axis=1)
    moving = size * MILLIMETRES > MOVING
    return float(np.linalg.norm(found - true, axis=1)[moving].mean() / size[moving].mean())


def baked_error(model: HeadModel, codes: int = 40) -> Row:
    """What baking loses on expressions between the named ones, which the shapes were not made of."""
    z = model.mean[None]
    found = extraction.surface(model.distance(z), side=64)
    baked = baking.bake(model, z, found.vertices, model.landmarks_of(z)[0].numpy())
    rng = np.random.default_rng(0)
    mixed = torch.from_numpy(rng.dirichlet(np.full(len(model.expressions), 0.1), codes)).float() @ model.expressions
    true = baking.displacements(model, z, torch.from_numpy(found.vertices), mixed) - baked.shut
    flat = baked.shapes.reshape(len(baked.shapes), -1)
    best = np.linalg.lstsq(flat.T, true.reshape(codes, -1).T, rcond=None)[0].T @ flat
    off = np.linalg.norm(best.reshape(true.shape) - true, axis=-1) * MILLIMETRES
    return {"mean_mm": float(off.mean()), "p99_mm": float(np.quantile(off, 0.99)), "shapes": float(len(flat))}


def between(model: HeadModel) -> Row:
    """A9: from one fitted head to another: distance to the first rises, that to the last falls, slopes stay near 1, one piece."""
    crowd = worlds.people(2, worlds.UNSEEN + 7, Scanner(0, 0))
    ends, clouds = [], []
    for who in range(2):
        cloud, _ = metrics.sample(crowd.vertices[who], crowd.family.triangles, 5000, np.random.default_rng(who))
        clouds.append(torch.from_numpy(cloud.points).float())
        ends.append(fitting.identity(model, clouds[-1], Search(refining=None)).z_id)
    first, last, eikonal, pieces = [], [], [], []
    for share in np.linspace(0, 1, STEPS).tolist():
        z = torch.lerp(ends[0], ends[1], share)
        first.append(float(fitting.distances(model, z, clouds[0]).mean()))
        last.append(float(fitting.distances(model, z, clouds[1]).mean()))
        found = extraction.surface(model.distance(z), side=64)
        pieces.append(1 + len(found.dropped))
        near = torch.from_numpy(found.vertices)[None] + 0.02 * torch.randn(1, len(found.vertices), 3)
        near.requires_grad_(True)
        with torch.enable_grad():
            slope = torch.autograd.grad(model.distance(z)(near).sum(), near)[0].norm(dim=-1)
        eikonal.append(float((slope - 1).abs().mean()))
    return {
        "monotone": float((np.diff(first) > 0).all() and (np.diff(last) < 0).all()),
        "from_first_mm": first[-1],
        "to_last_mm": last[-1],
        "eikonal_ends": float(np.mean([eikonal[0], eikonal[-1]])),
        "eikonal_between": max(eikonal[1:-1]),
        "pieces": float(max(pieces)),
    }
