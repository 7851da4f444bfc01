"""Components: principal components of offsets, those of hair and those of neck and shoulders apart."""

from __future__ import annotations

import torch
from torch import Tensor

from engines.rome.architecture import HAIR, NECK
from engines.rome.flame import Flame
from engines.rome.offsets import Basis

FEWEST = 4
"Portraits that a basis can be made of at all."


def components(flame: Flame, offsets: Tensor) -> Basis:
    """50 directions on the hair and 10 on neck and shoulders, orthonormal, the largest variance first, of offsets [P, N, 3].

    Where there are fewer portraits than directions, the rest are some that complete the basis; nothing lies along them.
    """
    assert len(offsets) >= FEWEST, len(offsets)
    mean = offsets.double().mean(0)
    directions = torch.zeros(*mean.shape, HAIR + NECK, dtype=torch.float64)
    hair = flame.hair.cpu().bool()
    neck = flame.movable.cpu().bool() & ~hair
    for part, columns in ((hair, slice(HAIR)), (neck, slice(HAIR, HAIR + NECK))):
        left = (offsets.double() - mean)[:, part].flatten(1)
        count = len(range(HAIR + NECK)[columns])
        found = _leading(left, count)
        directions[part, :, columns] = found.T.view(-1, 3, count)
    return Basis(directions.flatten(0, 1).float(), mean.float())


def _leading(left: Tensor, count: int) -> Tensor:
    """[count, D] orthonormal rows: the leading right singular vectors of `left` [P, D], completed at random."""
    assert left.shape[1] >= count, left.shape
    _, spread, found = torch.linalg.svd(left, full_matrices=False)
    real = found[: int((spread > 1e-9 * spread[0].clamp(min=1e-12)).sum())][:count]
    drawn = torch.randn(count - len(real), left.shape[1], generator=torch.Generator().manual_seed(0), dtype=left.dtype)
    both = torch.linalg.qr(torch.cat((real, drawn)).T)[0].T
    return torch.cat((real, both[len(real) :]))


def coefficients(basis: Basis, offsets: Tensor) -> Tensor:
    """[P, 60] of offsets [P, N, 3]: what of them lies in the basis."""
    return (offsets - basis.mean).flatten(1) @ basis.directions
