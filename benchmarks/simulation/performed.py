"""Performed: what simulation.py predicts, run for real: an engine's own stages, faces and encoder, on this machine's threads.

What stages cost is read off an unhurried run on the same threads, where no frame meets another: two renderers that work side by
side share what their cores share. What then happens under load is the simulation's to say.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from benchmarks.lib.calls import Setting, Traced, can_encode, encoder
from benchmarks.simulation.rehearsal import offered
from benchmarks.simulation.simulation import SETTLED_AFTER, Load, Outcome, Shown, outcome
from benchmarks.simulation.virtual import Costs, Span
from display.colour import Layout
from display.screen import Screen
from pipeline.devices.placement import Placement
from pipeline.executors.threads import Threads
from pipeline.frame import Frame
from pipeline.session import Session
from pipeline.stages import Picture

MEASURED_AT = 20.0
"Frames a second at which costs are measured: one has left before the next comes, and caches are as warm as under load."


def performed(setting: Setting, placement: Placement, load: Load) -> Outcome:
    """As simulation.simulated, in real time, with the stages of `setting`."""
    executor, spans, shown = Threads(placement), list[Span](), list[Shown]()
    begun = time.monotonic()
    sessions = [
        _session(setting, placement, Traced(executor, caller, spans, begun), caller, load, shown, begun)
        for caller in range(load.callers)
    ]

    def picture(number: int, captured: float) -> Frame:
        return replace(setting.frames[number % len(setting.frames)], captured=begun + captured, sequence=number)

    try:
        offered(sessions, load, lambda: time.monotonic() - begun, picture)
    finally:
        for session in sessions:
            session.close()
        executor.close()
    return outcome(load, placement, sessions, shown, spans)


def _session(
    setting: Setting, placement: Placement, seat: Traced, caller: int, load: Load, shown: list[Shown], begun: float
) -> Session:
    encode, layout = encoder(setting.target) if can_encode() else (lambda picture: None, Layout.I420)

    def present(picture: Picture) -> None:
        encode(picture)
        shown.append(Shown(caller, picture.captured - begun, time.monotonic() - begun))

    session = Session(
        setting.engine, setting.avatar, setting.observer(), placement, seat, present, layout=layout, depth=load.depth
    )
    session.watch(setting.target)
    return session


def measured_costs(setting: Setting, placement: Placement, few: Screen, seconds: float = 3.0) -> Costs:
    """What the stages of `setting` cost on these threads; a renderer's as a line through its share of the views and of those of `few`."""
    spans, of_few = (
        performed(replace(setting, target=target), placement, Load(1, MEASURED_AT, target.views, 2, seconds)).spans
        for target in (setting.target, few)
    )
    whole, less = stage_costs(spans), stage_costs(of_few)
    views, fewer = (target.views / len(placement.render) for target in (setting.target, few))
    per_view = max(0.0, (whole["render"] - less["render"]) / (views - fewer))
    return Costs(
        preprocess=whole["preprocess"],
        drive=whole["drive"],
        render=max(0.0, whole["render"] - views * per_view),
        per_view=per_view,
        compose=whole["compose"],
        encode=whole["encode"],
        hand_over=_hand_over(placement, spans),
    )


def _hand_over(placement: Placement, spans: Sequence[Span]) -> float:
    """Median seconds of one hand-over to another thread: the time of a frame that it spent in no stage, by how many there were."""
    frames: dict[tuple[int, int], list[Span]] = {}
    for span in spans:
        if span.begun >= SETTLED_AFTER:
            frames.setdefault((span.caller, span.frame), []).append(span)
    way = [placement.preprocess, placement.drive, placement.render[0], placement.display, placement.encode]
    changes = 1 + sum(one != following for one, following in pairwise(way))
    between = []
    for way_of_one in frames.values():
        counted = stage_costs(way_of_one)
        between.append(max(one.ended for one in way_of_one) - way_of_one[0].captured - sum(counted.values()))
    return max(0.0, median(between)) / changes


def stage_costs(spans: Sequence[Span]) -> dict[str, float]:
    """Stage -> median seconds that it held its device for, leaving out what ran before things had settled.

    Of several renderers the slowest counts, for which a frame waits.
    """
    slowest: dict[str, dict[tuple[int, int], float]] = {}
    for span in spans:
        if span.begun >= SETTLED_AFTER:
            frames = slowest.setdefault(span.stage, {})
            frame = span.caller, span.frame
            frames[frame] = max(frames.get(frame, 0.0), span.ended - span.begun)
    return {stage: median(frames.values()) for stage, frames in slowest.items()}
