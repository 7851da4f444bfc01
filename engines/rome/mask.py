"""Mask: which pixels of a rendered view are the person."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

THRESHOLD = 0.6
REACH = 9
"Pixels of the opening. The release opens each column by itself: it hands OpenCV the picture in another shape than it meant."


def solid(soft: Tensor) -> Tensor:
    """[V, 1, S, S] float32, 0 or 1: where the soft mask [V, 1, S, S] is above the threshold, opened; borders never erode."""
    above = (soft > THRESHOLD).float()
    return _grown(1 - _grown(1 - above))


def _grown(mask: Tensor) -> Tensor:
    """[B, 1, S, S] 0..1: larger by REACH / 2 pixels upwards and downwards."""
    return F.max_pool2d(mask, (REACH, 1), 1, (REACH // 2, 0))
