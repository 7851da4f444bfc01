"""Edit: hair and shoulders of a linear avatar along single directions of its basis (supplement of the paper, figure 8)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch.nn.functional as F

from engines.rome.architecture import HAIR, NECK
from engines.rome.enrol import RomeAvatar
from engines.rome.network import Rome


def edited(network: Rome, avatar: RomeAvatar, direction: int, millimetres: float) -> RomeAvatar:
    """`avatar` with the root mean square of its hair's, or its neck's, vertices moved so far along a direction, 0 to 59.

    Directions are orthonormal over all coordinates, so a coefficient is that times the square root of the number of vertices.
    """
    assert avatar.coefficients is not None, "only the linear model has coefficients"
    assert 0 <= direction < HAIR + NECK, direction
    flame = network.flame
    part = flame.hair if direction < HAIR else flame.movable - flame.hair
    step = millimetres / 1000 * math.sqrt(float(part.sum()))
    there = F.one_hot(avatar.coefficients.new_tensor(direction).long(), HAIR + NECK)
    return replace(avatar, coefficients=avatar.coefficients + step * there)
