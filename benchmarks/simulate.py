"""Simulate: what 1 to 16 GPUs would do for several callers, in virtual time, from measured or assumed stage times.

python -m benchmarks.simulate                                   assumed: an H200 at half of its arithmetic
python -m benchmarks.simulate --times results/views_per_second_....json
python -m benchmarks.simulate --placement paper --callers 1 2   one placement, and what its devices do when
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.lib.floor import DRIVE_MACS, FLOPS, VIEW_MACS
from benchmarks.lib.harness import RESULTS, parser, show, write
from benchmarks.simulation.simulation import GPU, SETTLED_AFTER, Load, Outcome, gpus, planned, simulated
from benchmarks.simulation.timeline import Panel, draw
from benchmarks.simulation.virtual import Costs
from engines.voodoo3d.engine import Voodoo3d
from pipeline.devices.placement import Placement
from pipeline.devices.planner import chosen

OBSERVING, COMPOSING, ENCODING = 0.007, 0.001, 0.004
"""Seconds. Assumed where nothing was measured: MediaPipe as on one EPYC core, a quilt of 24 views of 512 by its bytes, and NVENC."""
TOLD = ("fps", "slowest_fps", "age", "drops", "busy")


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
    loads = [Load(callers, wanted.camera, wanted.views) for callers in wanted.callers]
    cells = [(placement, [simulated(placement, costs, load) for load in loads]) for placement in _placements(wanted)]
    title = f"{wanted.views} views, cameras at {wanted.camera:g} fps; {source}"
    headings = ["GPUs", "placement", *(_callers(callers) for callers in wanted.callers), "the bottleneck"]
    rows = [
        [len(place.gpus), place.name, *(f"{one.fps:.1f} / {one.age.p95:.0f}" for one in mine), _busiest(mine[-1])]
        for place, mine in cells
    ]
    show(title, headings, rows, "pictures a second of each caller / age of the picture, p95 ms")
    facts = [
        {"placement": asdict(placement), "callers": load.callers} | {name: getattr(outcome, name) for name in TOLD}
        for placement, mine in cells
        for load, outcome in zip(loads, mine, strict=True)
    ]
    costs_ms = {stage: round(1e3 * seconds, 4) for stage, seconds in asdict(costs).items()}
    name = f"simulation_{Path(wanted.placement).stem}" if wanted.placement else "simulation"
    path = write(name, {"what": title, "source": source, "costs_ms": costs_ms, "cells": facts}, wanted.out)
    print(path)
    if wanted.placement and _picture(*cells[0], wanted.callers, title, path.with_suffix(".png")):
        print(path.with_suffix(".png"))


def _parsed() -> argparse.Namespace:
    options = parser(__doc__)
    add = options.add_argument
    add("--times", type=Path, help="a result of views_per_second with measured costs")
    add("--share", type=float, default=0.5, help="of the arithmetic's floor that is assumed without --times")
    add("--gpus", type=int, nargs="+", default=[1, 2, 4, 7], help="how many, placed by the planner")
    add("--callers", type=int, nargs="+", default=[1, 2, 4], help="how many at once")
    add("--camera", type=float, default=60.0, help="frames a second that each camera takes")
    add("--views", type=int, default=24)
    add("--placement", help="one placement instead: a preset's name or a file")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")
    return options.parse_args()


def _placements(wanted: argparse.Namespace) -> list[Placement]:
    if not wanted.placement:
        return [planned(count, wanted.views) for count in wanted.gpus]
    return [chosen(wanted.placement, gpus(16), Voodoo3d.name, Voodoo3d.abilities.footprint, wanted.views).placement]


def _picture(placement: Placement, outcomes: Sequence[Outcome], callers: Sequence[int], title: str, path: Path) -> bool:
    """What the devices do for the first two numbers of callers, from the moment that counts."""
    panels = [
        Panel(f"{_callers(count)}: {one.fps:.1f} fps each", placement.devices, one.spans)
        for count, one in zip(callers[:2], outcomes, strict=False)
    ]
    length = max(3.2 * outcomes[0].age.p50, *(2.2 * one.age.p50 for one in outcomes[:2])) / 1e3  # a whole frame in each
    return draw(panels, SETTLED_AFTER, length, f"{placement.name}: {title}", path)


def _callers(count: int) -> str:
    return f"{count} caller{'s' * (count > 1)}"


def _busiest(outcome: Outcome) -> str:
    device = max(outcome.busy, key=lambda name: outcome.busy[name])
    return f"{device} {outcome.busy[device]:.0%}"


if __name__ == "__main__":
    main()
