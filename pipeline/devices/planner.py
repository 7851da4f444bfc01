"""Planner: a placement for the GPUs that are there, and why, in plain words. Pure; asks no device.

The rule. Every way of giving out driving, rendering and composing is weighed by the work that its busiest GPU has for one
frame, since that sets the frame rate; of equals the one with the shortest way of a frame, then the one with the fewest renderers.
Seven GPUs get the paper's placement, whose published figures can then be compared. The face is found and pictures are coded by
the processor. A GPU without the memory to render is left out before anything is weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.contract import Footprint
from pipeline.devices.placement import AUTO, Placement, named, preset

GIB = 2**30
CONTEXT_BYTES = 700 * 2**20
"Estimated: what CUDA and its libraries take of a GPU before anything is loaded."
COMPOSE_BYTES = 300 * 2**20
"A quilt, its parts and its colours, for two frames of a few callers."
COMPOSE_WORK = 0.5
"Composing 24 views, in views rendered: both memory and arithmetic say well under one."


class PlacementImpossible(RuntimeError):
    """The operator's placement does not fit this machine; the message says why and what to do."""


@dataclass(frozen=True)
class Device:
    """A GPU as it is."""

    name: str
    "As torch names it: cuda:0."
    memory_bytes: int
    free_bytes: int
    label: str
    "As its maker names it."

    def __str__(self) -> str:
        return f"{self.name} ({self.label}, {self.free_bytes / GIB:.1f} of {self.memory_bytes / GIB:.1f} GiB free)"


@dataclass(frozen=True)
class Planned:
    placement: Placement
    reasons: tuple[str, ...] = ()
    "Sentences."
    roles: tuple[str, ...] = ()
    "Who does what, in sentences."

    @property
    def explanation(self) -> tuple[str, ...]:
        return self.reasons + self.roles


def chosen(choice: str, devices: Sequence[Device], engine: str, needs: Footprint | None, views: int) -> Planned:
    """What the operator chose: "auto", a preset's name, or a file. Raises UnknownPlacement or PlacementImpossible."""
    if choice == AUTO:
        return plan(devices, engine, needs, views)
    placement = named(choice)
    _check(placement, devices, engine, needs)
    if needs is None and placement.gpus:
        return _on_the_processor(devices, engine, needs)
    return Planned(placement, (f"Placement {placement.name}, as chosen.",), _roles(placement, views))


def plan(devices: Sequence[Device], engine: str, needs: Footprint | None, views: int) -> Planned:
    """The placement for `engine`, which has `needs` of GPUs (None: it works on the processor), on `devices`."""
    if needs is None or not devices:
        return _on_the_processor(devices, engine, needs)
    fit, left_out = [], []
    least = bytes_needed(("drive", "render", "compose") if len(devices) == 1 else ("render",), needs)
    for device in devices:
        (fit if device.free_bytes >= least else left_out).append(device)
    notes = [f"{device} is left out: rendering needs about {least / GIB:.1f} GiB." for device in left_out]
    if not fit:
        return _on_the_processor([], engine, needs, notes)
    gpus = [device.name for device in fit]
    best = _preset_on(gpus) or _balanced(fit, needs, views)
    if best is None:
        return _on_the_processor([], engine, needs, notes)
    return Planned(best, (_present(fit), *notes, *_why(best, gpus, needs, views)), _roles(best, views))


def bytes_needed(stages: Sequence[str], needs: Footprint) -> int:
    """Of a GPU's memory, for these stages."""
    working = {"drive": needs.drive_bytes, "render": needs.render_bytes, "compose": COMPOSE_BYTES}
    loaded = needs.weights_bytes if {"drive", "render"} & set(stages) else 0
    return CONTEXT_BYTES + loaded + sum(working.get(stage, 0) for stage in stages)


def work_of(placement: Placement, needs: Footprint, views: int) -> dict[str, float]:
    """GPU -> its work for one frame, in the engine's unit."""
    share = -(-views // len(placement.render))
    of = {"drive": needs.drive_work, "render": share * needs.view_work, "compose": COMPOSE_WORK * needs.view_work}
    where = placement.stages
    return {gpu: sum(of.get(stage, 0.0) for stage in where[gpu]) for gpu in placement.gpus}


def _preset_on(gpus: Sequence[str]) -> Placement | None:
    """The preset made for so many GPUs, on these ones."""
    name = {1: "one-gpu", 7: "paper"}.get(len(gpus))
    if name is None:
        return None
    found = preset(name)
    if name == "one-gpu":
        return Placement(name, found.preprocess, gpus[0], (gpus[0],), gpus[0], found.encode)
    return Placement(name, gpus[0], gpus[1], tuple(gpus[2:6]), gpus[6], found.encode)


def _balanced(fit: Sequence[Device], needs: Footprint, views: int) -> Placement | None:
    """The best by the rule of all that the memory allows."""
    gpus, free = [device.name for device in fit], {device.name: device.free_bytes for device in fit}
    possible = [
        one
        for renderers in range(1, len(gpus) + 1)
        for one in _ways(gpus, renderers)
        if all(free[gpu] >= bytes_needed(stages, needs) for gpu, stages in one.stages.items() if gpu in free)
    ]

    def worth(one: Placement) -> tuple[float, float, int, int]:
        work, share = work_of(one, needs, views), -(-views // len(one.render))
        way = needs.drive_work + share * needs.view_work
        return round(max(work.values()), 9), round(way, 9), len(one.render), -len(one.gpus)  # rounded: equals must tie

    return min(possible, key=worth, default=None)


def _ways(gpus: Sequence[str], renderers: int) -> list[Placement]:
    """Every way to give out driving and composing beside so many renderers: on a GPU of their own, together, or with one that renders."""
    ways = []
    for drives_alone in range(min(1, len(gpus) - renderers) + 1):
        render = tuple(gpus[drives_alone : drives_alone + renderers])
        composers = dict.fromkeys([*gpus[drives_alone + renderers :][:1], gpus[0], render[-1]])
        ways += [Placement("balanced", "cpu:0", gpus[0], render, compose, "cpu:1") for compose in composers]
    return ways


def _check(placement: Placement, devices: Sequence[Device], engine: str, needs: Footprint | None) -> None:
    """Raises PlacementImpossible unless every GPU is there and has the memory."""
    there = {device.name: device for device in devices}
    missing = [gpu for gpu in placement.gpus if gpu not in there]
    if missing:
        have = ", ".join(there) or "no GPU that PyTorch sees (python -m server doctor says more)"
        raise PlacementImpossible(
            f"placement {placement.name} needs {', '.join(missing)}; this machine has {have}. "
            "Start with --placement auto, which takes what is there"
        )
    for gpu, stages in placement.stages.items():
        needed = bytes_needed(stages, needs) if needs and gpu in there else 0
        if gpu in there and there[gpu].free_bytes < needed:
            raise PlacementImpossible(
                f"{there[gpu]}: {' and '.join(stages)} with {engine} needs about {needed / GIB:.1f} GiB. nvidia-smi shows "
                "who else uses it; or start with --placement auto, which leaves it out"
            )


def _on_the_processor(
    devices: Sequence[Device], engine: str, needs: Footprint | None, notes: Sequence[str] = ()
) -> Planned:
    if needs is None:
        why = f"Engine {engine} works on the processor" + (
            f"; {len(devices)} GPU{'s' * (len(devices) > 1)} stay free." if devices else "."
        )
    else:
        why = f"No GPU can be used, so the processor does everything: {engine} will be far from real time."
    roles = "Threads cpu:0 observes and drives, cpu:1 renders, cpu:2 composes and codes."
    return Planned(preset("cpu"), (*notes, why), (roles,))


def _present(fit: Sequence[Device]) -> str:
    return f"{len(fit)} GPU{'s' * (len(fit) > 1)}: {', '.join(map(str, fit))}."


def _roles(placement: Placement, views: int) -> tuple[str, ...]:
    """Who does what, a sentence for all devices that do the same."""
    one = {"preprocess": "observes", "drive": "drives", "compose": "composes", "encode": "codes"}
    share = -(-views // len(placement.render))
    one["render"] = f"renders {share} of {views} views" if share < views else "renders"
    sentences: dict[str, list[str]] = {}
    for device, stages in placement.stages.items():
        does = [one[stage] for stage in stages]
        sentences.setdefault(" and ".join([", ".join(does[:-1]), does[-1]] if does[:-1] else does), []).append(device)
    return tuple(_sentence(devices, what) for what, devices in sentences.items())


def _sentence(devices: Sequence[str], what: str) -> str:
    if len(devices) == 1:
        return f"{devices[0]} {what}."
    return f"{', '.join(devices[:-1])} and {devices[-1]} {what.replace('renders', 'render')} each."


def _why(placement: Placement, gpus: Sequence[str], needs: Footprint, views: int) -> list[str]:
    """What decided, and which GPUs have nothing to do."""
    if len(gpus) == 1:
        return []
    work = work_of(placement, needs, views)
    alone = needs.drive_work + (views + COMPOSE_WORK) * needs.view_work
    busiest = max(work, key=lambda gpu: work[gpu])
    lines = [
        f"Driving is as much work as {needs.drive_work / needs.view_work:.0f} views. The busiest GPU, {busiest}, has "
        f"{work[busiest] / alone:.0%} of a frame's work, so there can be {alone / work[busiest]:.1f} times the frames of one GPU."
    ]
    idle = [gpu for gpu in gpus if gpu not in placement.gpus]
    if idle:
        lines.append(f"Not used: {', '.join(idle)}. With more of them the busiest would have no less to do.")
    if placement.name == "paper":
        lines.append("This is the placement of VOODOO 3D's live system, so that its figures can be compared.")
    return lines
