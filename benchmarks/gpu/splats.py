"""Heads of Gaussians on a GPU: milliseconds and memory of 24 views, callers together, and how near the twin the pictures are.

    python -m benchmarks.gpu.splats
    python -m benchmarks.gpu.splats --small        few Gaussians through Triton's interpreter, to see that everything works

The head is the mannequin that comes with the engine. Needs torch, numpy and Triton.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lib.harness import RESULTS, parser, show, write
from display.optics import Cameras, intrinsics, orbit
from engines.actions import ACTIONS
from engines.splats import exporting, fused, importing, plain
from engines.splats.avatar import SplatAvatar

VIEWS, CONE = 24, 35.0
WARM_UP, FRAMES = 10, 100


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--small", action="store_true", help="few Gaussians and views, on the CPU")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() and not wanted.small else "cpu")
    avatar = importing.made(importing.bring(exporting.packed()).arrays)
    ways = [(side, callers) for side in (256, 512) for callers in (1, 4)]
    if wanted.small:
        avatar, ways = thinned(avatar, 300), [(16, 1), (16, 2)]
    views, frames = (2, 2) if wanted.small else (VIEWS, FRAMES)
    found = [measured(device, avatar, side, callers, views, frames) for side, callers in ways]
    agreement = agrees(device, avatar, 16 if wanted.small else 256)
    rows = [[f"{one['callers']} x {views} x {one['side']}", *(f"{one[key]:.2f}" for key in KEYS)] for one in found]
    show(
        f"{len(avatar)} Gaussians, {device}",
        ["callers x views x side", *KEYS],
        rows,
        f"{agreement:.0f} dB from the twin",
    )
    result = {"device": str(device), "gaussians": len(avatar), "views": views, "ways": found, "twin_db": agreement}
    print(write("splats_gpu", result, wanted.out))


KEYS = ("ms_p50", "ms_p95", "host_ms_p50", "peak_mib")


def thinned(avatar: SplatAvatar, step: int) -> SplatAvatar:
    """Every `step`-th Gaussian, which nothing moves."""
    fields = ("points", "colours", "opacities", "scales", "rotations")
    still = {"starts": avatar.starts * 0, "which": avatar.which[:0], "moves": avatar.moves[:0]}
    return replace(avatar, **still, **{name: getattr(avatar, name)[::step] for name in fields})


def cameras(views: int, side: int) -> Cameras:
    looks = np.stack([orbit(yaw) for yaw in np.linspace(-CONE / 2, CONE / 2, views)])
    return Cameras(looks, np.repeat(intrinsics()[None], views, axis=0), side, side)


def measured(
    device: torch.device, avatar: SplatAvatar, side: int, callers: int, views: int, frames: int
) -> dict[str, Any]:
    """Of frames one after another, each of all callers' views in one batch: until the picture is there, and until the host is free."""
    kernels, looked, whole, host = fused.Kernels(device), cameras(views, side), [], []
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    coefficients = np.zeros(len(ACTIONS), np.float32)
    for frame in range(WARM_UP * on_gpu + frames):
        coefficients[ACTIONS.index("jawOpen")] = 0.5 + 0.5 * np.sin(frame / 5)
        asked = [fused.Request(avatar, coefficients.copy(), looked) for _ in range(callers)]
        begun = time.perf_counter()
        kernels.draw(asked)
        host.append(1e3 * (time.perf_counter() - begun))
        if on_gpu:
            torch.cuda.synchronize(device)
        whole.append(1e3 * (time.perf_counter() - begun))
    whole, host = whole[-frames:], host[-frames:]
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else 0.0
    return {
        "side": side, "callers": callers, "ms_p50": float(np.percentile(whole, 50)), "ms_p95": float(np.percentile(whole, 95)),
        "host_ms_p50": float(np.percentile(host, 50)), "peak_mib": peak,
    }  # fmt: skip


def agrees(device: torch.device, avatar: SplatAvatar, side: int) -> float:
    """dB between kernels and twin, of the middle view."""
    asked = fused.Request(avatar, np.zeros(len(ACTIONS), np.float32), cameras(1, side))
    made = fused.Kernels(device).pictures([asked]).colours
    twin = plain.draw(torch.from_numpy(avatar.points).to(device), plain.prepared(avatar, device), asked.cameras).colours
    return float(-10 * torch.log10((made - twin).double().square().mean() + 1e-30))


if __name__ == "__main__":
    main()
