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
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.hot_spots import show_hot_spots
from benchmarks.gpu.one_frame import COMPILER, KERNELS, TORCH, OneFrame, Way, engine_of, one_frame, profiled
from benchmarks.lib import sessions
from benchmarks.lib.faces import Inventing, blank_frames, invented
from benchmarks.lib.floor import floor_ms
from benchmarks.lib.harness import RESULTS, parser, pyplot, show, write
from benchmarks.lib.sessions import Setting, square_screen
from display.screen import Screen
from engines.options import EngineOptions
from engines.runtime import AUTO, available, choose, chosen_precision
from engines.shared_volume import Sampling
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.warp import Resolved

WHOLES = ("drive", "render", "frame")
"Parts of a frame that hold others."


def main() -> None:
    wanted = _parsed()
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
        result |= {"calls": several}
    if wanted.profile:  # last, since nothing is lost if it fails
        found = profiled(best[0].way, target, device, wanted)
        show_hot_spots(str(best[0].way), found)
        write(name, result | {"hot_spots": found}, wanted.out)
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
        help="which views are super-resolved; the others are warped over")  # fmt: skip
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
    add("--profile", action="store_true", help="end with the kernels and calls that most of a frame's time goes into")
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


def several_callers(
    way: Way, numbers: Sequence[int], target: Screen, wanted: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Each number of callers at once through the product's sessions, as fast as it goes; the median of the repeats."""
    if not numbers:
        return
    cpu = torch.device("cpu")
    engine = (
        engine_of(way, cpu, True, choose(way.runtime, cpu), True)
        if wanted.small
        else _for_all_devices(way, wanted.synthetic_weights)
    )
    placement = sessions.placement_for(wanted.placement, target.views, engine)
    engine.warm_up()
    setting = Setting(
        engine, engine.enrol(invented(0)), Inventing, target, placement, blank_frames(wanted.frames), "invented"
    )
    for callers in numbers:
        sessions.run(setting, callers, setting.frames[: max(4, wanted.warm_up)], live=False, encoded=False)
        runs = sorted(
            (sessions.run(setting, callers, setting.frames, live=False, encoded=False) for _ in range(wanted.repeats)),
            key=lambda run: run.fps,
        )
        middle = runs[len(runs) // 2]
        facts = {field: getattr(middle, field) for field in middle.__dataclass_fields__}
        spread = {"fps_spread": [runs[0].fps, runs[-1].fps]}
        yield {"way": way, "callers": callers, "placement": placement.name} | facts | spread


def _for_all_devices(way: Way, synthetic: bool) -> Voodoo3d:
    options = EngineOptions(
        runtime=way.runtime, precision=way.precision, superresolved=way.resolved, synthetic_weights=synthetic
    )
    return Voodoo3d(options, sampling=Sampling(way.sampling), views_at_once=way.at_once or None)


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
    """Marches of every kind stand in two columns, the driver's and the views', and warping in one."""
    if part.startswith("warp of"):
        return "warp"
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
    "warp": "#882255",
    "compose": "#cc79a7",
    "colour": "#f0e442",
    "readback": "#999999",
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
