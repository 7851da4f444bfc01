"""Inception: what FID is defined by (Heusel et al. 2017): TensorFlow's network of 2015, in the weights of pytorch-fid that the user has
brought, and the Frechet distance of two heaps of its features. Written anew.

It is torchvision's Inception v3 but for its poolings: averages leave out the padding, and the last block takes the maximum.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.quality.instruments import brought

SIDE = 299
LEAST = 2048
"Pictures a side from which on the covariance of 2048 features has full rank; of fewer the distance says more of their number."
_A, _C, _E = (
    ("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
    ("Mixed_7b", "Mixed_7c"),
)


def here() -> bool:
    return brought.here("inception")


@torch.no_grad()
def features(pixels: np.ndarray) -> np.ndarray:
    """[2048] float32 of a picture [H, W, 3] uint8 RGB. Raises InstrumentMissing."""
    net = _Net(brought.weights("inception"))
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    return net(2 * F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1).numpy()


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2) of features [N, D] and [M, D], as Heusel et al. have it."""
    apart = one.mean(0, dtype=np.float64) - other.mean(0, dtype=np.float64)
    first, second = (np.cov(side.astype(np.float64), rowvar=False) for side in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()  # as tr (C C')^1/2, of a symmetric matrix
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * shared)


class _Net:
    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._weights = weights

    def __call__(self, x: Tensor) -> Tensor:
        """[2048] of [1, 3, 299, 299] in -1..1."""
        x = self._conv(x, "Conv2d_1a_3x3", 2)
        x = self._conv(self._conv(x, "Conv2d_2a_3x3"), "Conv2d_2b_3x3", padding=1)
        x = F.max_pool2d(x, 3, 2)
        x = self._conv(self._conv(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
        x = F.max_pool2d(x, 3, 2)
        for block in _A:
            x = self._a(x, block)
        x = self._b(x)
        for block in _C:
            x = self._c(x, block)
        x = self._d(x)
        for block in _E:
            x = self._e(x, block)
        return x.mean((2, 3))[0]

    def _conv(self, x: Tensor, name: str, stride: int = 1, padding: int | tuple[int, int] = 0) -> Tensor:
        def of(part: str) -> Tensor:
            return self._weights[f"{name}.{part}"]

        x = F.conv2d(x, of("conv.weight"), None, stride, padding)
        seen = of("bn.running_mean"), of("bn.running_var")
        return F.batch_norm(x, *seen, of("bn.weight"), of("bn.bias"), eps=0.001).relu()

    def _chain(self, x: Tensor, *steps: tuple[str, int | tuple[int, int]]) -> Tensor:
        for name, padding in steps:
            x = self._conv(x, name, padding=padding)
        return x

    def _a(self, x: Tensor, of: str) -> Tensor:
        five = self._chain(x, (f"{of}.branch5x5_1", 0), (f"{of}.branch5x5_2", 2))
        three = self._chain(x, *((f"{of}.branch3x3dbl_{k}", int(k > 1)) for k in (1, 2, 3)))
        return torch.cat([self._conv(x, f"{of}.branch1x1"), five, three, self._pooled(x, of)], 1)

    def _b(self, x: Tensor) -> Tensor:
        of = "Mixed_6a"
        double = self._chain(x, (f"{of}.branch3x3dbl_1", 0), (f"{of}.branch3x3dbl_2", 1))
        parts = self._conv(x, f"{of}.branch3x3", 2), self._conv(double, f"{of}.branch3x3dbl_3", 2)
        return torch.cat([*parts, F.max_pool2d(x, 3, 2)], 1)

    def _c(self, x: Tensor, of: str) -> Tensor:
        wide, high = (0, 3), (3, 0)
        once = self._chain(x, (f"{of}.branch7x7_1", 0), (f"{of}.branch7x7_2", wide), (f"{of}.branch7x7_3", high))
        twice = self._chain(
            x, *((f"{of}.branch7x7dbl_{k}", padding) for k, padding in enumerate((0, high, wide, high, wide), 1))
        )
        return torch.cat([self._conv(x, f"{of}.branch1x1"), once, twice, self._pooled(x, of)], 1)

    def _d(self, x: Tensor) -> Tensor:
        of = "Mixed_7a"
        seven = self._chain(
            x, (f"{of}.branch7x7x3_1", 0), (f"{of}.branch7x7x3_2", (0, 3)), (f"{of}.branch7x7x3_3", (3, 0))
        )
        three = self._conv(self._conv(x, f"{of}.branch3x3_1"), f"{of}.branch3x3_2", 2)
        return torch.cat([three, self._conv(seven, f"{of}.branch7x7x3_4", 2), F.max_pool2d(x, 3, 2)], 1)

    def _e(self, x: Tensor, of: str) -> Tensor:
        three = self._split(self._conv(x, f"{of}.branch3x3_1"), f"{of}.branch3x3_2")
        double = self._chain(x, (f"{of}.branch3x3dbl_1", 0), (f"{of}.branch3x3dbl_2", 1))
        made = self._conv(x, f"{of}.branch1x1"), *three, *self._split(double, f"{of}.branch3x3dbl_3")
        return torch.cat([*made, self._pooled(x, of)], 1)

    def _split(self, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
        return self._conv(x, f"{name}a", padding=(0, 1)), self._conv(x, f"{name}b", padding=(1, 0))

    def _pooled(self, x: Tensor, of: str) -> Tensor:
        last = of == _E[-1]
        pooled = F.max_pool2d(x, 3, 1, 1) if last else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return self._conv(pooled, f"{of}.branch_pool")
