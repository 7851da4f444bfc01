"""Warp: what super-resolving every second or third view costs in picture quality, and what it saves in work.

    python -m benchmarks.warp                     writes benchmarks/results/warp.json and a sheet of pictures beside it
    python -m benchmarks.warp --heads plain --views 4 --side 128      to see that it works

A stand-in takes the place of super-resolution, since nobody here has trained weights: heads built in code, whose every view is
known sharp (marched at full side, with a pattern on their surface finer than a march's pixels). It makes what a network would
have to make to be of one mind with itself from every side; a network that invents other details for each view does worse.
What is warped is held against super-resolving every view, beside the march merely enlarged.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lib.floor import DRIVE_MACS, VIEW_MACS
from benchmarks.lib.harness import RESULTS, parser, pyplot, show, write
from display import optics
from engines import shared_volume, triplane
from engines.heads import HEADS, planes_and_decoder
from engines.shared_volume import Budget
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.superres import SuperResolution
from engines.voodoo3d.warp import Resolved, Warp, Warping, picked

CONE = 35.0
"Degrees over which a quilt's 24 views are spread."
QUILT = 24
GRAIN = 0.1
"How far the surface's finest pattern goes from its colour, of -1..1."
WAVES = 0.7
"Of the pattern in a march's pixel: too fine for a march, three sharp pixels and more to a wave."


@dataclass(frozen=True)
class Views:
    """Neighbouring views of one head."""

    raw: Tensor
    depth: Tensor
    cam2world: Tensor
    intrinsics: Tensor
    sharp: Tensor
    "[V, 3, S, S] what super-resolving every view would give."


@dataclass(frozen=True)
class Quality:
    """How close the views between come to super-resolving every view."""

    head: str
    resolved: str
    psnr_db: list[float]
    "Of each view that is warped."
    ssim: list[float]
    enlarged_psnr_db: list[float]
    "Of the same views, their march merely enlarged."
    enlarged_ssim: list[float]
    seconds: float
    "Of warping them all on this machine; see load_before."


@torch.no_grad()
def main() -> None:
    wanted = _parsed()
    device = torch.device("cuda" if torch.cuda.is_available() and not wanted.cpu else "cpu")
    found, strips = [], []
    for name in wanted.heads:
        known = views_of(name, wanted.views, wanted.side, device)
        for resolved in (Resolved.SECOND, Resolved.THIRD):
            made, seconds = warped(known, resolved)
            found.append(quality(name, resolved, known, made, seconds))
            strips.append((name, resolved, known, made))
            print(f"{name}, every {resolved.value}: {min(found[-1].psnr_db):.1f} dB and more", flush=True)
    _show(found)
    path = write(
        "warp",
        {"device": str(device), "views": wanted.views, "side": wanted.side, "work": work(), "quality": found},
        wanted.out,
    )
    print(path)
    if _sheet(strips, path.with_suffix(".png")):
        print(path.with_suffix(".png"))


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--heads", nargs="+", default=["plain", "haired", "spectacled"], choices=list(HEADS))
    options.add_argument("--views", type=int, default=4, help="neighbours out of a quilt's 24, from its middle")
    options.add_argument("--side", type=int, default=512, help="of a sharp view; a march's is a quarter")
    options.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder for the JSON and the pictures")
    return options.parse_args()


def views_of(name: str, count: int, side: int, device: torch.device) -> Views:
    """The `count` middle ones of a quilt's views of a head."""
    yaws = np.linspace(-CONE / 2, CONE / 2, QUILT)[(QUILT - count) // 2 :][:count]
    cam2world = torch.from_numpy(np.stack([optics.orbit(yaw) for yaw in yaws])).to(device)
    intrinsics = torch.from_numpy(optics.intrinsics())[None].repeat(count, 1, 1).to(device)
    planes, decoder = planes_and_decoder(name)
    layers = (layer.to(device) for layer in vars(decoder).values())
    field = triplane.TriplaneField(planes[0].to(device), triplane.Decoder(*layers))
    raw, depth = shared_volume.march(field, cam2world, intrinsics, side // 4, Budget(min(128, side)))
    plain, surface = shared_volume.march(field, cam2world, intrinsics, side, Budget(min(160, side), 96, 24))
    origins, directions = triplane.rays(cam2world, intrinsics, side)
    wave = 2 * math.pi * WAVES * (side // 4) / (2 * optics.HALF_PICTURE)
    places = wave * (origins[:, None] + directions * surface.view(count, -1, 1))
    grain = (torch.sin(places) * torch.cos(places.roll(1, -1) + 1)).transpose(1, 2).reshape(plain.shape)
    solid = plain.amax(1, keepdim=True) > -0.95
    return Views(raw, depth, cam2world, intrinsics, plain + GRAIN * solid * grain)


def warped(known: Views, resolved: Resolved) -> tuple[Tensor, float]:
    """All views, and the seconds of a second call."""
    warping = Warping(Warp(len(known.raw), resolved), known.raw.device)
    given = known.raw, known.depth, known.cam2world, known.intrinsics, picked(known.sharp, resolved)
    warping(*given)
    _wait(known.raw)
    begun = time.perf_counter()
    made = warping(*given)
    _wait(made)
    return made, time.perf_counter() - begun


def quality(name: str, resolved: Resolved, known: Views, made: Tensor, seconds: float) -> Quality:
    between = [view for view in range(len(made)) if view not in resolved.of(len(made))]
    soft, true = enlarged(known)[between], known.sharp[between]
    sides = {key: [round(number, 4) for number in measure(pictures, true)]
             for key, measure, pictures in (("psnr_db", psnr, made[between]), ("ssim", ssim, made[between]),
                                            ("enlarged_psnr_db", psnr, soft), ("enlarged_ssim", ssim, soft))}  # fmt: skip
    return Quality(name, resolved.value, **sides, seconds=round(seconds, 3))


def enlarged(known: Views) -> Tensor:
    return F.interpolate(known.raw, size=known.sharp.shape[-2:], mode="bilinear", align_corners=False)


def psnr(pictures: Tensor, true: Tensor) -> list[float]:
    """Of each of V pictures of -1..1."""
    return (10 * torch.log10(4 / (pictures - true).square().mean((1, 2, 3)))).tolist()


def ssim(pictures: Tensor, true: Tensor) -> list[float]:
    """Of each of V pictures' grey, over Gaussian windows of 11 pixels (Wang et al. 2004)."""
    at = torch.arange(-5, 6, device=true.device)
    bell = torch.exp(-(at**2) / (2 * 1.5**2))
    window = (bell[:, None] * bell)[None, None] / bell.sum() ** 2

    def blurred(picture: Tensor) -> Tensor:
        return F.conv2d(picture, window)

    one, other = ((part.clamp(-1, 1).mean(1, keepdim=True) + 1) / 2 for part in (pictures, true))
    mean, mean_too = blurred(one), blurred(other)
    spread, spread_too = blurred(one**2) - mean**2, blurred(other**2) - mean_too**2
    shared = blurred(one * other) - mean * mean_too
    small, small_too = 0.01**2, 0.03**2
    likeness = (2 * mean * mean_too + small) * (2 * shared + small_too)
    return (likeness / ((mean**2 + mean_too**2 + small) * (spread + spread_too + small_too))).mean((1, 2, 3)).tolist()


def work() -> list[dict[str, Any]]:
    """Multiply-accumulates of a driven frame of a quilt by each choice, super-resolution's counted at full size; warping has
    next to none, but goes over pictures in memory."""
    with torch.device("meta"), FlopCounterMode(display=False) as counting:
        SuperResolution(Architecture()).requires_grad_(False)(torch.empty(1, 3, 128, 128))
    of_one = counting.get_total_flops() / 2
    every = DRIVE_MACS + QUILT * VIEW_MACS
    rows = []
    for resolved in Resolved:
        pictures = len(resolved.of(QUILT))
        macs = every - (QUILT - pictures) * of_one
        rows.append(
            {
                "resolved": resolved.value,
                "pictures": pictures,
                "tmac": round(macs / 1e12, 3),
                "share": round(macs / every, 3),
            }
        )
    return rows


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)


def _show(found: list[Quality]) -> None:
    rows = [[f"{one.head}, {one.resolved}", *(f"{min(part):.1f} .. {max(part):.1f}" for part in (one.psnr_db, one.enlarged_psnr_db)),
             *(f"{min(part):.3f} .. {max(part):.3f}" for part in (one.ssim, one.enlarged_ssim)), f"{1e3 * one.seconds:.0f}"]
            for one in found]  # fmt: skip
    headings = ["head, view super-resolved", "PSNR dB", "enlarged", "SSIM", "enlarged", "ms"]
    show(
        "Views between, against super-resolving every view",
        headings,
        rows,
        "least .. most of the views that are warped",
    )


def _sheet(strips: list[tuple[str, Resolved, Views, Tensor]], path: Path) -> bool:
    """A row for each head: a view between, merely enlarged, warped from every second, every third, and as it ought to be."""
    plot = pyplot()
    if plot is None:
        return False
    names = list(dict.fromkeys(name for name, *_ in strips))
    figure, axes = plot.subplots(len(names), 5, figsize=(16, 3.5 * len(names)), layout="constrained", squeeze=False)
    for row, name in enumerate(names):
        known = next(views for of, _, views, _ in strips if of == name)
        second, third = (made for of, _, _, made in strips if of == name)
        view = 1  # warped in either case
        pictures = {"march, enlarged": enlarged(known)[view], "from every second view": second[view],
                    "from every third view": third[view], "super-resolved (the stand-in)": known.sharp[view]}  # fmt: skip
        for column, (title, picture) in enumerate(pictures.items()):
            _draw(axes[row, column], picture, f"{name}: {title}" if column == 0 else title)
        off = (third[view] - known.sharp[view]).abs().amax(0).cpu()
        axes[row, 4].imshow(off, vmin=0, vmax=0.5, cmap="magma")
        axes[row, 4].set_title("from every third: off by (white: a quarter of the range)", fontsize=8.5)
        axes[row, 4].axis("off")
    figure.savefig(path, dpi=110)
    plot.close(figure)
    return True


def _draw(axis: Any, picture: Tensor, title: str) -> None:
    side = picture.shape[-1]
    face = picture[:, side // 5 : side * 7 // 10, side // 4 : side * 3 // 4]
    axis.imshow(((face + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu(), interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.axis("off")


if __name__ == "__main__":
    main()
