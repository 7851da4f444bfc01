"""ROME on a processor: the linear model against the full one, and 24 views of one driven frame against 24 published calls.

    python -m benchmarks.rome                    about a minute and a half on two cores
    python -m benchmarks.rome --small            a small network, to see that this works

The published structure is a call per view: every call reads the driver, deforms the head and draws it anew, standardises every
filter again, and rasterises six times besides for previews and silhouettes that nobody looks at. Every call encodes the source anew,
too, unless it is handed what an earlier one made of it: both ways are told. It is written from the facts about that code, none of
which is copied. Weights are synthetic: time does not depend on what they show.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.lib.harness import RESULTS, parser, pyplot, show, write
from engines.rome import synthetic, visible
from engines.rome.architecture import Architecture
from engines.rome.blocks import StandardisedConv, standardised
from engines.rome.flame import atlas, rotation
from engines.rome.mask import solid
from engines.rome.network import Rome
from engines.runtime.networks import smooth

WASTED = 6
"Rasterisations of the published call whose pictures nothing uses."
PUBLISHED, OURS = "#b279a2", "#4c78a8"


def main() -> None:
    wanted = _parsed()
    arch = synthetic.SMALL if wanted.small else Architecture()
    visible.compile_all()
    with torch.inference_mode():
        driving = linear_against_full(arch, wanted.repeats)
        viewing = views_against_calls(arch, wanted.views, wanted.calls)
    full, linear = (f"{median(driving[kind]['wall_s']):.3f}" for kind in ("full", "linear"))
    published, kept, ours = (f"{viewing[kind]['cpu_s']:.1f}" for kind in ("published", "published_source_kept", "ours"))
    rows = [
        ["a driven frame, s", f"full {full}", f"linear {linear}", f"{driving['ratio']:.1f}"],
        [f"{wanted.views} views, processor s", f"calls {published}", f"ours {ours}", f"{viewing['ratio']:.2f}"],
        ["the same, the source's texture kept", f"calls {kept}", f"ours {ours}", f"{viewing['ratio_source_kept']:.2f}"],
    ]
    show("ROME, float32", ["", "against", "with", "times"], rows, f"same pictures to {viewing['least_db']:.0f} dB")
    result = {"threads": torch.get_num_threads(), "image": arch.image, "driving": driving, "viewing": viewing}
    print(write("rome", result, wanted.out))
    draw(result, wanted.out / "rome.png")


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--small", action="store_true", help="a small network, to see that this works")
    add("--views", type=int, default=24, help="of one driven frame")
    add("--calls", type=int, default=2, help="published calls measured; every one does the same work")
    add("--repeats", type=int, default=5, help="of a driven frame, full and linear in turns")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    return options.parse_args()


def linear_against_full(arch: Architecture, repeats: int) -> dict[str, Any]:
    """Seconds of a driven frame: DECA's encoder and the head with its hair, by the full model and by the linear one."""
    network = synthetic.network(arch, linear=True)
    T, crop = smooth((1, 8, arch.image, arch.image), 1), _picture01(arch.crop, 2)
    coefficients = network.coefficients(_picture01(arch.image, 3))
    ways: dict[str, Callable[[], Tensor]] = {
        "full": lambda: network.deform(T, network.codes(crop)),
        "linear": lambda: network.deform_linear(coefficients, network.codes(crop)),
    }
    for way in ways.values():
        way()
    took: dict[str, dict[str, list[float]]] = {name: {"wall_s": [], "cpu_s": []} for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            took[name]["wall_s"].append(time.perf_counter() - wall)
            took[name]["cpu_s"].append(time.process_time() - cpu)
    return {**took, "ratio": median(took["full"]["wall_s"]) / median(took["linear"]["wall_s"])}


def views_against_calls(arch: Architecture, views: int, calls: int) -> dict[str, Any]:
    """Processor seconds of `views` views of one driven frame, and of as many published calls, of which `calls` are measured."""
    raw = synthetic.tensors(arch)
    network = Rome.from_tensors(raw, arch)
    source, matte, crop = _picture01(arch.image, 4), _picture01(arch.image, 5)[:, :1], _picture01(arch.crop, 2)
    T = network.texture(source, matte)
    yaws = torch.linspace(-0.305, 0.305, views)
    turns = rotation(torch.stack((0 * yaws, yaws, 0 * yaws), 1))
    _frame(network, T, crop, turns[:1])
    with _timed() as ours:
        pictures = _frame(network, T, crop, turns)
    decibels, sources, rests = [], [], []
    with _standardised_each_time(network, raw):
        for view in np.linspace(0, views - 1, calls).round().astype(int):
            with _timed() as of_source:
                network.codes(crop)
                again = network.texture(source, matte)
            with _timed() as rest:
                picture = published_call(network, again, crop, turns[view : view + 1])
            sources.append(of_source)
            rests.append(rest)
            decibels.append(_decibels(pictures[view], picture[0]))
    kept = {unit: views * median(one[unit] for one in rests) for unit in ours}
    whole = {unit: kept[unit] + views * median(one[unit] for one in sources) for unit in ours}
    return {
        "views": views,
        "calls_measured": calls,
        "note": "every view is one call and every call does the same work, so calls measured stand for all views",
        "published": whole,
        "published_source_kept": kept,
        "ours": ours,
        "least_db": min(decibels),
        "ratio": whole["cpu_s"] / ours["cpu_s"],
        "ratio_source_kept": kept["cpu_s"] / ours["cpu_s"],
    }


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds of what is done meanwhile: of the processor, and by the clock."""
    took: dict[str, float] = {}
    cpu, wall = time.process_time(), time.perf_counter()
    yield took
    took |= {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}


def _frame(network: Rome, T: Tensor, crop: Tensor, turns: Tensor) -> Tensor:
    """[V, 3, S, S]: one driven frame from V sides."""
    codes = network.codes(crop) | {"cam": torch.tensor([[5.2, 0.0, 0.02]])}
    colours, soft = network.render(T, network.deform(T, codes), codes, turns)
    mask = solid(soft)
    return colours * mask + 1 - mask


def published_call(network: Rome, T: Tensor, crop: Tensor, turn: Tensor) -> Tensor:
    """[1, 3, S, S]: what one published call does for one view of a frame, and with it what it throws away."""
    flame = network.flame
    atlas(flame.uv, flame.uv_faces, network.arch.image)
    picture = _frame(network, T, crop, turn)
    screen = flame.template[None] * 5.2 * torch.tensor([1.0, -1.0, -1.0])
    for _ in range(WASTED):
        network.seen(screen, flame.normals(flame.template[None]))
    return picture


@contextmanager
def _standardised_each_time(network: Rome, raw: Mapping[str, Tensor]) -> Iterator[None]:
    """Filters as they stand in a checkpoint (`raw`), standardised whenever they are used."""
    plain, ready = StandardisedConv.forward, {}
    for name, module in network.named_modules():
        if isinstance(module, StandardisedConv):
            ready[module], module.weight.data = module.weight.data, raw[f"{name}.weight"]

    def forward(self: StandardisedConv, input: Tensor) -> Tensor:
        return F.conv2d(input, standardised(self.weight), padding=self.padding)  # type: ignore[arg-type]

    StandardisedConv.forward = forward  # type: ignore[assignment]
    try:
        yield
    finally:
        StandardisedConv.forward = plain
        for module, weight in ready.items():
            module.weight.data = weight


def _decibels(one: Tensor, other: Tensor) -> float:
    """How far the mean error lies below 1; 120 at most, which is none."""
    return float(-10 * (one - other).square().mean().clamp(min=1e-12).log10())


def _picture01(side: int, seed: int) -> Tensor:
    return (smooth((1, 3, side, side), seed) + 1) / 2


def draw(result: dict[str, Any], path: Path) -> None:
    """Both comparisons as bars."""
    surface = pyplot()
    if surface is None:
        return
    driving, viewing = result["driving"], result["viewing"]
    panels = [
        ("a driven frame, seconds", {"full": median(driving["full"]["wall_s"]), "linear": median(driving["linear"]["wall_s"])},
         f"{driving['ratio']:.0f} times"),
        (f"{viewing['views']} views of one frame, processor seconds",
         {"published calls": viewing["published"]["cpu_s"], "source kept": viewing["published_source_kept"]["cpu_s"],
          "this engine": viewing["ours"]["cpu_s"]},
         f"{viewing['ratio']:.1f} times"),
    ]  # fmt: skip
    figure, axes = surface.subplots(1, 2, figsize=(10, 2.4), layout="constrained")
    for axis, (title, values, said) in zip(axes, panels, strict=True):
        bars = axis.barh([*values], [*values.values()], 0.6, color=[PUBLISHED] * (len(values) - 1) + [OURS])
        axis.bar_label(bars, [f"{value:.3g}" for value in values.values()], padding=3, fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set_title(f"{title}: {said} less", fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    cores = f"{result['threads']} core{'s' * (result['threads'] > 1)}"
    figure.suptitle(f"ROME, float32, {cores}", fontsize=11, x=0.01, ha="left")
    figure.savefig(path, dpi=110)
    surface.close(figure)


if __name__ == "__main__":
    main()
