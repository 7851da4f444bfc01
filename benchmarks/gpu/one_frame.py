"""One frame: what one device does for one frame of VOODOO 3D, network by network, nothing overlapping. Faces are invented."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch

from benchmarks.gpu.device_times import DeviceTimes, Spread, Timed
from benchmarks.gpu.hot_spots import HotSpot, hot_spots
from benchmarks.lib.faces import INVENTED, invented
from benchmarks.lib.floor import floor_ms
from benchmarks.simulate import ENCODING, OBSERVING
from display.colour import Layout
from display.label import mark
from display.optics import fan
from display.planar import converted
from display.quilt import compose
from display.screen import Screen
from engines.options import EngineOptions
from engines.runtime import Component, Run, Runtime, choose, chosen_precision, graphs
from engines.shared_volume import Sampling
from engines.voodoo3d import checkpoint, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d, pictures_at_once
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.warp import Resolved
from pipeline.devices.transfer import Readback

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
    "Of the H200's arithmetic (benchmarks/lib/floor.py); None for a network of another size, or if not every view is super-resolved."
    peak_mib: float
    "Most device memory that tensors held."
    costs_ms: dict[str, float]
    "For benchmarks.simulate; `preprocess` and `encode` are its assumptions, the rest was measured here."
    prepared_s: float
    "Compiling, recording and the first frame."
    ran_by: dict[str, str]
    "Network -> what really ran it, after any falling back."


def _runtime(way: Way, device: torch.device) -> Runtime:
    if way.seams == COMPILER:
        return graphs.Graphs(graphs.whole(device), graphs.COMPILED | {"superresolution"})
    return Unfused(choose(way.runtime, device)) if way.seams == TORCH else choose(way.runtime, device)


class Unfused:
    """Graphs that do super-resolution without kernels of our own."""

    name: ClassVar[str] = "graphs"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def prepare(self, component: Component) -> Run:
        return self._runtime.prepare(
            replace(component, fused=None) if component.name == "superresolution" else component
        )


def one_frame(way: Way, target: Screen, device: torch.device, wanted: argparse.Namespace) -> OneFrame:
    """Run `way` a frame at a time: all of `target`, and a quarter of its views, by which the cost of a view is known."""
    times, few = DeviceTimes(device), DeviceTimes(device)
    begun = time.perf_counter()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    timed = Timed(_runtime(way, device), times)
    engine = engine_of(way, device, wanted.small, timed, wanted.synthetic_weights)
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


def profiled(way: Way, target: Screen, device: torch.device, wanted: argparse.Namespace) -> dict[str, list[HotSpot]]:
    """What a frame's time goes into by `way`."""
    times = DeviceTimes(device)
    engine = engine_of(way, device, wanted.small, Timed(_runtime(way, device), times), wanted.synthetic_weights)
    avatar = engine.enrol(invented(0))
    for number in range(wanted.warm_up):
        _whole_frame(engine, avatar, number, target, times)
    return hot_spots(lambda number: _whole_frame(engine, avatar, number, target, times), device)


def engine_of(way: Way, device: torch.device, small: bool, runtime: Runtime, invented: bool) -> Voodoo3d:
    """An engine of its own for `way` on `device`; `invented`: with invented weights."""
    options = EngineOptions(superresolved=way.resolved, synthetic_weights=invented or small)
    precision = chosen_precision(way.precision, device)
    arch = Architecture(64, 16) if small else Architecture()
    if options.synthetic_weights:
        network = synthetic.network(arch, device, precision.dtype)
    else:
        network = Voodoo3D.from_checkpoint(checkpoint.PUBLISHED.place(options.weights), device, precision.dtype)
    resolved = Resolved(way.resolved)
    network.run_by(runtime, way.at_once or pictures_at_once(resolved, device))
    samples = Samples(24, 24) if small else Samples()
    return Voodoo3d(options, network=network, samples=samples, sampling=Sampling(way.sampling))


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
        with times.part("readback"):
            readback = Readback(yuv)
        readback.array()


_FACES = [invented(number) for number in range(INVENTED)]


def _costs(parts: dict[str, Spread], quarter_ms: float, views: int, few: int) -> dict[str, float]:
    """A renderer's time as a line over its views, through two points; what a frame costs otherwise."""
    render = parts["render"].p50
    per_view = max(0.0, (render - quarter_ms) / (views - few)) if views > few else render / views
    compose_ms = sum(parts[name].p50 for name in ("compose", "colour", "readback"))
    return {
        "preprocess": 1e3 * OBSERVING,
        "drive": parts["drive"].p50,
        "render": round(max(0.0, render - views * per_view), 4),
        "per_view": round(per_view, 4),
        "compose": round(compose_ms, 4),
        "encode": 1e3 * ENCODING,
    }
