"""Sessions: one or several callers on a placement, through the real session and executor. What the speed benchmarks share.

Tracked faces, clips and H.264 need what the server needs; invented faces need torch and numpy alone.
"""

from __future__ import annotations

import argparse
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import Any

from benchmarks.lib.faces import Inventing, blank_frames, invented
from benchmarks.lib.harness import RESULTS
from benchmarks.lib.probes import drops_of
from display.colour import Layout
from display.screen import PRODUCT, Screen, fan_yaws, screen
from engines import catalogue
from engines.contract import AnyEngine
from engines.options import EngineOptions
from pipeline.clock import Percentiles
from pipeline.devices import gpus, planner
from pipeline.devices.placement import Placement
from pipeline.executors import Executor
from pipeline.executors.deployments import started
from pipeline.frame import Frame
from pipeline.session import Observer, Session, SessionReport
from pipeline.stages import Picture

CAMERA_RATE = 25.0

Encode = Callable[[Picture], None]


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    engine: AnyEngine
    avatar: Any
    observer: Callable[[], Observer]
    target: Screen
    placement: Placement
    frames: Sequence[Frame]
    faces: str
    "Where they come from, in words."

    @property
    def what(self) -> str:
        target = self.target
        return f"{self.engine.name}, {target.views} views of {target.tile_width}x{target.tile_height}, {self.placement.name}"


@dataclass(frozen=True)
class Together:
    """How several callers fared together."""

    fps: float
    "Pictures a second of all callers together."
    each_fps: list[float]
    views_per_second: float
    stages_ms: dict[str, Percentiles]
    "Of the first caller."
    age_ms: Percentiles
    "Of the first caller: from a frame's capture to the end of its last stage."
    cpu_ms_per_frame: float
    offered: int
    finished: int
    drops: dict[str, int]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options by which every speed benchmark is told what to measure."""
    add = parser.add_argument
    add("--engine", default=catalogue.DEFAULT, choices=catalogue.names(), help="which engine")
    add("--placement", default="cpu", help="which stage runs on which device: cpu, one-gpu, paper, auto, or a file")
    add("--callers", type=int, default=1, help="how many at once")
    add("--screen", default=PRODUCT, help="whose quilt; or see --views")
    add("--views", type=int, help="that many square views instead of a screen's")
    add("--tile", type=int, default=512, help="side of such a view in pixels")
    add("--runtime", default="auto", help="how networks are run: eager, graphs, trt, auto")
    add("--precision", default="auto", help="what networks compute in: float32, bfloat16, float16, auto")
    add("--sampling", choices=["exact", "shared-volume"], help="how rays find what they meet (voodoo3d)")
    add("--synthetic-weights", action="store_true", help="run a neural engine without its weights: time is the same")
    add("--small", action="store_true", help="a small network (voodoo3d), to see that everything works")
    add("--faces", choices=["tracked", "invented"], help="tracked: puppet or clip; invented: torch and numpy suffice")
    add("--clip", type=Path, help="the driving video; the puppet if none is given")
    add("--portrait", type=Path, help="the photo; the built-in sample if none is given")
    add("--repeats", type=int, default=3, help="how often each run is repeated, in turns")
    add("--warm-up", type=int, default=50, help="frames that are run first and not measured")
    add("--frames", type=int, default=250, help="frames of each caller measured in each run")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON and the picture")


def open_setting(wanted: argparse.Namespace) -> Setting:
    """Everything loaded and enrolled, nothing run yet."""
    engine = _engine(wanted)
    engine.warm_up()
    tracked = wanted.faces == "tracked" or (wanted.faces is None and not _looks_at_pictures(engine))
    frames, portrait, observer = _tracked(wanted, engine) if tracked else _invented(wanted)
    target = square_screen(wanted.views, wanted.tile) if wanted.views else screen(wanted.screen)
    place = placement_for(wanted.placement, target.views, engine)
    faces = (wanted.clip.name if wanted.clip else "puppet") if tracked else "invented"
    return Setting(engine, engine.enrol(portrait), observer, target, place, frames, faces)


def _engine(wanted: argparse.Namespace) -> AnyEngine:
    invented = wanted.synthetic_weights or wanted.small
    options = EngineOptions(runtime=wanted.runtime, precision=wanted.precision, synthetic_weights=invented)
    if wanted.engine != "voodoo3d" or not (wanted.small or wanted.sampling):
        return catalogue.load(wanted.engine, options)
    from engines.shared_volume import Sampling
    from engines.voodoo3d import synthetic
    from engines.voodoo3d.architecture import Architecture
    from engines.voodoo3d.engine import Voodoo3d
    from engines.voodoo3d.enrol import Samples

    sampling = Sampling(wanted.sampling or Sampling.SHARED_VOLUME.value)
    if wanted.small:
        return Voodoo3d(
            options, network=synthetic.network(Architecture(64, 16)), samples=Samples(24, 24), sampling=sampling
        )
    return Voodoo3d(options, sampling=sampling)


def placement_for(choice: str, views: int, engine: AnyEngine) -> Placement:
    """What an operator's `choice` becomes on this machine. Raises UnknownPlacement, PlacementImpossible."""
    return planner.chosen(choice, gpus.present(), engine.name, engine.abilities.footprint, views).placement


def _looks_at_pictures(engine: AnyEngine) -> bool:
    return "crop" in engine.wants


def square_screen(views: int, side: int) -> Screen:
    """`views` square pictures as a quilt, 3:2 or wider."""
    columns = math.ceil(math.sqrt(1.5 * views))
    rows = math.ceil(views / columns)
    return Screen(f"{views}x{side}", columns, rows, columns * side, rows * side, 1.0, fan_yaws(views))


def _invented(wanted: argparse.Namespace) -> tuple[Sequence[Frame], Any, Callable[[], Observer]]:
    return blank_frames(wanted.frames), invented(0), Inventing


def _tracked(wanted: argparse.Namespace, engine: AnyEngine) -> tuple[Sequence[Frame], Any, Callable[[], Observer]]:
    from pipeline.preprocess.observer import Observer as Tracking
    from pipeline.preprocess.observer import observe_portrait
    from pipeline.puppet import Puppet, puppet_portrait
    from server.media import clips, portraits

    photo = portraits.from_file(wanted.portrait) if wanted.portrait else puppet_portrait()
    source: Iterator[Frame] = clips.frames(wanted.clip) if wanted.clip else Puppet().frames()
    frames = list(islice(source, wanted.frames))
    if len(frames) < wanted.frames:  # a short clip is played forwards and backwards, so that no jump is in it
        rounds = wanted.frames // len(frames) + 1
        frames = list(islice(chain.from_iterable([frames, frames[::-1]] * rounds), wanted.frames))
    numbered = [replace(frame, sequence=number) for number, frame in enumerate(frames)]
    return numbered, observe_portrait(photo), lambda: Tracking(engine.wants)


def can_encode() -> bool:
    """Whether H.264 can be made here."""
    return find_spec("av") is not None


def encoder(target: Screen) -> tuple[Encode, Layout]:
    """What encodes one caller's pictures, and the layout it takes them in."""
    from server.media.encode import Encoder, best_codec, form_for, layout_for

    codec = best_codec()
    width, height = target.quilt_width + target.quilt_width % 2, target.quilt_height + target.quilt_height % 2
    made = Encoder(form_for(width, height, round(CAMERA_RATE)), codec, layout_for(codec))

    def encode(picture: Picture) -> None:
        made.encode(picture.yuv, picture.captured)

    return encode, layout_for(codec)


def run(setting: Setting, callers: int, frames: Sequence[Frame], live: bool, encoded: bool) -> Together:
    """`callers` at once over `frames`: at the camera's rate (`live`), or as fast as it goes."""
    executor = started(setting.placement)
    begun = time.monotonic()
    made = [_Caller(setting, executor, encoded) for _ in range(callers)]
    threads = [threading.Thread(target=one.live if live else one.fast, args=(frames,)) for one in made]
    cpu = time.process_time()
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for one in made:
            one.session.close()
        seconds, cpu = time.monotonic() - begun, time.process_time() - cpu
        executor.close()
    return _facts(setting, [one.session.report() for one in made], seconds, cpu, callers * len(frames))


class _Caller:
    """One caller with a session of its own."""

    def __init__(self, setting: Setting, executor: Executor, encoded: bool) -> None:
        encode, layout = encoder(setting.target) if encoded else (lambda picture: None, Layout.I420)
        self._ended = threading.Semaphore(0)

        def present(picture: Picture) -> None:
            encode(picture)
            self._ended.release()

        self.session = Session(
            setting.engine, setting.avatar, setting.observer(), setting.placement, executor, present, layout=layout
        )
        self.session.watch(setting.target)

    def fast(self, frames: Sequence[Frame]) -> None:
        """Two frames are under way at any time, as in a live session; none waits, so none is dropped."""
        for number, frame in enumerate(frames):
            if number >= 2:
                self._ended.acquire()
            self.session.offer(replace(frame, captured=time.monotonic()))

    def live(self, frames: Sequence[Frame]) -> None:
        begun = time.monotonic()
        for number, frame in enumerate(frames):
            due = begun + number / CAMERA_RATE
            time.sleep(max(0.0, due - time.monotonic()))
            self.session.offer(replace(frame, captured=due))


def _facts(setting: Setting, reports: list[SessionReport], seconds: float, cpu: float, offered: int) -> Together:
    finished = sum(report.frames for report in reports)
    return Together(
        fps=round(finished / seconds, 2),
        each_fps=[round(report.frames / seconds, 2) for report in reports],
        views_per_second=round(finished * setting.target.views / seconds, 1),
        stages_ms=reports[0].stages,
        age_ms=reports[0].age,
        cpu_ms_per_frame=round(1e3 * cpu / max(finished, 1), 2),
        offered=offered,
        finished=finished,
        drops=drops_of(reports),
    )
