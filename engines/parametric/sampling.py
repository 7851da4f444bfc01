"""Sampling: where along its ray a density is looked at. Two samplers, of which one defines what the other has to agree with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engines.parametric.density import laplace
from engines.parametric.march import FAR, NEAR, Rays, weigh

TAIL = 5e-4
"Share of a ray's weight, before and behind, that is not looked at: its middle would lie deep in the head, or far before it."

Field = Callable[[Tensor], Tensor]
"Points [B, N, 3] -> signed distances [B, N]."


@dataclass(frozen=True)
class ErrorBounded:
    """VolSDF's sampler (arXiv 2106.12052, algorithm 1): more samples until the opacity's error is bounded, then by the weights."""

    coarse: int = 128
    "Even at first, and added in each round."
    fine: int = 128
    "Drawn from the weights."
    extra: int = 32
    "Of the earlier ones, spread evenly."
    rounds: int = 5
    epsilon: float = 0.1
    bisections: int = 10

    @torch.no_grad()
    def __call__(self, field: Field, rays: Rays, beta: float, reach: float = 1.0) -> Tensor:
        """[B, R, fine + 2 + extra] depths in rising order."""
        far = rays.leaving(reach)
        even = torch.linspace(0, 1, self.coarse, device=far.device)
        z = NEAR + even * (far - NEAR)
        sdf = _along(field, rays, z)
        steps = z.diff(dim=-1)
        blur = ((steps**2).sum(-1, keepdim=True) / (4 * math.log1p(self.epsilon))).sqrt()
        for turn in range(self.rounds):
            blur = self._tightened(z, sdf, blur, beta)
            if turn == self.rounds - 1 or not (blur > beta).any():
                break
            z, sdf = self._more(field, rays, z, sdf, blur)
        shares = weigh(laplace(sdf, blur), z)[..., :-1] + 1e-5
        fine = _inverse_cdf(z, shares, self.fine)
        chosen = torch.linspace(0, z.shape[-1] - 1, self.extra, device=z.device).long()
        ends = torch.cat((torch.full_like(far, NEAR), torch.full_like(far, FAR)), -1)
        return torch.cat((fine, ends, z[..., chosen]), -1).sort(-1)[0]

    def _tightened(self, z: Tensor, sdf: Tensor, blur: Tensor, beta: float) -> Tensor:
        """The smallest blur [B, R, 1] at which the opacity's error is still bounded by epsilon, by bisection; z, sdf [B, R, S]."""
        least = torch.full_like(blur, beta)
        fine = self._error(z, sdf, least) <= self.epsilon
        low, high = least.clone(), torch.where(fine, least, blur)
        for _ in range(self.bisections):
            middle = (low + high) / 2
            good = self._error(z, sdf, middle) <= self.epsilon
            low, high = torch.where(good, low, middle), torch.where(good, middle, high)
        return high

    def _error(self, z: Tensor, sdf: Tensor, blur: Tensor) -> Tensor:
        """[B, R, 1]: the largest bound along each ray."""
        bound, _ = _opacity_bound(z, sdf, blur)
        return bound.amax(-1, keepdim=True)

    def _more(self, field: Field, rays: Rays, z: Tensor, sdf: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
        """Places and distances [B, R, S + coarse], the new ones where the error is."""
        bound, through = _opacity_bound(z, sdf, blur)
        added = _inverse_cdf(z, bound * through + 1e-6, self.coarse)
        z, order = torch.cat((z, added), -1).sort(-1)
        return z, torch.cat((sdf, _along(field, rays, added)), -1).gather(-1, order)


@dataclass(frozen=True)
class SurfaceFirst:
    """Finds where light is stopped first, then samples there alone: a fraction of the points, and of those with gradients.

    A few even samples, between which the distance is taken as linear, say where weights will be; a second look there, and
    again. Rays that meet no surface are sampled where they come nearest to one in the same way.
    """

    coarse: int = 64
    "Even through the cube."
    looks: int = 2
    "With this many `fine` samples each, without gradients."
    fine: int = 48
    "Samples that come out."
    between: int = 16
    "Invented between two neighbouring samples."

    @torch.no_grad()
    def __call__(self, field: Field, rays: Rays, beta: float, reach: float = 1.0) -> Tensor:
        """[B, R, fine + 1] ends of `fine` intervals, at whose middles to look (march.composite_between)."""
        far = rays.leaving(reach)
        z = NEAR + torch.linspace(0, 1, self.coarse, device=far.device) * (far - NEAR)
        sdf = _along(field, rays, z)
        for _ in range(self.looks):
            added = self._drawn(z, sdf, beta)
            z, order = torch.cat((z, added), -1).sort(-1)
            sdf = torch.cat((sdf, _along(field, rays, added)), -1).gather(-1, order)
        return self._drawn(z, sdf, beta)

    def _drawn(self, z: Tensor, sdf: Tensor, beta: float) -> Tensor:
        """[B, R, fine + 1] depths, spread as the weights between the samples are."""
        shares = torch.arange(self.between, device=z.device) / self.between
        finer_z = _invented(z, shares)
        weights = weigh(laplace(_invented(sdf, shares), beta), finer_z)[..., :-1]
        return _inverse_cdf(finer_z, weights + 1e-6 / weights.shape[-1], self.fine + 1, TAIL)


def _invented(values: Tensor, shares: Tensor) -> Tensor:  # [B, R, S], [K] -> [B, R, (S - 1) K + 1]
    """Values between neighbours, as on straight lines."""
    between = values[..., :-1, None] + shares * values.diff(dim=-1)[..., None]
    return torch.cat((between.flatten(-2), values[..., -1:]), -1)


def _along(field: Field, rays: Rays, z: Tensor) -> Tensor:
    """[B, R, S] distances at z [B, R, S] along rays."""
    return field(rays.at(z).flatten(1, 2)).view(z.shape)


def _opacity_bound(z: Tensor, sdf: Tensor, blur: Tensor) -> tuple[Tensor, Tensor]:
    """[B, R, S - 1] twice: by how much each interval's opacity can be wrong, over the light that gets there, and that light."""
    steps = z.diff(dim=-1)
    stopped = (steps * laplace(sdf, blur)[..., :-1]).cumsum(-1)
    before = torch.cat((torch.zeros_like(stopped[..., :1]), stopped[..., :-1]), -1)
    error = torch.exp(-_nearest(steps, sdf) / blur) * steps**2 / (4 * blur**2)
    missed = torch.exp(error.cumsum(-1)).clamp(max=1e6) - 1
    through = torch.exp(-before)
    return missed * through, torch.ones_like(through)


def _nearest(steps: Tensor, sdf: Tensor) -> Tensor:
    """[..., S - 1]: a lower bound of how near the surface comes within each interval, from the distances at its ends."""
    a, b, c = steps, sdf[..., :-1].abs(), sdf[..., 1:].abs()
    half = (a + b + c) / 2
    height = 2 * (half * (half - a) * (half - b) * (half - c)).clamp(min=0).sqrt() / a.clamp(min=1e-9)
    found = torch.where(b + c > a, height, torch.zeros_like(a))
    found = torch.where(a**2 + c**2 <= b**2, c, found)
    found = torch.where(a**2 + b**2 <= c**2, b, found)
    return torch.where(sdf[..., :-1].sign() * sdf[..., 1:].sign() == 1, found, torch.zeros_like(a))


def _inverse_cdf(z: Tensor, shares: Tensor, count: int, tail: float = 0.0) -> Tensor:
    """[B, R, count] depths spread as `shares` [B, R, S - 1] of the intervals say, less a `tail` of them at both ends."""
    cdf = (shares / shares.sum(-1, keepdim=True)).cumsum(-1)
    cdf = torch.cat((torch.zeros_like(cdf[..., :1]), cdf), -1)
    wanted = torch.linspace(tail, 1 - tail, count, device=z.device).expand(*z.shape[:-1], count).contiguous()
    above = torch.searchsorted(cdf, wanted, right=True).clamp(1, z.shape[-1] - 1)
    low, high = cdf.gather(-1, above - 1), cdf.gather(-1, above)
    share = (wanted - low) / torch.where(high - low < 1e-5, torch.ones_like(high), high - low)
    before, after = z.gather(-1, above - 1), z.gather(-1, above)
    return before + share.clamp(0, 1) * (after - before)
