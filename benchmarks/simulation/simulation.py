"""Simulation: what a placement will do for several callers, in virtual time, where no such machine is at hand.

Sessions, flow, stages, the way of a frame, and who renders what are the real ones (pipeline/), told another time; devices are
virtual (benchmarks/simulation/virtual.py). Has no clock, no thread and no random numbers: the same question has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar

import numpy as np
import torch

from benchmarks.lib.probes import drops_of
from benchmarks.simulation.virtual import Costs, Events, Span, VirtualPool
from display.optics import Cameras, orbit
from display.screen import Screen, fan_yaws
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation
from engines.voodoo3d.engine import Voodoo3d
from pipeline.clock import Percentiles, percentiles
from pipeline.devices.placement import Placement
from pipeline.devices.planner import Device, plan
from pipeline.frame import Frame
from pipeline.session import Session
from pipeline.stages import Picture

GPU = "NVIDIA H200"
GPU_MEMORY = 139 * 2**30
SETTLED_AFTER = 1.0
"Seconds that are simulated or run, and not counted: the first frames meet empty devices."


@dataclass(frozen=True)
class Load:
    """Who calls, and how."""

    callers: int = 1
    camera_rate: float = 30.0
    "Frames a second of each caller; their cameras take turns evenly."
    views: int = 24
    depth: int = 2
    "Frames of one caller under way at once."
    seconds: float = 6.0
    "Counted, after SETTLED_AFTER."

    def captures(self, caller: int) -> list[float]:
        """When the camera of `caller` takes each of its pictures."""
        apart = 1 / self.camera_rate
        frames = round((SETTLED_AFTER + self.seconds) * self.camera_rate)
        return [(number + caller / self.callers) * apart for number in range(frames)]


@dataclass(frozen=True)
class Shown:
    """One picture as it arrived."""

    caller: int
    captured: float
    at: float


@dataclass(frozen=True)
class Outcome:
    """What callers and devices had of it, after SETTLED_AFTER."""

    fps: float
    "Pictures a second of one caller; the mean of all."
    slowest_fps: float
    "Of the caller who got fewest."
    age: Percentiles
    "Milliseconds from a frame's capture to the end of its encoding."
    drops: dict[str, int]
    "Reason -> frames lost, of all callers, from the beginning."
    busy: dict[str, float]
    "Device -> share of the time in which it worked, 0..1."
    spans: list[Span] = field(repr=False)


def simulated(placement: Placement, costs: Costs, load: Load) -> Outcome:
    """Run `load` on `placement` where every stage takes what `costs` say. Sessions are real; their pictures are a few pixels."""
    events, engine, shown = Events(), Blank(), list[Shown]()
    pool = VirtualPool(placement, costs, events)
    sessions = []
    for caller in range(load.callers):

        def present(picture: Picture, caller: int = caller) -> None:
            shown.append(Shown(caller, picture.captured, events.now))

        session = Session(
            engine,
            None,
            engine,
            placement.on_cpu(),
            pool,
            present,
            marked=False,
            depth=load.depth,
            now=lambda: events.now,
        )
        session.watch(tiny_screen(load.views))
        sessions.append(session)
        for number, captured in enumerate(load.captures(caller)):
            events.at(captured, partial(session.offer, blank_frame(captured, number)))
    events.run()
    return _outcome(load, placement, sessions, shown, pool.spans)


def _outcome(
    load: Load, placement: Placement, sessions: Sequence[Session], shown: Sequence[Shown], spans: list[Span]
) -> Outcome:
    end = SETTLED_AFTER + load.seconds
    counted = [picture for picture in shown if SETTLED_AFTER <= picture.at < end]
    rates = [sum(picture.caller == caller for picture in counted) / load.seconds for caller in range(load.callers)]
    return Outcome(
        fps=round(sum(rates) / len(rates), 2),
        slowest_fps=round(min(rates), 2),
        age=percentiles(picture.at - picture.captured for picture in counted),
        drops=drops_of(session.report() for session in sessions),
        busy=_busy(placement, spans, end),
        spans=spans,
    )


def _busy(placement: Placement, spans: list[Span], end: float) -> dict[str, float]:
    """A batch that several callers share is one stretch of work."""
    stretches = {(span.device, span.begun, span.ended) for span in spans}
    busy = dict.fromkeys(placement.devices, 0.0)
    for device, begun, ended in stretches:
        busy[device] += max(0.0, min(ended, end) - max(begun, SETTLED_AFTER)) / (end - SETTLED_AFTER)
    return {device: round(share, 3) for device, share in busy.items()}


def gpus(count: int) -> list[Device]:
    return [Device(f"cuda:{number}", GPU_MEMORY, GPU_MEMORY, GPU) for number in range(count)]


def planned(count: int, views: int) -> Placement:
    """What the planner makes of that many equal GPUs."""
    return plan(gpus(count), Voodoo3d.name, Voodoo3d.abilities.footprint, views).placement


@cache
def tiny_screen(views: int) -> Screen:
    """`views` of 2x2 pixels: what they show takes no time, so that a stage takes what it is told to."""
    return Screen("tiny", views, 1, 2 * views, 2, 1.0, fan_yaws(views))


def blank_frame(captured: float, number: int = 0) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), captured, number)


class Blank:
    """Engine and observer: sees the same face in every frame and renders black."""

    name: ClassVar[str] = "blank"
    abilities: ClassVar[Abilities] = Abilities()
    noise = False
    wants: ClassVar[frozenset[str]] = frozenset()

    def warm_up(self) -> None:
        pass

    def enrol(self, portrait: FaceObservation) -> None:
        pass

    def observe(self, frame: Frame) -> FaceObservation:
        points = np.zeros((478, 3), np.float32)
        return FaceObservation(points, points, points, orbit(0.0), confidence=1.0)

    def drive(self, avatar: None, seen: FaceObservation) -> None:
        pass

    def render(self, state: None, cameras: Cameras) -> ViewSet:
        return ViewSet(torch.zeros((len(cameras), cameras.height, cameras.width, 4), dtype=torch.uint8), cameras.first)

    def close(self) -> None:
        pass
