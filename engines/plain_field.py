"""The tri-plane field and its march written plainly, as the paper's formulas read: the twin of engines/triplane.py.

Tests hold the field and its march against it; the benchmark of the official structure marches with it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engines.triplane import FAR, NEAR, Decoder


def field(planes: Tensor, decoder: Decoder, points: Tensor) -> tuple[Tensor, Tensor]:
    """Density logit [N] and colours [N, K] (after their sigmoid) of planes [3, C, R, R] at points [N, 3]."""
    query = 2 * points
    places = torch.stack((query[:, [0, 1]], query[:, [0, 2]], query[:, [2, 1]]))[:, :, None]
    feature = F.grid_sample(planes, places, align_corners=False).mean(0)[:, :, 0].T
    hidden = F.softplus(feature @ decoder.hidden_weight.T + decoder.hidden_bias)
    out = hidden @ decoder.out_weight.T + decoder.out_bias
    return out[:, 0], torch.sigmoid(out[:, 1:]) * 1.002 - 0.001


def weights_of(depths: Tensor, logits: Tensor) -> Tensor:
    """[N, D - 1]: the share of light that comes from between neighbouring `depths` [N, D], whose density `logits` are [N, D]; by
    EG3D's midpoint rule."""
    density = F.softplus((logits[:, 1:] + logits[:, :-1]) / 2 - 1)
    alpha = 1 - torch.exp(-density * (depths[:, 1:] - depths[:, :-1]))
    clear = torch.cat((torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10), -1)
    return alpha * torch.cumprod(clear, -1)[:, :-1]


def march(
    planes: Tensor, decoder: Decoder, origin: Tensor, directions: Tensor, coarse: int, fine: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Feature [N, K], depth [N], opacity [N] of N rays from `origin`; everything is sorted and moved, nothing is shared."""
    count = len(directions)

    def look(depths: Tensor) -> tuple[Tensor, Tensor]:
        points = (origin + depths[..., None] * directions[:, None]).reshape(-1, 3)
        logits, colours = field(planes, decoder, points)
        return logits.view(count, -1), colours.view(count, depths.shape[1], -1)

    even = torch.linspace(NEAR, FAR, coarse) + 0.5 * (FAR - NEAR) / (coarse - 1)
    depths = even.expand(count, -1)
    logits, colours = look(depths)
    if fine:
        weights = weights_of(depths, logits)
        peaks = F.max_pool1d(weights[:, None], 2, 1, padding=1)
        pdf = (F.avg_pool1d(peaks, 2, 1)[:, 0] + 0.01)[:, 1:-1] + 1e-5
        cdf = torch.cumsum(pdf / pdf.sum(-1, keepdim=True), -1)
        cdf = torch.cat((torch.zeros_like(cdf[:, :1]), cdf), -1)
        middle = (depths[:, 1:] + depths[:, :-1]) / 2
        u = torch.linspace(0, 1, fine).expand(count, -1).contiguous()
        above = torch.searchsorted(cdf, u, right=True).clamp(max=cdf.shape[1] - 1)
        below = (above - 1).clamp(min=0)
        share = (u - cdf.gather(1, below)) / (cdf.gather(1, above) - cdf.gather(1, below)).clamp(min=1e-9)
        begin, end = middle.gather(1, below), middle.gather(1, above)
        looked = begin + share.clamp(0, 1) * (end - begin)
        more_logits, more_colours = look(looked)
        depths, order = torch.cat((depths, looked), 1).sort(1)
        logits = torch.cat((logits, more_logits), 1).gather(1, order)
        colours = torch.cat((colours, more_colours), 1).gather(1, order[..., None].expand(-1, -1, colours.shape[2]))
    weights = weights_of(depths, logits)
    opacity = weights.sum(1)
    seen = (weights[..., None] * (colours[:, 1:] + colours[:, :-1]) / 2).sum(1)
    depth = (weights * (depths[:, 1:] + depths[:, :-1]) / 2).sum(1) / opacity
    return 2 * seen - 1, torch.nan_to_num(depth, nan=torch.inf).clamp(float(even[0]), float(even[-1])), opacity
