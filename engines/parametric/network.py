"""Network: an identity as three feature planes, and the signed distance that they decode to. Knows no expressions.

F_id of the thesis: a DCGAN generator (arXiv 1511.06434) from z to planes, a small MLP from their summed features to the
distance, which is positive outside. Tensor names are the author's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engines.parametric.architecture import FULL, Architecture

AXES = ((0, 1), (1, 2), (0, 2))
"Of each plane: the coordinate along its width, and the one along its height (xy, yz, xz)."
SHARPNESS = 100.0
"Of every Softplus here: nearly a ReLU, but with a second derivative."
SPHERE = 0.4
"Radius in units of the cube's reach that an untrained network encloses (geometric initialisation, arXiv 1911.10414)."
GROUPS = 8


class Generator(nn.Module):
    """z [B, Z] -> planes [B, 3, C, S, S], whose memory is laid out with the channels last."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        wide, planes = arch.generator, 3 * arch.channels
        widths = (arch.z_id, 8 * wide, 4 * wide, 2 * wide, wide)
        layers: list[nn.Module] = []
        for k, (into, out) in enumerate(pairwise(widths)):
            stride, padding = (1, 0) if k == 0 else (2, 1)
            norm = nn.BatchNorm2d(out) if arch.batch_norm else nn.GroupNorm(GROUPS, out)
            layers += [nn.ConvTranspose2d(into, out, 4, stride, padding, bias=False), norm, nn.ReLU(inplace=True)]
        layers += [
            nn.ConvTranspose2d(wide, planes, 4, 2, 1, bias=False),
            nn.Upsample(scale_factor=arch.side // 64, mode="bilinear", align_corners=False),
            nn.Conv2d(planes, planes, 3, padding=1),
        ]
        self.main = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """As the class says."""
        maps = self.main(z[:, :, None, None]).unflatten(1, (3, -1))
        return maps.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)


class Identity(nn.Module):
    """F_id: the signed distance, in canonical units, of points from the head that z stands for."""

    def __init__(self, arch: Architecture = FULL) -> None:
        super().__init__()
        self.arch = arch
        self.tp_gen = Generator(arch)
        widths = (3 + arch.channels, *(4 * (arch.hidden,)), 1)
        layers: list[nn.Module] = []
        for into, out in pairwise(widths):
            layers += [nn.Linear(into, out), nn.Softplus(beta=SHARPNESS)]
        self.net = nn.Sequential(*layers[:-1])
        self._start_as_a_sphere()

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], side: int = FULL.side, reach: float = FULL.reach) -> Self:
        """The network whose tensors these are, ready to be asked; its sizes follow from theirs.

        `side` is the planes' (128 is the thesis' other variant), `reach` half the side of their cube; no tensor tells either.
        Raises RuntimeError where names or shapes do not fit.
        """
        deepest, widest = state["tp_gen.main.0.weight"], state["tp_gen.main.12.weight"]
        arch = replace(
            FULL,
            z_id=deepest.shape[0],
            generator=widest.shape[0],
            channels=widest.shape[1] // 3,
            hidden=state["net.0.weight"].shape[0],
            batch_norm="tp_gen.main.1.running_mean" in state,
            side=side,
            reach=reach,
        )
        made = cls(arch)
        made.load_state_dict(dict(state), strict=True)
        return made.eval()

    def planes(self, z: Tensor) -> Tensor:
        """[B, 3, C, S, S] (xy, yz, xz) of identities z [B, Z]."""
        assert z.shape[1:] == (self.arch.z_id,), f"an identity has {self.arch.z_id} numbers, not {tuple(z.shape[1:])}"
        return self.tp_gen(z)

    def sdf(self, planes: Tensor, points: Tensor) -> Tensor:
        """[B, N] distances of points [B, N, 3], positive outside; twice differentiable in the points where gradients are on."""
        assert points.shape[0] == planes.shape[0], (points.shape, planes.shape)
        scaled = points / self.arch.reach
        look_up = features if torch.is_grad_enabled() else features_without_gradients
        return self.net(torch.cat((scaled, look_up(planes, scaled)), -1))[..., 0] * self.arch.reach

    def _start_as_a_sphere(self) -> None:
        *hidden, last = (layer for layer in self.net if isinstance(layer, nn.Linear))
        with torch.no_grad():
            for layer in hidden:
                nn.init.normal_(layer.weight, 0, (2 / layer.out_features) ** 0.5)
                nn.init.zeros_(layer.bias)
            hidden[0].weight[:, 3:] *= 0.02
            nn.init.normal_(last.weight, (torch.pi / last.in_features) ** 0.5, 1e-5)
            nn.init.constant_(last.bias, -SPHERE)


def features(planes: Tensor, points: Tensor) -> Tensor:  # [B, 3, C, S, S], [B, N, 3] in -1..1 -> [B, N, C]
    """The three planes' features summed: bilinear, corners on the cube's faces, the border's value repeated beyond them.

    From gathers, of which autograd knows the second derivative; torch's grid_sample has none.
    """
    batch, _, channels, height, width = planes.shape
    rows = planes.permute(0, 1, 3, 4, 2).reshape(-1, channels)
    first = torch.arange(batch, device=points.device)[:, None] * 3
    places: list[Tensor] = []
    shares: list[Tensor] = []
    for plane, (across, down) in enumerate(AXES):
        x, left, right = _texels(points[..., across], width)
        y, upper, lower = _texels(points[..., down], height)
        base = (first + plane) * (height * width)
        places += [base + row * width + column for row in (upper, lower) for column in (left, right)]
        shares += [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y]
    # one gather for all twelve: the gradient of each would be a whole stack of planes of its own, nearly all of it zero
    texels = rows.index_select(0, torch.stack(places).flatten()).view(-1, *points.shape[:2], channels)
    return (texels * torch.stack(shares)[..., None]).sum(0)


def features_without_gradients(planes: Tensor, points: Tensor) -> Tensor:
    """What `features` gives of the same [B, 3, C, S, S] and [B, N, 3], by torch's own sampler: several times as quick."""
    batch, _, channels, *_ = planes.shape
    places = torch.stack([points[..., list(axes)] for axes in AXES], 1).flatten(0, 1)[:, None]  # [3B, 1, N, 2]
    found = F.grid_sample(planes.flatten(0, 1), places, padding_mode="border", align_corners=True)
    return found.view(batch, 3, channels, -1).sum(1).transpose(1, 2)


def _texels(coordinate: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """How far each coordinate lies between two texels, and which they are."""
    place = (coordinate + 1) / 2 * (size - 1)
    before = place.detach().floor()
    index = before.long()
    return place - before, index.clamp(0, size - 1), (index + 1).clamp(0, size - 1)


def gradient(values: Tensor, points: Tensor, again: bool = False) -> Tensor:
    """[B, N, 3] d values / d points; `again`: to be differentiated itself."""
    return torch.autograd.grad(values.sum(), points, create_graph=again)[0]
