"""Finish: what training ends in: networks and tables of latents, with a prior and landmarks, as one head model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engines.parametric import points
from engines.parametric.head import HeadModel, prior
from engines.parametric.train.dataset import Crowd, Heads
from engines.parametric.train.steps import Trained

RIDGE = 1e-4
"Of each latent's mean square: what keeps the landmarks' linear map from what too few people would make up."


def finished(trained: Trained, heads: Heads, note: dict[str, str]) -> HeadModel:
    """The head model. `heads` are those trained on; without landmarks of theirs, it can be fitted to scans but not to photos."""
    mean, basis = prior(trained.people)
    places = np.zeros((len(trained.people), 0, 3), np.float32)
    if isinstance(heads, Crowd) and heads.family.landmarks is not None:
        places = heads.landmarks()
    return HeadModel(
        trained.identity,
        trained.deformation,
        mean,
        basis,
        trained.expressions,
        tuple(trained.expression_names),
        landmark_map(trained.people, places),
        points.ALL if places.shape[1] else (),
        note,
    )


def landmark_map(z: Tensor, places: np.ndarray) -> Tensor:  # [P, Z], [P, L, 3] -> [1 + Z, L, 3]
    """The ridge regression of landmarks on (1, z)."""
    ones = torch.cat((torch.ones(len(z), 1), z), 1).double()
    target = torch.from_numpy(places).double().flatten(1)
    penalty = RIDGE * len(z) * torch.diag(ones.square().mean(0))
    penalty[0, 0] = 0
    found = torch.linalg.solve(ones.T @ ones + penalty, ones.T @ target)
    return found.float().view(ones.shape[1], places.shape[1], 3)
