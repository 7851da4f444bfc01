"""Official structure: VOODOO 3D called the way the authors' code calls it, against this engine. Same weights, same machine.

    python -m benchmarks.official_structure                    one official call (24 would repeat it), all 24 views of ours
    python -m benchmarks.official_structure --views 6 --samples 24

The plain variant does what the published code does on every call: lifts the source twice and the driver once, marches three
times with all 32 colours, sorts and moves them, super-resolves source and view, computes the residual stages that nothing reads,
holds whole attention maps, and gives each sample convolution weights of its own. It is written from the facts about that code,
none of which is copied. Weights are synthetic: time and memory do not depend on what they show.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.lib.harness import RESULTS, write
from display.optics import Cameras, fan, intrinsics, orbit
from display.screen import PRODUCT, screen
from engines import plain_field, shared_volume, triplane
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.blocks import Attention, Residual, Stem, as_map, with_coordinates
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.superres import ModulatedConv, doubled

PICTURE = "official_structure.png"
OFFICIAL, OURS = "#b279a2", "#4c78a8"


class PlainAttention(Attention):
    """The whole attention map in memory."""

    def forward(self, x: Tensor, side: int) -> Tensor:
        batch, _, width = x.shape
        source = x if self.reduction == 1 else self.norm(self.sr(as_map(x, side)).flatten(2).transpose(1, 2))
        query = self.q(x).view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
        key, value = self.kv(source).view(batch, -1, 2, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(-1)
        return self.proj((attention @ value).transpose(1, 2).reshape(batch, -1, width))


class PlainModulatedConv(ModulatedConv):
    """Weights of its own for every sample, and one group of convolution each."""

    def forward(self, x: Tensor, latent: Tensor, upsample: bool = False) -> Tensor:
        own = self.weight * self.modulation(latent)[:, None, :, None, None]
        if self.demodulate:
            own = own * torch.rsqrt(own.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        x = doubled(x) if upsample else x
        batch, _, height, width = x.shape
        grouped = x.reshape(1, -1, height, width)
        out = F.conv2d(grouped, own.flatten(0, 1), padding=own.shape[-1] // 2, groups=batch)
        return out.view(batch, -1, *out.shape[2:])


class PlainStem(Stem):
    """ResNet-34 to its end, of which only the second stage is read."""

    unread: nn.Sequential

    def forward(self, x: Tensor) -> Tensor:
        read = super().forward(x)
        self.unread(read)
        return read


def plain_twin(network: Voodoo3D) -> Voodoo3D:
    """The same weights, in the same memory, in modules that work as plainly as the published ones."""
    twin = Voodoo3D.from_tensors(network.state_dict(), network.arch)
    plainly = {Attention: PlainAttention, ModulatedConv: PlainModulatedConv, Stem: PlainStem}
    for module in list(twin.modules()):
        if isinstance(module, Stem):
            module.add_module("unread", _unread_stages(network.arch))
        if type(module) in plainly:
            module.__class__ = plainly[type(module)]
    return twin


def _unread_stages(arch: Architecture) -> nn.Sequential:
    a, b, c = (arch.thinned(channels) for channels in (128, 256, 512))
    blocks = [Residual(a, b), *(Residual(b, b) for _ in range(5)), Residual(b, c), *(Residual(c, c) for _ in range(2))]
    return nn.Sequential(*blocks).requires_grad_(False)


@dataclass
class Measured:
    """What each stage took."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    "Most memory beyond what was held before the stage; sampled every 5 ms, so a little under the truth."

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        process, over = psutil.Process(), threading.Event()
        before = peak = process.memory_info().rss

        def watch() -> None:
            nonlocal peak
            while not over.wait(0.005):
                peak = max(peak, process.memory_info().rss)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
            self.cpu[name] = self.cpu.get(name, 0.0) + time.process_time() - cpu
            over.set()
            watcher.join()
            self.peak_mib[name] = max(self.peak_mib.get(name, 0.0), (peak - before) / 2**20)


def official_call(
    network: Voodoo3D, source: Tensor, driver: Tensor, camera: tuple[Tensor, Tensor], samples: int, took: Measured
) -> tuple[Tensor, Tensor]:
    """One view as the published `forward` makes it: (image_raw, image). Pictures are -1..1."""
    side, frontal = network.arch.marched, network.frontal()

    def march(planes: Tensor, view: tuple[Tensor, Tensor]) -> Tensor:
        origins, directions = triplane.rays(*view, side)
        seen = plain_field.march(planes[0], network.decoder.scaled(), origins[0], directions[0], samples, samples)
        return seen[0].T.reshape(1, -1, side, side)[:, :3]

    def canonical(picture: Tensor) -> tuple[Tensor, Tensor]:
        with took.stage("lift"):
            planes = network.triplane_encoder((picture + 1) / 2)
        with took.stage("march"):
            return planes, march(planes, frontal)

    _, source_raw = canonical(source)
    with took.stage("super-resolution"):
        source01 = (network.superresolution(source_raw) + 1) / 2
    _, driver_raw = canonical(driver)
    with took.stage("lift"):
        planes = network.triplane_encoder((source + 1) / 2)
    with took.stage("transfer"):
        driver01 = (F.interpolate(driver_raw, scale_factor=4) + 1) / 2
        planes = planes + _plain_transfer(network, source01, driver01, planes)
    with took.stage("march"):
        raw = march(planes, camera)
    with took.stage("super-resolution"):
        return raw, network.superresolution(raw)


def _plain_transfer(network: Voodoo3D, source01: Tensor, driver01: Tensor, planes: Tensor) -> Tensor:
    transfer = network.exp_transfer
    features = (
        transfer.source_feat_extractor(with_coordinates(source01)),
        transfer.driver_feat_extractor(with_coordinates(driver01)),
        transfer.triplane_descriptor(planes.flatten(1, 2)),
    )
    tokens = transfer.patch_embed(torch.cat(features, 1))
    tokens = transfer.block2(transfer.block1(tokens, transfer.side), transfer.side)
    return transfer.to_planes(tokens).unflatten(1, (3, -1))


def our_frame(
    network: Voodoo3D, source: Tensor, driver: Tensor, cameras: Cameras, samples: int, took: Measured
) -> tuple[Tensor, Tensor, Tensor]:
    """Enrolment, one driven frame, all its views: (planes, image_raw, image)."""
    with took.stage("enrol (once)"):
        own = network.lift((source + 1) / 2)
        share = network.source_share(network.source_frontal(own, samples, samples), own)
    with took.stage("lift"):
        lifted = network.lift((driver + 1) / 2)
    with took.stage("driver's march"):
        driver01 = network.driver_frontal(lifted, samples, samples)
    with took.stage("transfer"):
        planes = own + network.expression(share, driver01)
    cam2world, lens = torch.from_numpy(cameras.cam2world), torch.from_numpy(cameras.intrinsics)
    with took.stage("march"):
        raw, _ = network.march(planes, cam2world, lens, network.arch.marched, samples, samples, 3)
    with took.stage("super-resolution"):
        return planes, raw, network.superresolve(raw)


def psnr(one: Tensor, other: Tensor) -> float:
    """dB, of pictures that span -1..1."""
    return float(10 * torch.log10(4 / (one - other).square().mean().clamp(min=1e-20)))


@torch.inference_mode()
def compare(arch: Architecture, views: int, calls: int, samples: int) -> dict[str, Any]:
    """Run both ways; every duration in seconds. Processor time is what to read where other programs share the cores."""
    network = synthetic.network(arch)
    twin = plain_twin(network)
    draw = torch.Generator().manual_seed(3)
    source, driver = (
        F.interpolate(torch.randn(1, 3, 16, 16, generator=draw), size=arch.image, mode="bicubic").tanh()
        for _ in range(2)
    )
    cameras = _spread(views)
    ours, official = Measured(), Measured()
    planes, raw, images = our_frame(network, source, driver, cameras, samples, ours)
    agreement = []
    for view in np.linspace(0, views - 1, calls).round().astype(int):
        pose = torch.from_numpy(cameras.cam2world[view : view + 1])
        lens = torch.from_numpy(cameras.intrinsics[:1])
        plain_raw, plain_image = official_call(twin, source, driver, (pose, lens), samples, official)
        agreement.append(
            {
                "view": int(view),
                "raw_db": psnr(raw[view, None], plain_raw),
                "image_db": psnr(images[view, None], plain_image),
            }
        )
    shared = Measured()
    with shared.stage("march, shared volume"):
        budget = shared_volume.Budget(arch.marched, samples, min(40, samples))
        shared_volume.march(
            network.field(planes),
            torch.from_numpy(cameras.cam2world),
            torch.from_numpy(cameras.intrinsics),
            arch.marched,
            budget,
        )
    once = "enrol (once)"
    per_frame = {kind: sum(s for name, s in getattr(ours, kind).items() if name != once) for kind in ("wall", "cpu")}
    whole = {kind: sum(getattr(official, kind).values()) / calls * views for kind in ("wall", "cpu")}
    return {
        "views": views,
        "samples": f"{samples}+{samples}",
        "threads": torch.get_num_threads(),
        "image": arch.image,
        "official_calls_measured": calls,
        "official_note": "every view is one call and every call does the same work, so calls measured stand for all views",
        "official_seconds": whole,
        "ours_seconds": per_frame,
        "ours_enrolment_seconds": {"wall": ours.wall[once], "cpu": ours.cpu[once]},
        "speedup": {kind: whole[kind] / per_frame[kind] for kind in whole},
        "agreement": agreement,
        "official": official,
        "ours": ours,
        "shared_volume": shared,
    }


def _spread(views: int) -> Cameras:
    if views == screen(PRODUCT).views:
        return fan(screen(PRODUCT))
    poses = np.stack([orbit(yaw) for yaw in np.linspace(-17.5, 17.5, views)])
    return Cameras(poses, np.repeat(intrinsics()[None], views, 0), 256, 256)


def main(
    views: Annotated[int, typer.Option(min=1, help="Of one driven frame.")] = 24,
    calls: Annotated[int, typer.Option(min=1, help="Official calls measured; each makes one view.")] = 1,
    samples: Annotated[int, typer.Option(min=8, help="Coarse samples of a ray, and as many fine ones.")] = 96,
    small: Annotated[bool, typer.Option(help="A small network, to see that this works.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the JSON and the picture.")] = RESULTS,
) -> None:
    """24 views of one driven frame: the published code's structure against this engine."""
    result = compare(Architecture(64, 16) if small else Architecture(), views, min(calls, views), samples)
    table = Table("stage", "official, cpu s a call", f"ours, all {views} views", "peak MiB, official", "ours", box=None)
    official, ours = result["official"], result["ours"]
    for name in dict.fromkeys([*official.wall, *ours.wall]):
        cells = [_cell(part.cpu.get(name), scale) for part, scale in ((official, 1 / calls), (ours, 1))]
        cells += [_cell(part.peak_mib.get(name), 1) for part in (official, ours)]
        table.add_row(name, *cells)
    Console().print(table)
    speed, worst = result["speedup"]["cpu"], min(row["image_db"] for row in result["agreement"])
    typer.echo(f"{views} views of one frame: {speed:.1f} times less processor time, at equal output ({worst:.0f} dB)")
    written = write("official_structure", result, out)
    draw(result, out / PICTURE)
    typer.echo(f"{written}\n{out / PICTURE}")


def _cell(value: float | None, scale: float) -> str:
    return "" if value is None else f"{value * scale:.1f}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Time of all views and peak memory, stage by stage."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    official, ours = result["official"], result["ours"]
    names = list(dict.fromkeys([*official.cpu, *ours.cpu]))
    share = result["views"] / result["official_calls_measured"]
    panels: list[tuple[str, Callable[[str], tuple[float, float]]]] = [
        (
            f"processor seconds, {result['views']} views of one frame",
            lambda name: (official.cpu.get(name, 0) * share, ours.cpu.get(name, 0)),
        ),
        ("peak memory, MiB", lambda name: (official.peak_mib.get(name, 0), ours.peak_mib.get(name, 0))),
    ]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 3.6), layout="constrained")
    for axis, (title, values) in zip(axes, panels, strict=True):
        rows = np.arange(len(names))
        pairs = np.array([values(name) for name in names])
        for offset, column, colour, label in ((-0.2, 0, OFFICIAL, "official structure"), (0.2, 1, OURS, "this engine")):
            bars = axis.barh(rows + offset, pairs[:, column], 0.38, color=colour, label=label)
            axis.bar_label(bars, [f"{value:.0f}" if value else "" for value in pairs[:, column]], padding=3, fontsize=8)
        axis.set_yticks(rows, names)
        axis.invert_yaxis()
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(x=0.12)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=9, loc="lower right")
    speed = result["speedup"]["cpu"]
    figure.suptitle(
        f"VOODOO 3D, float32, CPU: {speed:.1f} times less work for the same pictures", fontsize=11, x=0.01, ha="left"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    typer.run(main)
