"""Losses of the parametric head in 3D: the thesis' terms with the weights that NPHM published for the same (arXiv 2212.02761)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.parametric.network import Identity, gradient


@dataclass(frozen=True)
class Weights:
    """What each term counts. The thesis publishes none."""

    surface: float = 2.0
    normals: float = 0.3
    eikonal: float = 0.1
    empty: float = 0.01
    "exp(-10 |f|) far from the surface: nothing has a surface there."
    hollow: float = 1.0
    "How far deep points lack DEEP to their distance: nothing else says that a throat is inside, and it was found hollow."
    identity: float = 0.002
    "|z_id|^2: NPM's, a fifth of NPHM's."
    planes: float = 0.0
    "Total variation of the planes, root of the sum of squares; part of the thesis' regularisers."
    normal_maps: float = 0.0
    "L1 between rendered and true normal maps of the same heads from the same cameras."
    adversary: float = 0.0
    "What the discriminator asks of maps rendered from drawn identities; from half of the training on."
    density: float = 0.0
    "How much the field changes over a thousandth of a unit in the whole cube (the thesis' explicit density regularisation)."


REGULARISED = Weights(planes=1e-4, density=10.0)
"Beside the 3D losses, the thesis' regularisers."
ADVERSARIAL = Weights(planes=1e-4, density=10.0, normal_maps=0.3, adversary=0.01)
"All of the thesis' terms."


@dataclass(frozen=True)
class Sampled:
    """Points of a step, [B, n, 3]."""

    surface: Tensor
    normals: Tensor
    near: Tensor
    far: Tensor
    deep: Tensor
    "Where a step inwards from the surface led, and"
    within: Tensor
    "[B, n] bool: which of them lie inside for all that is seen."


DEEP = 0.02
"Canonical units below the surface where a deep point is at least."
STEP = (0.06, 0.3)
"Canonical units from the surface inwards to a deep point: 15 to 75 mm, which meets a head's middle and a neck's."


def deep_points(surface: Tensor, normals: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """[B, count, 3] against the normals from some of the points [B, n, 3] of a surface, and [B, count] whether each is inside.

    Inside is what lies behind the nearest of the points too, and well away from it.
    """
    chosen = torch.randint(surface.shape[1], (count,), device=surface.device)
    step = STEP[0] + (STEP[1] - STEP[0]) * torch.rand(count, 1, device=surface.device)
    deep = surface[:, chosen] - step * normals[:, chosen]
    apart, nearest = torch.cdist(deep, surface).min(-1)
    nearest = nearest[..., None].expand(-1, -1, 3)
    behind = ((deep - surface.gather(1, nearest)) * normals.gather(1, nearest)).sum(-1) < -0.5 * apart
    return deep, behind & (apart > 2 * DEEP)


def identity_terms(network: Identity, planes: Tensor, z: Tensor, seen: Sampled) -> dict[str, Tensor]:
    """Each term [] of F_id's loss, unweighted, named as in Weights; of planes [B, 3, C, S, S] and codes z [B, Z]."""
    points = torch.cat((seen.surface, seen.near, seen.far), 1).requires_grad_(True)
    values = network.sdf(planes, points)
    slopes = gradient(values, points, again=True)
    on, far = seen.surface.shape[1], seen.far.shape[1]
    return {
        "surface": values[:, :on].abs().mean(),
        "normals": (1 - F.cosine_similarity(slopes[:, :on], seen.normals, dim=-1)).mean(),
        "eikonal": (slopes.norm(dim=-1) - 1).abs().mean(),
        "empty": torch.exp(-10 * values[:, -far:].abs()).mean(),
        "identity": z.square().sum(-1).mean(),
        "hollow": (F.relu(network.sdf(planes, seen.deep) + DEEP) * seen.within).mean(),
    }


def plane_variation(planes: Tensor) -> Tensor:
    """How restless planes [B, 3, C, S, S] are."""
    across, down = planes.diff(dim=-1), planes.diff(dim=-2)
    return (across.square().sum() + down.square().sum()).sqrt() / planes.shape[0]


def density_variation(network: Identity, planes: Tensor, count: int = 1000) -> Tensor:
    """Mean square of how much the field of planes [B, 3, C, S, S] changes between `count` random points of the cube and others beside."""
    reach = network.arch.reach
    points = (torch.rand(planes.shape[0], count, 3, device=planes.device) * 2 - 1) * reach
    beside = points + 1e-3 * torch.randn_like(points)
    return F.mse_loss(network.sdf(planes, points), network.sdf(planes, beside))


def expression_terms(
    moved: Tensor, rest: Tensor, posed: Tensor, still: Tensor, codes: Tensor
) -> dict[str, Tensor]:  # [B, n, 3] thrice, [B, m, 3], [B, E]
    """Each term of F_ex's loss: the displacement of matched points, that of points far from the face, and |z_ex|^2."""
    return {
        "correspondence": ((rest + moved - posed).square().sum(-1) + SMOOTH**2).sqrt().mean(),
        "still": still.square().sum(-1).mean(),
        "codes": codes.square().sum(-1).mean(),
    }


EXPRESSION_WEIGHTS = {"correspondence": 1.0, "still": 5e-3, "codes": 5e-5}
"""Of distances: of their squares (NPHM's, with 100) brows and lids, which move little, learnt nothing while jaws did. And a hundred
times NPHM's weight for points off the face keeps skulls and necks still."""
SMOOTH = 0.2 / 250
"Canonical units within which a distance counts by its square."


def total(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """[] the sum of the terms [], each by the weight of its name."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
