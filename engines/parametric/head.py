"""Head: the trained networks with what makes them usable: a prior of identities, named expressions, landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from engines.parametric.deform import Deformation
from engines.parametric.network import Identity


@dataclass(frozen=True)
class HeadModel:
    """A parametric head model, ready to be asked."""

    identity: Identity
    deformation: Deformation
    mean: Tensor
    "[Z]: the middle identity of those trained on."
    basis: Tensor
    "[K, Z]: their principal directions, each one standard deviation long: z = mean + c @ basis, c ~ N(0, 1)."
    expressions: Tensor
    "[X, E]: codes of named expressions; the first is a face at rest with its mouth shut."
    expression_names: tuple[str, ...]
    landmarks: Tensor
    "[1 + Z, L, 3]: canonical places of landmarks on a head at rest, linear in (1, z_id)."
    landmark_indices: tuple[int, ...]
    "Of MediaPipe's 478 points, those that `landmarks` are."
    note: dict[str, str] = field(default_factory=dict)
    "How it was made."

    def z(self, coefficients: Tensor) -> Tensor:
        """[B, Z] identities of whitened coefficients [B, K]."""
        return self.mean + coefficients @ self.basis

    def coefficients(self, z: Tensor) -> Tensor:
        """[B, K] whitened coefficients of identities [B, Z]; what the basis does not span is lost."""
        return (z - self.mean) @ torch.linalg.pinv(self.basis)

    def distance(self, z: Tensor, detail: Tensor | None = None) -> Callable[[Tensor], Tensor]:
        """The signed distance of one identity [1, Z], and of what a scan of it showed besides (`detail.refined`); its planes are
        made once."""
        with torch.no_grad():
            planes = self.identity.planes(z)
            if detail is not None:
                planes = planes + detail
        return lambda points: self.identity.sdf(planes, points)

    def landmarks_of(self, z: Tensor) -> Tensor:
        """[B, L, 3] canonical places on heads at rest."""
        ones = torch.ones(z.shape[0], 1, device=z.device)
        return torch.einsum("bz,zlk->blk", torch.cat((ones, z), 1), self.landmarks)

    def expression(self, name: str) -> Tensor:
        """[1, E] the code of a named expression. Raises UnknownExpression."""
        if name not in self.expression_names:
            raise UnknownExpression(f"no expression is called {name!r}; there are: {', '.join(self.expression_names)}")
        return self.expressions[self.expression_names.index(name)][None]


@dataclass(frozen=True)
class Codes:
    """One head with one face."""

    z_id: Tensor
    "[1, Z]."
    z_ex: Tensor
    "[1, E]."
    detail: Tensor | None = None
    "[1, 3, C, S, S] what a scan showed besides, to be added to the planes; None for what was no scan."

    def towards(self, other: Codes, share: float) -> Codes:
        """`share` (0..1) of the straight way to another."""
        mine, theirs = (torch.zeros(()) if one.detail is None else one.detail for one in (self, other))
        z_id, z_ex = torch.lerp(self.z_id, other.z_id, share), torch.lerp(self.z_ex, other.z_ex, share)
        detail = (1 - share) * mine + share * theirs
        return Codes(z_id, z_ex, detail if detail.ndim else None)

    def saying(self, z_ex: Tensor) -> Codes:
        """The same head with another face [1, E]."""
        return replace(self, z_ex=z_ex)


class UnknownExpression(ValueError):
    """The caller named an expression that the model was not shown; the message lists those that it was."""


def prior(people: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean [Z] and basis [K, Z] of identities [P, Z], directions without spread left out."""
    mean = people.mean(0)
    _, spread, axes = torch.linalg.svd(people - mean, full_matrices=False)
    spread = spread / max(len(people) - 1, 1) ** 0.5
    kept = int((spread > 1e-3 * spread[0]).sum())
    kept = min(kept, most or kept, max(len(people) - 1, 1))
    return mean, spread[:kept, None] * axes[:kept]
