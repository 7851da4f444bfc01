"""Ablation: the thesis' four trainings at small scale: 3D losses, with regularisers, 2D with regularisers, everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from engines import mesh
from engines.parametric import extraction, strips
from engines.parametric.architecture import SMALL
from engines.parametric.train import metrics, worlds
from engines.parametric.train.dataset import Crowd
from engines.parametric.train.losses import ADVERSARIAL, REGULARISED, Weights
from engines.parametric.train.steps import Learner, Plan

Row = dict[str, float]
ROWS = {
    "3D": Weights(hollow=0.0),
    "3D + regularisers": replace(REGULARISED, hollow=0.0),
    "2D + regularisers": replace(ADVERSARIAL, surface=0.0, normals=0.0, empty=0.0, hollow=0.0),
    "all": replace(ADVERSARIAL, hollow=0.0),
}
"As the thesis has them: nothing is asked of what lies deep within a head."
SIZES = replace(SMALL, z_id=32, generator=16, hidden=64)
SAMPLES = 40_000
LOOKED_AT = 3
"Heads whose scores are taken."


def trained(
    steps: int, people: int, side: int, device: str = "cpu", discriminator: float = 0.25
) -> tuple[dict[str, Row], np.ndarray]:
    """Scores of each row after so many steps, and a strip of pictures, the truth first."""
    crowd = worlds.people(people, 11)
    rows, pictures = {}, [strips.picture(crowd.vertices[0], crowd.family.triangles)]
    for name, weights in ROWS.items():
        plan = Plan(people=min(8, people), map_side=side, maps=1, discriminator=discriminator, weights=weights, seed=1)
        learner = Learner(crowd, SIZES, plan, device)
        for step in range(steps):
            learner.identity_step(step / steps)
        rows[name], picture = _scored(learner, crowd)
        pictures.append(picture)
    return rows, np.concatenate(pictures, 1)


def _scored(learner: Learner, crowd: Crowd) -> tuple[Row, np.ndarray]:
    trained, rows = learner.trained, []
    picture = np.zeros_like(strips.picture(crowd.vertices[0], crowd.family.triangles))
    for who in range(LOOKED_AT):
        with torch.no_grad():
            planes = trained.identity.planes(trained.people[who : who + 1])
        field = lambda points, planes=planes: trained.identity.sdf(planes, points)  # noqa: E731
        try:
            found = extraction.surface(field, side=96, device=learner.device.type)
        except mesh.NoSurface:
            rows.append({"chamfer_head_mm": float("nan"), "junk": float("nan")})
            continue
        rng = np.random.default_rng(0)
        predicted, _ = metrics.sample(found.vertices, found.faces, SAMPLES, rng)
        truth, area = metrics.sample(crowd.vertices[who], crowd.family.triangles, SAMPLES, rng)
        junk = sum(found.dropped) / (sum(found.dropped) + len(found.vertices))
        rows.append({"chamfer_head_mm": metrics.scores(predicted, truth, area).chamfer_l1, "junk": junk})
        if who == 0:
            picture = strips.picture(found.vertices, found.faces)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return mean, picture
