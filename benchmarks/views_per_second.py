"""Views per second: what one device does for one frame, network by network, and how many frames several callers get.

    python -m benchmarks.views_per_second --synthetic-weights --placement one-gpu --callers 1 2 4
    python -m benchmarks.views_per_second --synthetic-weights --runtime eager graphs --sampling exact shared-volume
    python -m benchmarks.views_per_second --synthetic-weights --resolved every second third --seams kernels compiled
    python -m benchmarks.views_per_second --synthetic-weights --small --views 6 --frames 5     to see that it works

First every combination of runtime, precision, sampling, batch and of how super-resolution is done on one device, a frame at a
time, nothing overlapping. Then the fastest of each sampling and choice of views with the placement's session and executor, as
fast as it goes. Faces are invented; the engine is VOODOO 3D.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmarks import calls
from benchmarks.calls import Setting, square_screen
from benchmarks.device_times import DeviceTimes, Spread, Timed
from benchmarks.faces import INVENTED, Inventing, blank_frames, invented
from benchmarks.floor import floor_ms
from benchmarks.harness import RESULTS, parser, pyplot, show, write
from benchmarks.simulate import ENCODING, OBSERVING
from display.colour import Layout, converted
from display.label import mark
from display.optics import fan
from display.quilt import compose
from display.screen import Screen
from engines.runtime import AUTO, PRECISION, RUNTIME, Run, Runtime, Stage, available, choose, chosen_precision, graphs
from engines.shared_volume import Sampling
from engines.voodoo3d import checkpoint, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.carry import Resolved
from engines.voodoo3d.engine import Voodoo3d, pictures_at_once
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import Voodoo3D
from engines.weights import SYNTHETIC
from pipeline.transfer import Landing

WHOLES = ("drive", "render", "frame")
"Parts of a frame that hold others."
KERNELS, COMPILER, TORCH = "kernels", "compiled", "torch"


@dataclass(frozen=True)
class Way:
    """One way to run the networks."""

    runtime: str
    precision: str
    sampling: str
    at_once: int
    "Views super-resolved together; 0: as many as suit the device."
    resolved: str = Resolved.EVERY.value
    "Which views are super-resolved."
    seams: str = KERNELS
    "What does the pointwise steps of super-resolution in graphs; the product's sessions have kernels."

    def __str__(self) -> str:
        batch = f", {self.at_once} at once" if self.at_once else ""
        sharp = f", {self.resolved} view" if self.resolved != Resolved.EVERY.value else ""
        seams = f", {self.seams}" if self.seams != KERNELS else ""
        return f"{self.runtime}, {self.precision}, {self.sampling}{batch}{sharp}{seams}"


@dataclass(frozen=True)
class OneFrame:
    """What one device does for one frame, nothing overlapping."""

    way: Way
    views: int
    parts_ms: dict[str, Spread]
    "The verbs, the networks within them, and the whole frame from the host's side."
    fps: float
    views_per_second: float
    share_of_floor: float | None
    "Of the H200's arithmetic (benchmarks/floor.py); None for a network of another size, or if not every view is super-resolved."
    peak_mib: float
    "Most device memory that tensors held."
    costs_ms: dict[str, float]
    "For benchmarks.simulate; `preprocess` and `encode` are its assumptions, the rest was measured here."
    prepared_s: float
    "Compiling, recording and the first frame."
    ran_by: dict[str, str]
    "Network -> what really ran it, after any falling back."


def main() -> None:
    wanted = _parsed()
    if wanted.synthetic_weights or wanted.small:
        os.environ[SYNTHETIC] = "1"
    target = square_screen(wanted.views, wanted.tile)
    device = torch.device("cuda", 0) if torch.cuda.is_available() and not wanted.cpu else torch.device("cpu")
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    what = f"voodoo3d, {target.views} views of {target.tile_width}x{target.tile_height}, {machine}"
    result: dict[str, Any] = {"what": what, "frames": wanted.frames, "warm_up": wanted.warm_up, "views": target.views}
    name = f"views_per_second_{target.name}_{Path(wanted.placement).stem}" + ("_small" if wanted.small else "")
    path = wanted.out / f"{name}.json"
    frames: list[OneFrame] = []
    for frame in _measured(wanted, target, device):
        frames.append(frame)  # written at once: who is cut off by a time box has had the rest
        quickest = min(frames, key=lambda one: one.parts_ms["frame"].p50)
        result |= {"ways": frames, "costs_ms": quickest.costs_ms}
        write(name, result, wanted.out)
    assert frames, "nothing could be measured"
    _show_frames(what, frames)
    best = [min(group, key=lambda one: one.parts_ms["frame"].p50) for group in _by_kind(frames)]
    _show_parts(best)
    if _picture(what, best, path.with_suffix(".png")):
        print(path.with_suffix(".png"))
    several: list[dict[str, Any]] = []
    for way in [one.way for one in best if one.way.seams == KERNELS]:
        for fared in several_callers(way, [callers for callers in wanted.callers if callers], target, wanted):
            several.append(fared)
            print(f"{fared['callers']} callers, {way}: {fared['fps']:.1f} fps", flush=True)
            write(name, result | {"calls": several}, wanted.out)
    if several:
        _show_calls(what, several)
    print(path)


def _measured(wanted: argparse.Namespace, target: Screen, device: torch.device) -> Iterator[OneFrame]:
    """Every way that can be measured within the budget; one that fails does not take the others along."""
    begun = time.monotonic()
    for way in _ways(wanted, device):
        if time.monotonic() - begun > wanted.budget:
            print(f"{wanted.budget:g} s are over; left out: {way} and what follows", flush=True)
            return
        try:
            frame = one_frame(way, target, device, wanted)
        except (RuntimeError, torch.OutOfMemoryError) as failure:
            print(f"{way}: {type(failure).__name__}: {failure}".splitlines()[0], flush=True)
            continue
        print(f"{way}: {frame.parts_ms['frame'].p50:.1f} ms a frame", flush=True)
        yield frame


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--runtime", nargs="+", default=[AUTO], help="how networks are run: eager, graphs, trt, auto, all")
    add("--precision", nargs="+", default=[AUTO], help="what networks compute in: float32, bfloat16, float16, auto")
    add("--sampling", nargs="+", default=[each.value for each in Sampling], choices=[each.value for each in Sampling])
    add("--at-once", nargs="+", type=int, default=[0], help="views super-resolved together; 0: what suits the device")
    add("--resolved", nargs="+", default=[Resolved.EVERY.value], choices=[each.value for each in Resolved],
        help="which views are super-resolved; the others are carried over")  # fmt: skip
    add("--seams", nargs="+", default=[KERNELS], choices=[KERNELS, COMPILER, TORCH],
        help="what does the pointwise steps of super-resolution in graphs")  # fmt: skip
    add("--callers", nargs="+", type=int, default=[1], help="how many at once; 0 leaves the sessions out")
    add("--placement", default="one-gpu" if torch.cuda.is_available() else "cpu", help="where the sessions' stages run")
    add("--views", type=int, default=24)
    add("--tile", type=int, default=512, help="side of a view in pixels")
    add("--frames", type=int, default=60, help="measured of each way, and of each caller")
    add("--warm-up", type=int, default=5, help="frames that are run first and not measured")
    add("--repeats", type=int, default=3, help="of the sessions' runs")
    add("--budget", type=float, default=3600.0, help="seconds after which no further way is begun")
    add("--synthetic-weights", action="store_true", help="run without weights: time is the same")
    add("--small", action="store_true", help="a small network, to see that everything works")
    add("--cpu", action="store_true", help="leave a GPU alone")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    return options.parse_args()


def _ways(wanted: argparse.Namespace, device: torch.device) -> Iterator[Way]:
    """Every combination once, by what is really run: "auto" is a runtime and a precision of this device."""
    runtimes = available(device) if "all" in wanted.runtime else [choose(name, device).name for name in wanted.runtime]
    precisions = [chosen_precision(name, device).value for name in wanted.precision]
    batches: list[int] = wanted.at_once
    choices = dict.fromkeys(product(runtimes, precisions, wanted.sampling, wanted.resolved, wanted.seams))
    for at_once in dict.fromkeys(batches):
        for runtime, precision, sampling, resolved, seams in choices:
            if seams == KERNELS or runtime == "graphs":
                yield Way(runtime, precision, sampling, at_once, resolved, seams)


def _runtime(way: Way, device: torch.device) -> Runtime:
    if way.seams == COMPILER:
        return graphs.Graphs(graphs.whole(device), graphs.COMPILED | {"superresolution"})
    return Unfused(choose(way.runtime, device)) if way.seams == TORCH else choose(way.runtime, device)


class Unfused:
    """Graphs that do super-resolution without kernels of our own."""

    name: ClassVar[str] = "graphs"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def prepare(self, stage: Stage) -> Run:
        return self._runtime.prepare(replace(stage, fused=None) if stage.name == "superresolution" else stage)


def one_frame(way: Way, target: Screen, device: torch.device, wanted: argparse.Namespace) -> OneFrame:
    """Run `way` a frame at a time: all of `target`, and a quarter of its views, by which the cost of a view is known."""
    times, few = DeviceTimes(device), DeviceTimes(device)
    begun = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    timed = Timed(_runtime(way, device), times)
    engine = _engine(way, device, wanted.small, timed)
    avatar = engine.enrol(invented(0))
    prepared = 0.0
    for number in range(wanted.warm_up + wanted.frames):
        if number == wanted.warm_up:
            times.forget()
        _whole_frame(engine, avatar, number, target, times)
        prepared = prepared or time.perf_counter() - begun
    quarter = fan(target).split(4)[0]
    state = engine.drive(avatar, invented(1))
    for number in range(wanted.warm_up + max(3, wanted.frames // 4)):
        if number == wanted.warm_up:
            few.forget()
        with few.frame():
            engine.render(state, quarter)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    parts = times.parts
    milliseconds = parts["frame"].p50
    return OneFrame(
        way,
        target.views,
        parts,
        fps=round(1e3 / milliseconds, 2),
        views_per_second=round(1e3 * target.views / milliseconds, 1),
        share_of_floor=None
        if wanted.small or way.resolved != Resolved.EVERY.value
        else round(floor_ms(target.views) / milliseconds, 3),
        peak_mib=round(peak, 1),
        costs_ms=_costs(parts, few.parts["frame"].p50, target.views, len(quarter)),
        prepared_s=round(prepared, 1),
        ran_by=timed.ran_by,
    )


def _engine(way: Way, device: torch.device, small: bool, runtime: Runtime) -> Voodoo3d:
    """An engine of its own for `way` on `device`."""
    precision = chosen_precision(way.precision, device)
    arch = Architecture(64, 16) if small else Architecture()
    if os.environ.get(SYNTHETIC) == "1":
        network = synthetic.network(arch, device, precision.dtype)
    else:
        network = Voodoo3D.from_checkpoint(checkpoint.PUBLISHED.place, device, precision.dtype)
    resolved = Resolved(way.resolved)
    network.run_by(runtime, way.at_once or pictures_at_once(resolved, device))
    samples = Samples(24, 24) if small else Samples()
    return Voodoo3d(network, samples=samples, sampling=Sampling(way.sampling), resolved=resolved)


def _whole_frame(engine: Voodoo3d, avatar: Any, number: int, target: Screen, times: DeviceTimes) -> None:
    """What the pipeline does for a frame after the face was found and before it is encoded."""
    with times.frame():
        with times.part("drive"):
            state = engine.drive(avatar, _FACES[number % INVENTED])
        with times.part("render"):
            views = engine.render(state, fan(target))
        with times.part("compose"):
            quilt = compose([views], target, mark(target, str(views.images.device)))
        with times.part("colour"):
            yuv = converted(quilt.pixels, Layout.NV12)
        with times.part("landing"):
            landing = Landing(yuv)
        landing.array()


_FACES = [invented(number) for number in range(INVENTED)]


def _costs(parts: dict[str, Spread], quarter_ms: float, views: int, few: int) -> dict[str, float]:
    """A renderer's time as a line over its views, through two points; what a frame costs otherwise."""
    render = parts["render"].p50
    per_view = max(0.0, (render - quarter_ms) / (views - few)) if views > few else render / views
    compose_ms = sum(parts[name].p50 for name in ("compose", "colour", "landing"))
    return {
        "preprocess": 1e3 * OBSERVING,
        "drive": parts["drive"].p50,
        "render": round(max(0.0, render - views * per_view), 4),
        "per_view": round(per_view, 4),
        "compose": round(compose_ms, 4),
        "encode": 1e3 * ENCODING,
    }


def several_callers(
    way: Way, numbers: Sequence[int], target: Screen, wanted: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Each number of callers at once through the product's sessions, as fast as it goes; the median of the repeats."""
    if not numbers:
        return
    os.environ[RUNTIME], os.environ[PRECISION] = way.runtime, way.precision
    cpu = torch.device("cpu")
    engine = _engine(way, cpu, True, choose(way.runtime, cpu)) if wanted.small else _for_all_devices(way)
    placement = calls.placement_for(wanted.placement, target.views, engine)
    engine.warm_up()
    setting = Setting(
        engine, engine.enrol(invented(0)), Inventing, target, placement, blank_frames(wanted.frames), "invented"
    )
    for callers in numbers:
        calls.run(setting, callers, setting.frames[: max(4, wanted.warm_up)], live=False, encoded=False)
        runs = sorted(
            (calls.run(setting, callers, setting.frames, live=False, encoded=False) for _ in range(wanted.repeats)),
            key=lambda run: run.fps,
        )
        middle = runs[len(runs) // 2]
        facts = {field: getattr(middle, field) for field in middle.__dataclass_fields__}
        spread = {"fps_spread": [runs[0].fps, runs[-1].fps]}
        yield {"way": way, "callers": callers, "placement": placement.name} | facts | spread


def _for_all_devices(way: Way) -> Voodoo3d:
    return Voodoo3d(
        sampling=Sampling(way.sampling),
        runtime=way.runtime,
        precision=way.precision,
        views_at_once=way.at_once or None,
        resolved=Resolved(way.resolved),
    )


def _by_kind(frames: list[OneFrame]) -> list[list[OneFrame]]:
    """Of the same pictures, if one does not look too closely."""
    kinds = dict.fromkeys((one.way.sampling, one.way.resolved) for one in frames)
    return [[one for one in frames if (one.way.sampling, one.way.resolved) == kind] for kind in kinds]


def _show_frames(what: str, frames: list[OneFrame]) -> None:
    rows = []
    for one in frames:
        frame, share = one.parts_ms["frame"], "-" if one.share_of_floor is None else f"{one.share_of_floor:.0%}"
        times = (f"{frame.p50:.1f} / {frame.p95:.1f}", f"{one.fps:.1f}", share)
        rows.append([str(one.way), *times, f"{one.peak_mib:.0f}", f"{one.prepared_s:.0f}"])
    headings = ["a frame at a time", "ms p50 / p95", "fps", "of floor", "MiB", "prepared in s"]
    show(what, headings, rows, "milliseconds from the host's side, the device waited for; nothing overlaps")


def _show_parts(best: list[OneFrame]) -> None:
    """Where the time goes in the quickest way of each kind."""
    parts = [{_column(name): part for name, part in one.parts_ms.items()} for one in best]
    rows = []
    for name in (*PART_COLOURS, *WHOLES):
        cells = [one.get(name) for one in parts]
        if any(cells):
            rows.append([name, *(f"{cell.p50:.2f} / {cell.p95:.2f}" if cell else "-" for cell in cells)])
    show("where the time goes", ["milliseconds: p50 / p95", *(str(one.way) for one in best)], rows)


def _column(part: str) -> str:
    """Marches of every kind stand in two columns, the driver's and the views', and carrying in one."""
    if part.startswith("carry of"):
        return "carry"
    if "march of" not in part:
        return part
    return "driver's march" if part.endswith("march of 1") else "march"


def _show_calls(what: str, several: list[dict[str, Any]]) -> None:
    rows = [
        [
            f"{one['callers']} callers, {one['way']}",
            f"{one['fps']:.1f}",
            " ".join(f"{each:.1f}" for each in one["each_fps"]),
            one["views_per_second"],
            f"{one['age_ms'].p50:.0f} / {one['age_ms'].p95:.0f}",
            sum(one["drops"].values()),
        ]
        for one in several
    ]
    headings = ["as fast as it goes", "fps, all", "each", "views a second", "age p50 / p95 ms", "dropped"]
    show(f"{what}, {several[0]['placement']}", headings, rows)


PART_COLOURS = {
    "lift": "#0072b2",
    "driver's march": "#56b4e9",
    "expression": "#009e73",
    "march": "#e69f00",
    "superresolution": "#d55e00",
    "carry": "#882255",
    "compose": "#cc79a7",
    "colour": "#f0e442",
    "landing": "#999999",
}
"In the order of a frame's way."


def _picture(what: str, best: list[OneFrame], path: Path) -> bool:
    """The fastest way of each sampling: where the milliseconds go, and the floor."""
    plot = pyplot()
    if plot is None:
        return False
    figure, axis = plot.subplots(figsize=(10.5, 1.6 + 0.8 * len(best)), layout="constrained")
    present = {_column(part) for one in best for part in one.parts_ms}
    names = [name for name in PART_COLOURS if name in present]
    for row, one in enumerate(best):
        left = 0.0
        parts = {_column(part): spread for part, spread in one.parts_ms.items()}
        for name in names:
            width = parts[name].p50 if name in parts else 0.0
            label = name if row == 0 else None
            axis.barh(row, width, left=left, height=0.55, color=PART_COLOURS[name], label=label)
            left += width
        whole = one.parts_ms["frame"].p50
        axis.barh(
            row, max(0.0, whole - left), left=left, height=0.55, color="#e6e6e6", label="the rest" if row == 0 else None
        )
        axis.annotate(
            f"{whole:.1f} ms", (max(whole, left), row), (6, 0), textcoords="offset points", va="center", fontsize=9
        )
    if best[0].share_of_floor is not None:
        floor = floor_ms(best[0].views)
        axis.axvline(floor, color="#222222", lw=1.2, ls=(0, (4, 3)))
        axis.annotate(f"floor {floor:.1f} ms", (floor, -0.48), (4, 0), textcoords="offset points", fontsize=8.5)
    axis.set_yticks(range(len(best)), [str(one.way).replace(", ", "\n", 1) for one in best], fontsize=8.5)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlabel("milliseconds of one frame, nothing overlapping; medians")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    figure.suptitle(what, x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    figure.savefig(path, dpi=120)
    plot.close(figure)
    return True


if __name__ == "__main__":
    main()
