"""Simulate: what 1 to 16 GPUs would do for several callers, in virtual time, from measured or assumed stage times.

python -m benchmarks.simulate                                   assumed: an H200 at half of its arithmetic
python -m benchmarks.simulate --times results/views_per_second_....json
python -m benchmarks.simulate --placement paper --callers 2     one placement, and its timeline
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.lib.floor import DRIVE_MACS, FLOPS, VIEW_MACS
from benchmarks.lib.harness import RESULTS, parser, pyplot, show, write
from benchmarks.simulation.simulation import GPU, SETTLED_AFTER, Load, Outcome, gpus, planned, simulated
from benchmarks.simulation.timeline import draw, panel
from benchmarks.simulation.virtual import Costs
from engines.voodoo3d.engine import Voodoo3d
from pipeline.devices.planner import chosen

OBSERVING, COMPOSING, ENCODING = 0.007, 0.001, 0.004
"""Seconds. Assumed where nothing was measured: MediaPipe as on one EPYC core, a quilt of 24 views of 512 by its bytes, and NVENC."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = "osD^vP"


def assumed(share: float) -> Costs:
    """An H200 that reaches `share` of its arithmetic's floor (benchmarks/lib/floor.py)."""
    return Costs(
        preprocess=OBSERVING,
        drive=2 * DRIVE_MACS / FLOPS / share,
        render=0.0,
        per_view=2 * VIEW_MACS / FLOPS / share,
        compose=COMPOSING,
        encode=ENCODING,
    )


def measured(path: Path) -> Costs:
    """The costs that `path` holds: "costs_ms" as views_per_second writes it."""
    found = json.loads(path.read_text()).get("costs_ms")
    if not found:
        sys.exit(f"{path} holds no costs_ms; python -m benchmarks.views_per_second writes a file that does")
    return Costs(**{stage: milliseconds / 1e3 for stage, milliseconds in found.items()})


def main() -> None:
    wanted = _parsed()
    costs = measured(wanted.times) if wanted.times else assumed(wanted.share)
    source = wanted.times.name if wanted.times else f"assumed: {GPU} at {wanted.share:.0%} of its arithmetic"
    if wanted.placement:
        _one(wanted, costs, source)
    else:
        _all(wanted, costs, source)


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--times", type=Path, help="a result of views_per_second with measured costs")
    add("--share", type=float, default=0.5, help="of the arithmetic's floor that is assumed without --times")
    add("--gpus", type=int, nargs="+", default=list(range(1, 17)), help="how many")
    add("--callers", type=int, nargs="+", default=[1, 2, 4, 8], help="how many at once")
    add("--camera", type=float, default=60.0, help="frames a second that each camera takes")
    add("--views", type=int, default=24)
    add("--placement", help="one placement instead: a preset's name or a file")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON and the pictures")
    return options.parse_args()


def _all(wanted: argparse.Namespace, costs: Costs, source: str) -> None:
    cells = []
    for count in wanted.gpus:
        placement = planned(count, wanted.views)
        for callers in wanted.callers:
            outcome = simulated(placement, costs, Load(callers, wanted.camera, wanted.views))
            cells.append((count, placement, callers, outcome))
    title = f"{wanted.views} views, cameras at {wanted.camera:g} fps; {source}"
    rows = []
    for count in wanted.gpus:
        mine = [outcome for number, _, _, outcome in cells if number == count]
        rows.append([str(count), *(f"{one.fps:.1f} / {one.age.p95:.0f}" for one in mine), _busiest(mine[-1])])
    headings = ["GPUs", *(f"{callers} caller{'s' * (callers > 1)}" for callers in wanted.callers), "the bottleneck"]
    show(title, headings, rows, "pictures a second of each caller / age of the picture, p95 ms")
    facts = [
        {"gpus": count, "placement": asdict(placement), "callers": callers, **_facts(outcome)}
        for count, placement, callers, outcome in cells
    ]
    result = {"what": title, "source": source, "costs_ms": _milliseconds(costs), "cells": facts}
    path = write("simulation", result, wanted.out)
    print(path)
    if _picture(title, [(count, callers, outcome) for count, _, callers, outcome in cells], path.with_suffix(".png")):
        print(path.with_suffix(".png"))


def _one(wanted: argparse.Namespace, costs: Costs, source: str) -> None:
    placement = chosen(wanted.placement, gpus(16), Voodoo3d.name, Voodoo3d.abilities.footprint, wanted.views).placement
    outcomes = [simulated(placement, costs, Load(callers, wanted.camera, wanted.views)) for callers in wanted.callers]
    title = f"{placement.name}: {wanted.views} views, cameras at {wanted.camera:g} fps; {source}"
    rows = [
        [callers, f"{one.fps:.1f}", f"{one.age.p50:.0f} / {one.age.p95:.0f}", sum(one.drops.values()), _busiest(one)]
        for callers, one in zip(wanted.callers, outcomes, strict=True)
    ]
    show(title, ["callers", "fps of each", "age p50 / p95 ms", "dropped", "the bottleneck"], rows)
    name = f"simulation_{Path(wanted.placement).stem}"
    result = {"what": title, "source": source, "costs_ms": _milliseconds(costs), "placement": asdict(placement)}
    facts = [{"callers": callers} | _facts(outcome) for callers, outcome in zip(wanted.callers, outcomes, strict=True)]
    path = write(name, result | {"cells": facts}, wanted.out)
    print(path)
    panels = [
        panel(f"{callers} caller{'s' * (callers > 1)}: {one.fps:.1f} fps each", placement, one)
        for callers, one in zip(wanted.callers[:2], outcomes, strict=False)
    ]
    length = max(3.2 * outcomes[0].age.p50, *(2.2 * one.age.p50 for one in outcomes[:2])) / 1e3  # a whole frame in each
    if draw(panels, SETTLED_AFTER, length, title, path.with_suffix(".png")):
        print(path.with_suffix(".png"))


def _busiest(outcome: Outcome) -> str:
    device = max(outcome.busy, key=lambda name: outcome.busy[name])
    return f"{device} {outcome.busy[device]:.0%}"


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "fps": outcome.fps,
        "slowest_fps": outcome.slowest_fps,
        "age_ms": outcome.age,
        "drops": outcome.drops,
        "busy": outcome.busy,
    }


def _milliseconds(costs: Costs) -> dict[str, float]:
    return {stage: round(1e3 * seconds, 4) for stage, seconds in asdict(costs).items()}


def _picture(title: str, cells: list[tuple[int, int, Outcome]], path: Path) -> bool:
    """Frames a second and age over the number of GPUs, a line for each number of callers."""
    plot = pyplot()
    if plot is None:
        return False
    figure, axes = plot.subplots(1, 2, figsize=(11.5, 4.2), layout="constrained")
    for number, callers in enumerate(dict.fromkeys(callers for _, callers, _ in cells)):
        mine = [(count, outcome) for count, of, outcome in cells if of == callers]
        style = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6], "ms": 5, "lw": 1.6}
        label = f"{callers} caller{'s' * (callers > 1)}"
        axes[0].plot([count for count, _ in mine], [one.fps for _, one in mine], label=label, **style)
        axes[1].plot([count for count, _ in mine], [one.age.p95 for _, one in mine], label=label, **style)
    axes[0].set_title("pictures a second, each caller", loc="left", fontsize=10.5)
    axes[0].axhline(25, color="0.6", lw=0.9, ls=(0, (4, 3)))
    axes[0].annotate(
        "25 fps: the paper's seven GPUs",
        (max(wanted for wanted, _, _ in cells), 25),
        (0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="0.4",
    )
    axes[1].set_title("age of the encoded picture, p95 ms", loc="left", fontsize=10.5)
    for axis in axes:
        axis.set_ylim(0, None)
        axis.set_xticks(sorted({count for count, _, _ in cells}))
        axis.set_xlabel("GPUs")
        axis.grid(color="#e8e8e8", lw=0.7)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False)
    figure.suptitle(f"Simulated: {title}", x=0.01, ha="left", fontsize=11.5, fontweight="bold")
    figure.savefig(path, dpi=120)
    plot.close(figure)
    return True


if __name__ == "__main__":
    main()
