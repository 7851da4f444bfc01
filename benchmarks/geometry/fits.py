"""Fits: identities looked for in whole clouds, in one view, in noise, in few points; and in scans of another family's heads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.geometry.comparing import Compared, compared, head_mesh, mean, row, to_surface
from engines.parametric import extraction, fitting, strips
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.detail import refined
from engines.parametric.fitting import Fitted, Search
from engines.parametric.head import Codes, HeadModel
from engines.parametric.train import anny, expressions, family, ict, metrics, sliders, worlds
from engines.parametric.train.dataset import Crowd, Scanner
from engines.parametric.train.family import Family

Row = dict[str, float]
NOISES, COUNTS = (0.1, 0.5, 1.5), (500, 1000, 5000)
"Millimetres, and points: the thesis' two further ablations."
VIEW_POINTS = 2500
FACES = ("jaw", "smile", "pucker", "brows up", "blink", "puff")
"Of each scanned person, beside the face at rest."


def trained(model: HeadModel, people: int) -> Row:
    """A4: heads that were trained on, by the codes alone that a fit of many points finds for them."""
    crowd = worlds.people(people, 0, Scanner(0, 0))
    rows = []
    for who in range(people):
        cloud, _ = metrics.sample(crowd.vertices[who], crowd.family.triangles, 20000, np.random.default_rng(who))
        found = fitting.identity(
            model, fitting.checked(cloud.points), Search(steps=240, prior=2e-6, noise=0, refining=None)
        )
        rows.append(surface_row(model, found.z_id, cloud.points))
    return mean(rows)


def surface_row(model: HeadModel, z: torch.Tensor, points: np.ndarray) -> Row:
    """Points to surface, and how far the slope is from 1 there."""
    from benchmarks.geometry.comparing import THROAT, is_face

    above = torch.from_numpy(points[points[:, 1] > THROAT].astype(np.float32))
    off = fitting.distances(model, z, above).numpy()
    near = (above + 0.02 * torch.randn_like(above))[None].requires_grad_(True)
    with torch.enable_grad():
        slope = torch.autograd.grad(model.distance(z)(near).sum(), near)[0].norm(dim=-1)
    return {
        "head_mm": float(off.mean()),
        "face_mm": float(off[is_face(above.numpy())].mean()),
        "eikonal": float((slope - 1).abs().mean()),
    }


def unseen(model: HeadModel, people: int, samples: int) -> dict[str, Row]:
    """A5: heads never met, 5000 points each; beside them the mean head."""
    crowd = worlds.people(people, worlds.UNSEEN, Scanner(0, 0))
    fitted, middle, seconds = [], [], []
    mean_mesh = head_mesh(model, model.mean[None])
    for who in range(people):
        truth = crowd.vertices[who], crowd.family.triangles
        cloud, _ = metrics.sample(*truth, 5000, np.random.default_rng(who))
        begun = time.perf_counter()
        found = fitting.identity(model, fitting.checked(cloud.points))
        seconds.append(time.perf_counter() - begun)
        dense = metrics.sample(*truth, 20000, np.random.default_rng(1))[0].points
        one = row(_compared(model, found, truth, dense, samples))
        fitted.append(one | {"codes_alone_to_surface_mm": to_surface(model, found.z_id, dense)})
        middle.append(row(compared(mean_mesh, truth, samples, to_surface(model, model.mean[None], dense))))
    return {"fitted": mean(fitted) | {"seconds": float(np.median(seconds))}, "mean head": mean(middle)}


def _compared(
    model: HeadModel, found: Fitted, truth: tuple[np.ndarray, np.ndarray], dense: np.ndarray, samples: int
) -> Compared:
    away = to_surface(model, found.z_id, dense, found.detail)
    return compared(head_mesh(model, found.z_id, found.detail), truth, samples, away)


def hard(model: HeadModel, people: int) -> dict[str, Row]:
    """A6: one frontal view with noise, and few points: point to surface of the side that was seen, and of the whole head."""
    crowd = worlds.people(people, worlds.UNSEEN, Scanner(0, 0))
    rows: dict[str, list[Row]] = {}
    for who in range(people):
        rng = np.random.default_rng(who)
        cloud, _ = metrics.sample(crowd.vertices[who], crowd.family.triangles, 20000, rng)
        front = cloud.where(cloud.normals[:, 2] > 0.25).points
        cases = {f"one view, {noise} mm": (front, VIEW_POINTS, noise) for noise in NOISES}
        cases |= {f"{count} points": (cloud.points, count, 0.0) for count in COUNTS}
        for name, (points, count, noise) in cases.items():
            chosen = points[rng.choice(len(points), count, replace=False)]
            chosen = chosen + noise / MILLIMETRES * rng.standard_normal(chosen.shape)
            found = fitting.identity(model, fitting.checked(chosen), Search(noise=noise))
            away = {"seen_mm": front, "whole_mm": cloud.points}
            rows.setdefault(name, []).append(
                {side: to_surface(model, found.z_id, points, found.detail) for side, points in away.items()}
            )
        rows.setdefault("mean head", []).append(
            {
                "seen_mm": to_surface(model, model.mean[None], front),
                "whole_mm": to_surface(model, model.mean[None], cloud.points),
            }
        )
    return {name: mean(values) for name, values in rows.items()}


def scans(model: HeadModel, path: Path, people: int, samples: int) -> dict[str, Row]:
    """The third world: ICT's heads by this prior and by Anny's own sliders, 5000 points each: at rest, and with six faces.

    The prior knows who somebody is from the scan at rest, as NPHM does; sliders and actions are fitted to each scan anew.
    """
    heads = ict.load(path)
    names, moves = expressions.weights(heads.action_names, ict.OPEN, mixed=0)
    crowd = Crowd(heads, ict.drawn(people), names, moves, Scanner(0, 0))
    own, population = anny.load(), anny.draw(512, 3)
    rows: dict[str, list[Row]] = {}
    for who in range(people):
        rest = Scan(crowd.vertices[who], heads.triangles, who)
        found = fitting.identity(model, fitting.checked(rest.cloud), Search(loose=True))
        rows.setdefault("at rest: neural prior", []).append(_by_prior(model, found, rest, samples))
        rows.setdefault("at rest: Anny's sliders", []).append(_by_sliders(own, population, rest, False, samples))
        for face in FACES:
            posed = Scan(crowd.vertices[who] + crowd.displacements[names.index(face)], heads.triangles, who)
            rows.setdefault("six faces: neural prior", []).append(_face_by_prior(model, found, posed, samples))
            rows.setdefault("six faces: Anny's sliders", []).append(_by_sliders(own, population, posed, True, samples))
    return {name: mean(values) for name, values in rows.items()}


@dataclass(frozen=True)
class Scan:
    """A head whose truth is a mesh [V, 3], [T, 3], and `seed` of what is drawn from it."""

    vertices: np.ndarray
    triangles: np.ndarray
    seed: int

    @property
    def truth(self) -> tuple[np.ndarray, np.ndarray]:
        return self.vertices, self.triangles

    @property
    def cloud(self) -> np.ndarray:
        """[5000, 3] what a fit sees of it."""
        return metrics.sample(*self.truth, 5000, np.random.default_rng(self.seed))[0].points


def _by_prior(model: HeadModel, found: Fitted, scan: Scan, samples: int) -> Row:
    placed = found.placed(torch.from_numpy(scan.vertices)).numpy()
    dense = metrics.sample(placed, scan.triangles, 20000, np.random.default_rng(1))[0].points
    one = row(_compared(model, found, (placed, scan.triangles), dense, samples))
    return one | {"codes_alone_to_surface_mm": to_surface(model, found.z_id, dense)}


def _face_by_prior(model: HeadModel, found: Fitted, scan: Scan, samples: int) -> Row:
    """The person found at rest, with the expression that the scan shows and what no expression has."""
    placed = found.placed(torch.from_numpy(scan.vertices)).numpy()
    cloud = found.placed(fitting.checked(scan.cloud))
    predicted = _posed(model, found.z_id, found.detail, cloud)
    return row(compared(predicted, (placed, scan.triangles), samples, float("nan")))


def _posed(
    model: HeadModel, z_id: torch.Tensor, detail: torch.Tensor | None, cloud: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """A mesh of the head with the face that the cloud [N, 3] shows, less what no camera sees."""
    surface = torch.from_numpy(extraction.surface(model.distance(z_id, detail), side=fitting.SURFACE).vertices)
    z_ex = fitting.expression(model, z_id, surface, cloud)
    rest = fitting.brought_back(model, z_id, surface, cloud, z_ex)
    detail = refined(model, z_id, rest, noise=0.1)
    vertices, faces = strips.posed(model, Codes(z_id, z_ex, detail), 128)
    return vertices, faces[family.visible(vertices * MILLIMETRES, faces, 1.5)]


def _by_sliders(own: Family, population: np.ndarray, scan: Scan, acting: bool, samples: int) -> Row:
    fitted = sliders.fit(own, population, scan.cloud, acting)
    return row(compared((fitted, own.triangles), scan.truth, samples, float("nan")))
