"""Tri-plane: a radiance field stored as three feature planes, and the exact march of rays through it. Views are an axis.

The arithmetic is that of the corrected EG3D field (arXiv 2112.07945) as VOODOO 3D (arXiv 2312.04651) uses it: planes
(x, y), (x, z), (z, y), zero outside, one small decoder for density and colour. Everything here is float32: a half-precision
ray misses its texel. Knows nothing of faces; sharing work between the views of one moment is shared_volume.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

POINTS_AT_ONCE = {"cpu": 1 << 13, "cuda": 1 << 21}
"Points decoded together: on a CPU their hidden layer, 2 MB, stays in a core's cache; on a GPU it takes 0.5 GB."
SAMPLES_AT_ONCE = {"cpu": 1 << 18, "cuda": 1 << 22}
"Samples kept together in a march: on a CPU some 30 MB with RGB colour, 60 MB with 32 channels."

NEAR, FAR = 2.25, 3.3
"Depth range of a march, in world units along the ray."


@dataclass(frozen=True)
class Decoder:
    """The two linear layers between a sampled feature and density and colour, scaled ready for use."""

    hidden_weight: Tensor
    "[H, C]."
    hidden_bias: Tensor
    "[H]."
    out_weight: Tensor
    "[1 + K, H]; row 0 is the density logit, the others are colours before their sigmoid."
    out_bias: Tensor
    "[1 + K]."


class TriplaneField:
    """Density and colour at any point of the cube |x| <= 0.5 (and a constant beyond it)."""

    def __init__(self, planes: Tensor, decoder: Decoder) -> None:
        """`planes`: [3, C, R, R] in the order (x, y), (x, z), (z, y); rows grow with the second axis."""
        assert planes.shape[0] == 3, planes.shape
        assert planes.shape[2] == planes.shape[3], planes.shape
        self.size = planes.shape[-1]
        ringed = F.pad(planes.float(), (1, 1, 1, 1)).permute(0, 2, 3, 1)
        # One row per texel, so that a point is the weighted sum of twelve rows: embedding_bag is 4x quicker at that than
        # grid_sample on channel planes (160 against 710 ns a point on one AVX-512 core, 32 channels).
        self._texels = ringed.reshape(-1, planes.shape[1]).contiguous()
        side = self.size + 2
        device = planes.device
        two = torch.arange(2, dtype=torch.int32, device=device)  # counted there: a list would have to be sent
        self._corner = (two[:, None] * side + two).view(4)
        self._plane = torch.arange(3, dtype=torch.int32, device=device) * (side * side)
        self.decoder = decoder

    @property
    def device(self) -> torch.device:
        """Where its planes lie."""
        return self._texels.device

    def features(self,
                 points: Tensor) -> Tensor:  # [N, 3] -> [N, C]  # fmt: skip
        """The sum over the three planes of the bilinearly sampled features; zero where a plane does not reach."""
        side = self.size + 2
        # world -> query (x2) -> texel with half-pixel centres -> texel of the ringed plane
        texel = (((2 * points + 1) * self.size - 1) * 0.5 + 1).clamp_(0, side - 1)
        low = texel.to(torch.int32).clamp_(max=side - 2)
        share = texel - low
        index = _rows(low) * side + _columns(low) + self._plane
        right, down = _columns(share), _rows(share)
        left, up = 1 - right, 1 - down
        weights = torch.stack((left * up, right * up, left * down, right * down), -1)
        corners = index[:, :, None] + self._corner
        return F.embedding_bag(
            corners.view(-1, 12), self._texels, mode="sum", per_sample_weights=weights.view(-1, 12)
        )  # fmt: skip

    def __call__(self, points: Tensor, channels: int) -> tuple[Tensor, Tensor]:
        """Density logit [N] and the first `channels` colours [N, channels], before any sigmoid, at `points` [N, 3]."""
        decoder, rows, at_once = self.decoder, 1 + channels, for_device(POINTS_AT_ONCE, points.device)
        mean_weight = decoder.hidden_weight / 3  # features() sums the planes; the field is defined on their mean
        out = points.new_empty(len(points), rows)
        for begin in range(0, len(points), at_once):
            part = slice(begin, begin + at_once)
            hidden = F.softplus(F.linear(self.features(points[part]), mean_weight, decoder.hidden_bias))
            out[part] = F.linear(hidden, decoder.out_weight[:rows], decoder.out_bias[:rows])
        return out[:, 0], out[:, 1:]


def _columns(axes: Tensor) -> Tensor:
    """[N, 3] of [N, 3] world axes: the one that runs along each plane's width."""
    x, _, z = axes.unbind(1)
    return torch.stack((x, x, z), 1)


def _rows(axes: Tensor) -> Tensor:
    """[N, 3] of [N, 3] world axes: the one that runs along each plane's height."""
    _, y, z = axes.unbind(1)
    return torch.stack((y, z, y), 1)


def for_device(table: dict[str, int], device: torch.device) -> int:
    """The entry for a CPU or for a GPU."""
    return table["cpu" if device.type == "cpu" else "cuda"]


def colour(logit: Tensor) -> Tensor:
    """EG3D's widened sigmoid (arXiv 2112.07945) of any shape: 0..1, and 0.001 beyond at either end so that both can be reached."""
    return torch.sigmoid(logit) * 1.002 - 0.001


def rays(cam2world: Tensor,   # [V, 4, 4]
         intrinsics: Tensor,  # [V, 3, 3] normalised by picture size
         resolution: int) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Origins [V, 3] and unit directions [V, R * R, 3], row-major, through pixel centres (OpenCV axes)."""
    assert cam2world.shape[1:] == (4, 4), cam2world.shape
    assert intrinsics.shape[1:] == (3, 3), intrinsics.shape
    centre = (torch.arange(resolution, device=cam2world.device, dtype=torch.float32) + 0.5) / resolution
    v, u = torch.meshgrid(centre, centre, indexing="ij")
    fx, skew, cx = (intrinsics[:, 0, k, None] for k in range(3))
    fy, cy = intrinsics[:, 1, 1, None], intrinsics[:, 1, 2, None]
    y = (v.reshape(1, -1) - cy) / fy
    x = (u.reshape(1, -1) - cx) / fx - skew * y / fx
    in_camera = torch.stack((x, y, torch.ones_like(x)), -1)
    return cam2world[:, :3, 3], F.normalize(in_camera @ cam2world[:, :3, :3].transpose(1, 2), dim=-1)


def along(origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
    """[N * S, 3] world points at `depths` [N, S] (or [S]) on N rays."""
    return (origins[:, None] + directions[:, None] * depths[..., None]).reshape(-1, 3)


def interval_weights(depths: Tensor, logits: Tensor) -> Tensor:
    """[N, S - 1] share of each interval between sorted samples ([N, S] each) in what a ray sees: the midpoint rule.

    The density logit is averaged before its softplus, as EG3D does.
    """
    density = F.softplus((logits[:, :-1] + logits[:, 1:]) * 0.5 - 1)
    alpha = 1 - torch.exp(-density * (depths[:, 1:] - depths[:, :-1]))
    through = torch.cumprod(1 - alpha + 1e-10, -1)
    return torch.cat((alpha[:, :1], alpha[:, 1:] * through[:, :-1]), -1)


def coarse_depths(count: int, device: torch.device) -> Tensor:
    """[count] evenly spaced depths, each shifted by half a step: the official jitter at its mean."""
    step = (FAR - NEAR) / (count - 1)
    return torch.linspace(NEAR, FAR, count, device=device) + 0.5 * step


def smoothed(weights: Tensor) -> Tensor:
    """[N, S] interval weights, spread to their neighbours and lifted by 0.01 so that no interval is never looked at."""
    peaks = F.max_pool1d(weights[:, None], 2, 1, padding=1)
    return F.avg_pool1d(peaks, 2, 1)[:, 0] + 0.01


def importance_depths(depths: Tensor,   # [S] or [N, S] sorted
                      weights: Tensor,  # [N, S - 1]
                      count: int) -> Tensor:  # fmt: skip
    """[N, count] sorted depths, drawn at even quantiles of what the intervals between `depths` contribute.

    EG3D's last mid-depth is never reached (S - 1 mid-depths, S - 2 knots); kept, since trained weights expect it.
    """
    knots = ((depths[..., :-1] + depths[..., 1:]) * 0.5)[..., :-1].expand(len(weights), -1)
    pdf = smoothed(weights)[:, 1:-1] + 1e-5
    cdf = F.pad(torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1), (1, 0))
    return inverse_transform(knots, cdf, count)


def inverse_transform(knots: Tensor, cdf: Tensor, count: int) -> Tensor:
    """[N, count]: where `cdf` ([N, S], 0..1 at `knots` [N, S]) passes `count` even steps from 0 to 1, both included."""
    u = torch.linspace(0, 1, count, device=cdf.device).expand(len(cdf), -1).contiguous()
    above = torch.searchsorted(cdf, u, right=True).clamp_(1, cdf.shape[-1] - 1)
    below = above - 1
    low, high = cdf.gather(-1, below), cdf.gather(-1, above)
    begin, end = knots.gather(-1, below), knots.gather(-1, above)
    span = high - low
    rate = torch.where(span < 1e-5, torch.zeros_like(span), (u - low) / span)
    return begin + rate.clamp_(max=1) * (end - begin)


@dataclass(frozen=True)
class Seen:
    """What N rays saw."""

    feature: Tensor
    "[N, K] -1..1; an empty ray is -1."
    depth: Tensor
    "[N] distance along the ray in world units; the farthest sample where a ray meets nothing."
    opacity: Tensor
    "[N] 0..1."


def composite(depths: Tensor, order: tuple[Tensor, ...], logits: Tensor, colours: tuple[Tensor, ...]) -> Seen:
    """Front to back over sorted `depths` and `logits` ([N, S]).

    `colours`: one [N, S_k, K] block of colour logits per pass, unsorted; `order`: for each block, where its samples stand in
    the sorted row ([N, S_k]). So colours never move: what each sample contributes is gathered to it instead.
    """
    weights = interval_weights(depths, logits)
    opacity = weights.sum(-1)
    # a midpoint colour is half of either neighbour
    per_sample = 0.5 * (F.pad(weights, (0, 1)) + F.pad(weights, (1, 0)))
    parts = [
        (per_sample.gather(-1, rank)[:, None] @ colour(block))[:, 0] for rank, block in zip(order, colours, strict=True)
    ]
    middle = (depths[:, 1:] + depths[:, :-1]) * 0.5
    depth = torch.nan_to_num((weights * middle).sum(-1) / opacity, nan=torch.inf)
    return Seen(2 * torch.stack(parts).sum(0) - 1, depth, opacity)


def merge(first: Tensor, second: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Two sorted rows of depths as one [N, A + B], and where the samples of each stand in it; no sort is needed."""
    one, two = first.contiguous(), second.contiguous()
    rank_one = torch.searchsorted(two, one) + torch.arange(one.shape[1], device=one.device)
    rank_two = torch.searchsorted(one, two, right=True) + torch.arange(two.shape[1], device=two.device)
    merged = one.new_empty(len(one), one.shape[1] + two.shape[1])
    merged.scatter_(1, rank_one, one).scatter_(1, rank_two, two)
    return merged, (rank_one, rank_two)


def march_rays(
    field: TriplaneField, origins: Tensor, directions: Tensor, coarse: int, fine: int, channels: int
) -> Seen:
    """The exact march of N rays ([N, 3] each): `coarse` even samples, then `fine` where those met something."""
    count = len(directions)
    even = coarse_depths(coarse, field.device)
    logits, colours = field(along(origins, directions, even), channels)
    logits, colours = logits.view(count, coarse), colours.view(count, coarse, channels)
    row = even.expand(count, -1)
    if not fine:
        everything = torch.arange(coarse, device=field.device).expand(count, -1)
        return composite(row, (everything,), logits, (colours,))
    looked = importance_depths(even, interval_weights(row, logits), fine)
    fine_logits, fine_colours = field(along(origins, directions, looked), channels)
    depths, ranks = merge(row, looked)
    merged = torch.empty_like(depths).scatter_(1, ranks[0], logits).scatter_(1, ranks[1], fine_logits.view(count, fine))
    return composite(depths, ranks, merged, (colours, fine_colours.view(count, fine, channels)))


def march(field: TriplaneField,
          cam2world: Tensor,   # [V, 4, 4]
          intrinsics: Tensor,  # [V, 3, 3]
          resolution: int = 128, coarse: int = 96, fine: int = 96, channels: int = 32) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Feature pictures [V, channels, R, R] (-1..1, black is -1) and depth [V, 1, R, R], each ray looked along exactly.

    Memory is bounded by SAMPLES_AT_ONCE whatever V is: rays are independent, so taking them in parts changes nothing.
    """
    origins, directions = rays(cam2world.float(), intrinsics.float(), resolution)
    at_once = max(1, for_device(SAMPLES_AT_ONCE, field.device) // (coarse + fine))
    parts = [
        march_rays(field, begins, some, coarse, fine, channels)
        for begins, some in ray_parts(origins, directions, at_once)
    ]
    return as_pictures(parts, len(cam2world), resolution, *depth_limits(coarse))


def ray_parts(origins: Tensor, directions: Tensor, at_once: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Every view's rays in order, at most `at_once` together: origins and directions, [n, 3] each."""
    begins = origins[:, None].expand_as(directions).reshape(-1, 3)
    return zip(begins.split(at_once), directions.reshape(-1, 3).split(at_once), strict=True)


def depth_limits(coarse: int) -> tuple[float, float]:
    """The nearest and farthest sample of any ray: fine samples lie between coarse ones, so these two are known before.

    In coarse_depths' arithmetic, but without a device to wait for.
    """
    shift = np.float32(0.5 * (FAR - NEAR) / (coarse - 1))
    return float(np.float32(NEAR) + shift), float(np.float32(FAR) + shift)


def as_pictures(parts: list[Seen], views: int, resolution: int, near: float, far: float) -> tuple[Tensor, Tensor]:
    """Rays in row-major order as feature [V, K, R, R] and depth [V, 1, R, R] pictures."""
    feature = torch.cat([part.feature for part in parts]).view(views, resolution * resolution, -1)
    depth = torch.cat([part.depth for part in parts]).clamp_(near, far)
    pictures = feature.transpose(1, 2).reshape(views, -1, resolution, resolution)
    return pictures, depth.view(views, 1, resolution, resolution)
