"""Meshing: coarse to fine against every point of the grid, on the full-size network, on the same cores in one run."""

from __future__ import annotations

import time

import numpy as np
import torch

from engines import mesh
from engines.parametric import extraction
from engines.parametric.architecture import FULL
from engines.parametric.extraction import HEAD
from engines.parametric.network import Identity
from engines.parametric.train import formula

SIDE = 256
SLABS = 16
"Of the dense grid, one in this many is timed, and the time taken so often: all of it takes minutes on a CPU."
STEPS = 120
"In which a head by formula is regressed into the field, so that its surface is a head's."


def measured(device: str, side: int = SIDE, slabs: int = SLABS, steps: int = STEPS) -> dict[str, float]:
    """Seconds of both ways, and how far their signs agree where both were asked."""
    network = with_a_head(Identity(FULL).to(device).eval(), steps, device)
    with torch.no_grad():
        begun = _now(device)
        planes = network.planes(torch.zeros(1, FULL.z_id, device=device))
        seconds_planes = _now(device) - begun
    field = lambda points: network.sdf(planes, points)  # noqa: E731
    extraction.coarse_to_fine(field, HEAD, 32, 1.3, device)  # warm
    begun = _now(device)
    steepest = extraction.steepness(field, HEAD, device)
    volume, _, evaluated = extraction.coarse_to_fine(field, HEAD, side, steepest, device)
    seconds_field = _now(device) - begun
    whole = _whole(field, side, device)
    same, seconds_slab = _dense_slabs(field, volume, side, slabs, device)
    dense = seconds_slab * slabs
    return {
        "planes_s": seconds_planes,
        "coarse_to_fine_s": seconds_field,
        "dense_s": dense,
        "gain": dense / seconds_field,
        "share_evaluated": evaluated / side**3,
        "sign_agreement": same,
        "steepest": steepest,
        "threads": float(torch.get_num_threads()),
    } | whole


def _whole(field: extraction.Field, side: int, device: str) -> dict[str, float]:
    """With the triangles; nothing where what finds them is not installed."""
    begun = _now(device)
    try:
        found = extraction.surface(field, HEAD, side, device)
    except mesh.MeshingMissing:
        return {}
    return {"with_marching_cubes_s": _now(device) - begun, "vertices": float(len(found.vertices))}


def _dense_slabs(
    field: extraction.Field, volume: np.ndarray, side: int, slabs: int, device: str
) -> tuple[float, float]:
    """Share of signs that agree in every `slabs`th slice, and the seconds that these took."""
    agree, spent = [], 0.0
    every = torch.arange(slabs // 2, side, slabs, device=device)
    axis = torch.arange(side, device=device)
    begun = _now(device)
    cells = torch.cartesian_prod(every, axis, axis)
    with torch.no_grad():
        values = extraction.asked(field, extraction.centres(cells, side, HEAD))
    spent = _now(device) - begun
    agree = (values > 0).cpu().numpy() == (volume[every.cpu().numpy()].ravel() > 0)
    return float(agree.mean()), spent


def with_a_head(network: Identity, steps: int, device: str) -> Identity:
    """The network with its decoder regressed on a head by formula; its planes stay as they are."""
    who = formula.drawn(1, 3)
    with torch.no_grad():
        planes = network.planes(torch.zeros(1, FULL.z_id, device=device))
    optimiser = torch.optim.Adam(network.net.parameters(), lr=1e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(steps):
        points = (torch.rand(1, 2048, 3, generator=draw) * 2 - 1) * 0.7
        with torch.no_grad():
            wanted = formula.distance(points, who).clamp(-0.3, 0.5).to(device)
        loss = (network.sdf(planes, points.to(device)) - wanted).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
