"""Fused: Gaussians of several heads in one batch of views, by kernels (engines/kernels/splatting.py). Twin: plain.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from display.optics import Cameras
from engines.kernels import splatting
from engines.splats import plain
from engines.splats.avatar import SplatAvatar
from engines.splats.plain import Pictures, Shapes
from engines.staging import onto

RULES = splatting.Rules(plain.BLUR, plain.LEAST, plain.MOST, plain.NEAR, plain.BEYOND)


@dataclass(frozen=True)
class Request:
    """One head, and who looks at it."""

    avatar: SplatAvatar
    coefficients: np.ndarray
    "[51]: how large its actions are."
    cameras: Cameras
    "Moved as the head is turned."


@dataclass(frozen=True)
class _Head:
    """What frames of an avatar share, on one device."""

    shapes: Shapes
    points: Tensor
    "[N, 3] at rest, and the rest as SplatAvatar has it:"
    which: Tensor
    "[M],"
    moves: Tensor
    "[M, 3],"
    actions: Tensor
    "[M]: of which action each move is."

    def posed(self, coefficients: Tensor) -> Tensor:
        """[N, 3]: what SplatAvatar.posed, its twin, gives for `coefficients` [51], but for the order of sums."""
        return self.points.index_add(0, self.which, self.moves * coefficients[self.actions, None])


class Kernels:
    """One device's. An avatar comes onto it once, coefficients and cameras with each frame, and nothing waits for it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._heads: WeakKeyDictionary[SplatAvatar, _Head] = WeakKeyDictionary()

    def warm_up(self) -> None:
        """Compile, by a picture of one Gaussian."""
        one = torch.ones(1, 3, device=self.device)
        whose = torch.tensor([[0, 1]], dtype=torch.int32, device=self.device)
        look, lens = torch.eye(3, 4, device=self.device).view(1, 12), torch.ones(1, 4, device=self.device)
        splatting.draw(one, torch.ones(1, 6, device=self.device), one[:, 0], one, whose, look, lens, 1, 16, 16, RULES)

    def draw(self, requests: Sequence[Request]) -> Tensor:
        """[V, H, W, 4] uint8 RGBA on black of all views of all requests, in their order; pictures of one size."""
        return self._drawn(requests, exact=False)

    def pictures(self, requests: Sequence[Request]) -> Pictures:
        """[V, H, W]: the same in float32, with alpha and depths."""
        made = self._drawn(requests, exact=True)
        alpha = made[..., 3].clamp(max=1)
        return Pictures(made[..., :3], alpha, torch.where(alpha > 0, made[..., 4] / alpha, torch.inf))

    def _drawn(self, requests: Sequence[Request], exact: bool) -> Tensor:
        size = {(one.cameras.width, one.cameras.height) for one in requests}
        assert len(size) == 1, size
        counts = [len(one.avatar) for one in requests]
        starts = np.cumsum([0, *counts])
        whose = [
            [begin, count]
            for begin, count, one in zip(starts, counts, requests, strict=False)
            for _ in range(len(one.cameras))
        ]
        look = np.concatenate([plain.world2cam(one.cameras).reshape(-1, 12) for one in requests])
        lens = np.concatenate([plain.lenses(one.cameras) for one in requests])
        heads = [self._prepared(one.avatar) for one in requests]
        sizes = onto(np.stack([one.coefficients for one in requests]).astype(np.float32), self.device)
        shapes = [head.shapes for head in heads]
        return splatting.draw(
            _joined([head.posed(own) for head, own in zip(heads, sizes, strict=True)]),
            _joined([one.covariances for one in shapes]),
            _joined([one.opacities for one in shapes]).clamp(min=1e-9).log(),
            _joined([one.colours for one in shapes]),
            onto(np.array(whose, np.int32), self.device),
            onto(look.astype(np.float32), self.device),
            onto(lens.astype(np.float32), self.device),
            max(counts),
            *size.pop(),
            RULES,
            exact,
        )

    def _prepared(self, avatar: SplatAvatar) -> _Head:
        found = self._heads.get(avatar)
        return found if found is not None else self._heads.setdefault(avatar, self._head(avatar))

    def _head(self, avatar: SplatAvatar) -> _Head:
        counts = np.diff(avatar.starts)
        actions = np.repeat(np.arange(len(counts)), counts)
        arrays = (avatar.points, avatar.which.astype(np.int64), avatar.moves, actions)
        return _Head(plain.prepared(avatar, self.device), *(onto(array, self.device) for array in arrays))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
