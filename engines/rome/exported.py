"""Exported: a driven head as a mesh of FLAME's topology, coloured by what its views show of each vertex."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.mesh import Mesh
from engines.raster import plain
from engines.rome.drive import RomeState
from engines.rome.network import Rome
from engines.rome.visible import rasterised

SIDES = 8
"Views around the head whose colours are taken."
HALF_WIDTH = 0.16
"Metres from the middle that a view shows: the head whole, and the shoulders where they are near."
ROUNDS = 40
"Of spreading colours to vertices that no view shows."
BEHIND = 0.005
"Metres that a vertex may lie behind what its pixel shows and still be what it shows."


def mesh(network: Rome, state: RomeState) -> Mesh:
    """The head as it is turned, in metres about its middle."""
    placed = torch.from_numpy((state.turn @ state.avatar.stand.upright).astype(np.float32)).to(network.device)
    middle = torch.from_numpy(state.avatar.stand.middle.astype(np.float32)).to(network.device)
    colours = coloured(network, state, middle)
    turned = (state.vertices[0].to(network.device) - middle) @ placed.T
    return Mesh(
        turned.cpu().numpy().astype(np.float32),
        network.flame.faces.cpu().numpy(),
        (colours * 255).round().clamp(0, 255).byte().cpu().numpy(),
    )


def coloured(network: Rome, state: RomeState, middle: Tensor) -> Tensor:
    """[N, 3] in 0..1: means over the views that see a vertex, by how squarely they do."""
    vertices, normals = state.vertices.to(network.device), state.normals.to(network.device)
    turned = (vertices - middle) @ _around(network.device).mT
    screen = turned / HALF_WIDTH * turned.new_tensor([1.0, -1.0, -1.0])
    colours, _ = network.shade(state.avatar.texture, *network.seen(screen, normals))
    places = screen[:, :, None, :2].clamp(-2, 2)
    found = F.grid_sample(colours, places, align_corners=False)[..., 0].mT
    seen = rasterised(screen, network.flame.faces, network.arch.image)
    depth = torch.stack(
        [plain.interpolated(_of(seen, k), screen[k, network.flame.faces.long(), 2:])[0] for k in range(SIDES)]
    )
    front = F.grid_sample(depth, places, mode="nearest", align_corners=False)[:, 0]
    towards = (normals @ _around(network.device).mT)[..., 2].clamp(min=0) ** 2
    inside = (places[:, :, 0].abs() < 1).all(-1)
    weight = (towards * inside * (screen[..., 2] < front[..., 0] + BEHIND / HALF_WIDTH))[..., None]
    return _spread((found * weight).sum(0), weight.sum(0), network.flame.faces.long())


def _of(seen: plain.Fragments, view: int) -> plain.Fragments:
    return plain.Fragments(*(part[view : view + 1] for part in seen))


def _around(device: torch.device) -> Tensor:
    """[SIDES, 3, 3]: turns about the vertical, evenly."""
    angles = 2 * np.pi * np.arange(SIDES) / SIDES
    cos, sin, none = np.cos(angles), np.sin(angles), np.zeros(SIDES)
    turns = np.stack((cos, none, sin, none, none + 1, none, -sin, none, cos), 1).reshape(-1, 3, 3)
    return torch.from_numpy(turns.astype(np.float32)).to(device)


def _spread(summed: Tensor, weight: Tensor, faces: Tensor) -> Tensor:
    """[N, 3]: weighted sums [N, 3] and their weights [N, 1] as colours; a vertex without any takes its neighbours' mean."""
    known = weight > 1e-3
    colours = torch.where(known, summed / weight.clamp(min=1e-3), 0.0)
    for _ in range(ROUNDS):
        total, count = torch.zeros_like(colours), torch.zeros_like(weight)
        for k in range(3):
            for other in (faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]):
                total.index_add_(0, faces[:, k], (colours * known)[other])
                count.index_add_(0, faces[:, k], known[other].float())
        reached = ~known & (count > 0)
        colours = torch.where(reached, total / count.clamp(min=1), colours)
        known = known | reached
    return colours
