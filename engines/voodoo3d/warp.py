"""Warp: depth-image-based rendering (DIBR): views that are not super-resolved get their sharpness from neighbours that are.

A pixel of a view between is put where its depth says it is, looked up in the super-resolved neighbour on either side, and kept
as far as that neighbour's own depth says that it sees the same place. Both are mixed, the nearer counting more; what neither
sees is the view's own march, enlarged. Shapes are fixed and nothing is waited for, so it can be recorded in a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines import triplane
from engines.runtime import UnknownRuntime

SAME = 0.06
"World units (a head is 0.4 deep) by which two depths of one place may differ; the more they do the less it counts."
JUMP = 0.05
"Where a depth picture falls away by this within three pixels a contour is, and the nearer side's depth holds."


class Resolved(Enum):
    """Which of a run of neighbouring views are super-resolved; the others are warped over from them."""

    EVERY = "every"
    SECOND = "second"
    THIRD = "third"

    @property
    def step(self) -> int:
        """One of how many neighbours is super-resolved."""
        return {Resolved.EVERY: 1, Resolved.SECOND: 2, Resolved.THIRD: 3}[self]

    def of(self, views: int) -> list[int]:
        """The views that are super-resolved: each step-th and the last, so that every other one stands between two."""
        return sorted({*range(0, views, self.step), *range(views)[-1:]})


def chosen_views(name: str) -> Resolved:
    """The choice called `name`. Raises UnknownRuntime."""
    try:
        return Resolved(name)
    except ValueError:
        known = ", ".join(each.value for each in Resolved)
        raise UnknownRuntime(f"no choice of super-resolved views is called {name!r}; there are: {known}") from None


@dataclass(frozen=True)
class Warp:
    """What is warped between: of `views` neighbours, those that are not `resolved`."""

    views: int
    resolved: Resolved

    @property
    def needed(self) -> bool:
        """Whether any view is left to be warped to."""
        return len(self.resolved.of(self.views)) < self.views


def picked(pictures: Tensor, resolved: Resolved) -> Tensor:
    """Those of neighbouring views [V, ...] that are super-resolved, [C, ...]; by slices, which ask nothing of the host."""
    step, last = resolved.step, len(pictures) - 1
    stepped = pictures[::step]
    return torch.cat((stepped, pictures[-1:])) if last % step else stepped


class Warping(nn.Module):
    """All of V neighbouring views, of which some were super-resolved."""

    def __init__(self, warp: Warp, device: torch.device) -> None:
        super().__init__()
        chosen = warp.resolved.of(warp.views)
        between = [view for view in range(warp.views) if view not in chosen]
        assert between, f"nothing is to be warped: {warp}"
        after = [next(k for k, view in enumerate(chosen) if view > each) for each in between]
        share = [(each - chosen[k - 1]) / (chosen[k] - chosen[k - 1]) for each, k in zip(between, after, strict=True)]
        self.chosen, self.between, self.after = (_row(some, device) for some in (chosen, between, after))
        self.share = torch.tensor(share, device=device).view(-1, 1, 1, 1)

    def forward(self,
                raw: Tensor,         # [V, 3, R, R] as marched
                depth: Tensor,       # [V, 1, R, R] distance along the rays
                cam2world: Tensor,   # [V, 4, 4]
                intrinsics: Tensor,  # [V, 3, 3]
                sharp: Tensor) -> Tensor:  # [C, 3, S, S] the views that were super-resolved  # fmt: skip
        """[V, 3, S, S]: `sharp` as it is, and what is warped between."""
        assert len(sharp) == len(self.chosen), (sharp.shape, len(self.chosen))
        side = sharp.shape[-1]
        enlarged = F.interpolate(raw, size=(side, side), mode="bilinear", align_corners=False)
        seen = depth, cam2world, intrinsics
        places = _places(side, *(part.index_select(0, self.between) for part in seen))

        def carried_from(neighbour: Tensor) -> tuple[Tensor, Tensor]:
            view = self.chosen.index_select(0, neighbour)
            where, same = _looked_up(places, *(part.index_select(0, view) for part in seen))
            # bilinear would blur what was made sharp
            return _sampled(sharp.index_select(0, neighbour), where, "bicubic"), same

        (before, sees), (after, sees_too) = carried_from(self.after - 1), carried_from(self.after)
        weight, weight_too = (1 - self.share) * sees, self.share * sees_too
        mixed = (weight * before + weight_too * after) / (weight + weight_too + 1e-6)
        warped = torch.lerp(enlarged.index_select(0, self.between), mixed, torch.maximum(sees, sees_too))
        return enlarged.index_copy(0, self.chosen, sharp).index_copy(0, self.between, warped)


def _places(side: int, depth: Tensor, cam2world: Tensor, intrinsics: Tensor) -> Tensor:
    """[N, side, side, 3]: where in the world the pixels of N enlarged views are."""
    origins, directions = triplane.rays(cam2world, intrinsics, side)
    smooth, near = (
        F.interpolate(part, size=(side, side), mode="bilinear", align_corners=False)
        for part in (depth, _nearest(depth))
    )
    held = torch.where(smooth - near > JUMP, near, smooth)  # a contour belongs to what stands in front
    return (origins[:, None] + directions * held.view(len(depth), -1, 1)).view(len(depth), side, side, 3)


def _looked_up(places: Tensor, depth: Tensor, cam2world: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Where N cameras see `places` [N, S, S, 3]: in grid_sample's units [N, S, S, 2], and how surely it is what they see there
    [N, 1, S, S] (0..1)."""
    away = places - cam2world[:, None, None, :3, 3]
    ahead = (away.flatten(1, 2) @ cam2world[:, :3, :3]).view_as(away)
    on_lens = (ahead / ahead[..., 2:]).flatten(1, 2) @ intrinsics[:, :2].transpose(1, 2)
    where = (2 * on_lens - 1).view(*away.shape[:3], 2)
    distance = away.norm(dim=-1)[:, None]
    differs = torch.minimum(
        (distance - _sampled(depth, where, "bilinear")).abs(),
        (distance - _sampled(_nearest(depth), where, "bilinear")).abs(),
    )
    inside = (where.abs() <= 1).all(-1)[:, None]
    return where, (1 - differs / SAME).clamp(0, 1) * inside


def _nearest(depth: Tensor) -> Tensor:
    """The nearest depth [V, 1, H, W] among each pixel and its eight neighbours, alike."""
    return -F.max_pool2d(-depth, 3, 1, 1)


def _sampled(pictures: Tensor, where: Tensor, mode: str) -> Tensor:
    """[V, C, H, W] pictures at places [V, h, w, 2], -1..1 from edge to edge -> [V, C, h, w]."""
    return F.grid_sample(pictures, where, mode=mode, padding_mode="border", align_corners=False)


def _row(numbers: list[int], device: torch.device) -> Tensor:
    """[n] int64."""
    return torch.tensor(numbers, dtype=torch.int64, device=device)
