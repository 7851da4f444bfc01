"""ViewSet: pictures of one moment from several cameras. Knows nothing of tiling."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ViewSet:
    """V neighbouring views on one device."""

    images: torch.Tensor
    "[V, H, W, 4] uint8 RGBA, sRGB, top row first; already composited on black, so alpha carries nothing."
    first: int = 0
    "Index in the whole fan of images[0]."

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8, self.images.dtype
        assert self.images.ndim == 4, self.images.shape
        assert self.images.shape[3] == 4, self.images.shape

    def __len__(self) -> int:
        return self.images.shape[0]
