"""Agreement: what the simulation says of a load, held against that load run in real time on this machine's threads.

Twice: with stages that sleep what they cost, on any number of devices, and with an engine's own stages on a few CPU threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.lib import calls
from benchmarks.lib.calls import Setting
from benchmarks.lib.harness import show, write
from benchmarks.simulation.performed import measured_costs, performed
from benchmarks.simulation.rehearsal import rehearsed
from benchmarks.simulation.simulation import SETTLED_AFTER, Load, Outcome, planned, simulated
from benchmarks.simulation.timeline import draw, panel
from benchmarks.simulation.virtual import Costs
from pipeline.devices.placement import Placement, preset

AGREEMENT = 0.10
"How far throughput and the median age may be from what is real."
SLOWER = (1, 2, 4, 8)
"""Times as slow as the first try. Where others take the processor a load is tried again slower: what a busy machine adds to
a sleep does not grow with the sleep."""
STEADY = 0.05
"How far costs before and after a run may be apart: where a machine's speed changes meanwhile, nothing can be said."
TRIES = 4
"Runs of a real load at most until one was steady; else the steadiest counts."
COSTS = Costs(preprocess=0.020, drive=0.028, render=0.004, per_view=0.001, compose=0.009, encode=0.016)
"Many times what a thread's switch takes."


@dataclass(frozen=True)
class Case:
    """A load on a placement."""

    placement: Placement
    costs: Costs
    load: Load

    @property
    def name(self) -> str:
        callers = f"{self.load.callers} caller{'s' * (self.load.callers > 1)}"
        return f"{self.placement.name}, {callers} at {self.load.camera_rate:g} fps"

    def slowed(self, times: float) -> Case:
        """The same with a slower camera and stages that take that much longer, over as many frames."""
        seconds = {stage: cost * times for stage, cost in asdict(self.costs).items() if stage != "at_once"}
        load = replace(self.load, camera_rate=self.load.camera_rate / times, seconds=self.load.seconds * times)
        return Case(self.placement, replace(self.costs, **seconds), load)


@dataclass(frozen=True)
class Comparison:
    """A load twice."""

    case: Case
    predicted: Outcome
    real: Outcome

    @property
    def off(self) -> tuple[float, float]:
        """How far the prediction is off, as shares of what was real: throughput, and the median age."""
        predicted, real = self.predicted, self.real
        return abs(predicted.fps / real.fps - 1), abs(predicted.age.p50 / real.age.p50 - 1)

    @property
    def agrees(self) -> bool:
        return max(self.off) <= AGREEMENT


def sleeping(seconds: float) -> list[Case]:
    """Loads for stages that sleep: idle, overloaded, shared, split, and not a divisor of the camera's rate."""
    paper, one, three = planned(7, 24), planned(1, 24), planned(3, 24)
    return [
        Case(paper, COSTS, Load(1, 20.0, seconds=seconds)),
        Case(paper, COSTS, Load(3, 23.0, seconds=seconds)),
        Case(one, COSTS, Load(1, 30.0, seconds=seconds)),
        Case(one, COSTS, Load(2, 17.0, seconds=seconds)),
        Case(three, replace(COSTS, per_view=0.005), Load(2, 30.0, seconds=seconds)),
    ]


def acted(setting: Setting, seconds: float) -> list[tuple[Placement, Load]]:
    """Loads for real stages that two processor cores can bear: the simulation knows devices, not what they share."""
    one = Placement("one thread", "cpu:0", "cpu:0", ("cpu:0",), "cpu:0", "cpu:0")
    two = Placement("two renderers", "cpu:0", "cpu:0", ("cpu:1", "cpu:2"), "cpu:3")
    views = setting.target.views
    return [
        (one, Load(1, 120.0, views, seconds=seconds)),
        (one, Load(2, 10.0, views, seconds=seconds)),
        (preset("cpu"), Load(1, 25.0, views, seconds=seconds)),
        (two, Load(2, 12.0, views, seconds=seconds)),
    ]


def everyday() -> Setting:
    """The relief engine with tracked faces; a small VOODOO 3D with invented ones on a machine that cannot track."""
    options = argparse.ArgumentParser()
    calls.add_options(options)
    tracking = find_spec("mediapipe") and find_spec("numba")
    bare = ["--engine", "voodoo3d", "--small", "--views", "8", "--tile", "64"]
    return calls.open_setting(options.parse_args([] if tracking else bare))


def slept(case: Case) -> list[Comparison]:
    """`case` simulated and rehearsed, slower and slower until they agree; the last one is what came of it."""
    tries: list[Comparison] = []
    for slower in SLOWER:
        slowed = case.slowed(slower)
        real = rehearsed(slowed.placement, slowed.costs, slowed.load)
        tries.append(Comparison(slowed, simulated(slowed.placement, slowed.costs, slowed.load), real))
        if tries[-1].agrees:
            break
    return tries


def acting(setting: Setting, placement: Placement, load: Load) -> Comparison:
    """What stages cost is measured before and after the load is run; then it is simulated with the mean of both."""
    few = calls.square_screen(max(1, setting.target.views // 4), setting.target.tile_width)
    tries: list[tuple[float, Costs, Outcome]] = []
    before = measured_costs(setting, placement, few)
    while len(tries) < TRIES and not (tries and tries[-1][0] <= STEADY):
        real = performed(setting, placement, load)
        after = measured_costs(setting, placement, few)
        drift = abs(after.whole(setting.target.views) / before.whole(setting.target.views) - 1)
        tries.append((drift, _mean(before, after), real))
        before = after
    _, costs, real = min(tries, key=lambda one: one[0])
    case = Case(placement, costs, load)
    return Comparison(case, simulated(placement, case.costs, load), real)


def _mean(one: Costs, other: Costs) -> Costs:
    others = asdict(other)
    return Costs(**{cost: (seconds + others[cost]) / 2 for cost, seconds in asdict(one).items()})


def check(out: Path, seconds: float = 6.0, repeats: int = 3) -> int:
    """Hold the simulation against sleeping and against real stages; print, write and draw. 1 where one does not agree."""
    asleep = [slept(case)[-1] for case in sleeping(seconds)]
    _show("simulation against threads whose stages sleep", asleep)
    setting = everyday()
    loads = acted(setting, seconds)
    rounds = [[acting(setting, *load) for load in loads] for _ in range(repeats)]
    awake = [_middle(repeated) for repeated in zip(*rounds, strict=True)]
    _show(f"simulation against real stages: {setting.what}, {setting.faces} faces", awake)
    rows = {"sleeping": [_facts(one) for one in asleep], "real": [_facts(one) for one in awake]}
    path = write("simulation_check", {"what": setting.what, "seconds": seconds, "repeats": repeats} | rows, out)
    print(path)
    shown = asleep[1]
    panels = [
        panel("simulated", shown.case.placement, shown.predicted),
        panel("real threads", shown.case.placement, shown.real),
    ]
    length = 4.5 * shown.predicted.age.p50 / 1e3
    if draw(panels, SETTLED_AFTER, length, shown.case.name, path.with_suffix(".png")):
        print(path.with_suffix(".png"))
    return int(not all(one.agrees for one in (*asleep, *awake)))


def _middle(repeated: Sequence[Comparison]) -> Comparison:
    """The repeat whose prediction is off by the median."""
    return sorted(repeated, key=lambda one: max(one.off))[len(repeated) // 2]


def _facts(one: Comparison) -> dict[str, Any]:
    sides = {"simulated": one.predicted, "real": one.real}
    costs = {f"{stage}_ms": round(1e3 * seconds, 3) for stage, seconds in asdict(one.case.costs).items() if seconds}
    fared = {
        side: {"fps": outcome.fps, "age_ms": outcome.age, "drops": outcome.drops} for side, outcome in sides.items()
    }
    off = {"fps_off": round(one.off[0], 4), "age_off": round(one.off[1], 4)}
    return {"load": one.case.name, "costs": costs} | fared | off


def _show(title: str, compared: Sequence[Comparison]) -> None:
    rows = []
    for one in compared:
        ages = (f"{outcome.age.p50:.0f} / {outcome.age.p95:.0f}" for outcome in (one.predicted, one.real))
        off = (f"{share:.1%}" for share in one.off)
        rows.append([one.case.name, f"{one.predicted.fps:.1f}", f"{one.real.fps:.1f}", *ages, *off])
    headings = ["load", "fps, simulated", "real", "age p50 / p95 ms, simulated", "real", "fps off", "age off"]
    show(title, headings, rows, f"to agree, no more than {AGREEMENT:.0%} off")
