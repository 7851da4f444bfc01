"""Finish: what training ends in: networks and tables of latents, with a prior and landmarks, as one head model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engines.parametric import points
from engines.parametric.head import HeadModel, prior
from engines.parametric.train.dataset import Crowd
from engines.parametric.train.loop import Trained

RIDGE = 1e-4
"Of each latent's mean square: what keeps the landmarks' linear map from what too few people would make up."


def finished(trained: Trained, heads: Crowd, note: dict[str, str], share: float = 0.0) -> HeadModel:
    """The head model. `heads` are those trained on, whose landmarks are known; `share` of them is kept out of the fit."""
    mean, basis = prior(trained.people)
    kept = len(trained.people) - int(share * len(trained.people))
    return HeadModel(
        trained.identity,
        trained.deformation,
        mean,
        basis,
        trained.expressions,
        tuple(trained.expression_names),
        landmark_map(trained.people[:kept], heads.landmarks()[:kept]),
        points.ALL,
        note,
    )


def landmark_map(z: Tensor, places: np.ndarray) -> Tensor:  # [P, Z], [P, L, 3] -> [1 + Z, L, 3]
    """The ridge regression of landmarks on (1, z)."""
    ones = torch.cat((torch.ones(len(z), 1), z), 1).double()
    target = torch.from_numpy(places).double().flatten(1)
    penalty = RIDGE * len(z) * torch.diag(ones.square().mean(0))
    penalty[0, 0] = 0
    found = torch.linalg.solve(ones.T @ ones + penalty, ones.T @ target)
    return found.float().view(ones.shape[1], -1, 3)
