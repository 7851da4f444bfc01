"""Pictures: what lies between two people, and what a few expressions do to both: the strips that docs/parametric.md shows."""

from __future__ import annotations

import numpy as np
import torch

from engines.parametric import fitting, strips
from engines.parametric.fitting import Search
from engines.parametric.head import Codes, HeadModel
from engines.parametric.train import metrics, worlds
from engines.parametric.train.dataset import Crowd, Scanner

FACES = ("closed", "jaw", "smile", "blink", "brows up", "pucker", "puff")
FROM, TO = "smile", "jaw"
"What the first face does, and the last."


def drawn(model: HeadModel) -> np.ndarray:
    """[3 H, 7 W, 3] uint8 RGB of two made-up people whom training never met, found from 5000 points each."""
    crowd = worlds.people(2, worlds.UNSEEN + 7, Scanner(0, 0))
    first, last = (Codes(_found(model, crowd, who), model.expression(FACES[0])) for who in range(2))
    ends = first.saying(model.expression(FROM)), last.saying(model.expression(TO))
    rows = [strips.between(model, *ends, steps=len(FACES))]
    for head in (first, last):
        faces = [strips.posed(model, head.saying(model.expression(name))) for name in FACES]
        rows.append(np.concatenate([strips.picture(*face) for face in faces], 1))
    return np.concatenate(rows, 0)


def _found(model: HeadModel, crowd: Crowd, who: int) -> torch.Tensor:
    cloud, _ = metrics.sample(crowd.vertices[who], crowd.family.triangles, 5000, np.random.default_rng(who))
    return fitting.identity(model, fitting.checked(cloud.points), Search(refining=None)).z_id
