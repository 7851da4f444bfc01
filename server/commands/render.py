"""Offline: a portrait and a clip in, a quilt film out. Every frame is rendered, none is dropped; no network."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import av.error
from av.container import OutputContainer
from av.video.stream import VideoStream

from display import offaxis
from display.optics import Cameras, fan
from display.screen import PRODUCT, Screen, nearest_views, screen
from display.subsets import subsets
from display.tiling import OFF_AXIS
from display.views import ViewSet
from engines import catalogue
from engines.contract import Abilities, AnyEngine
from engines.options import EngineOptions
from pipeline.clock import StageClock
from pipeline.devices.placement import preset
from pipeline.executors import Failure
from pipeline.executors.inline import Inline
from pipeline.job import FrameJob
from pipeline.preprocess.observer import Observer
from pipeline.stages import Picture, Stages
from server.commands.sitter import engine_for, sitter
from server.displays import glass
from server.media import clips
from server.media.encode import CHROMA_IN_THE_MIDDLE
from server.provenance.credentials import Signer, Unsigned
from server.provenance.statement import FILM, UNSTATED, Consent, Engine, Statement

QUILT_NAME = re.compile(r"_qs(\d+)x(\d+)a(\d+(?:\.\d+)?|\.\d+)$")
"How Looking Glass software reads the tiling from a quilt's file name: columns, rows, aspect."
TIME_BASE = Fraction(1, 90_000)
PICTURE_QUALITY = 18
"x264's constant rate factor; 18 is commonly taken as visually lossless."
GRID = re.compile(r"(\d{1,2})x(\d{1,2})")
LARGEST_GRID = 50
ATTACHED = "attached"
"In place of a screen's name: what the Looking Glass asks for that is attached to this machine."


class OutputRefused(ValueError):
    """The output cannot be written under that name or in that place; the message says what can."""


@dataclass(frozen=True)
class Result:
    out: Path
    frames: int
    seconds: float
    "Spent on rendering, enrolment not included."
    unseen: int
    "Frames in which no face was followed; the avatar rests there."
    unsigned: str = ""
    "Why the film carries no content credentials."
    licence: str = ""
    "Of an avatar that was made elsewhere: what made it and on which terms."


def chosen_screen(name: str = PRODUCT, view: int | None = None, *, focus: float = 0.0, depth: float = 1.0) -> Screen:
    """The whole quilt of a screen, or one view of it as ordinary video. Raises UnknownScreen, GlassMissing.

    `focus` in tile widths moves the plane of the glass, `depth` moves the cameras together (below 1) or apart.
    """
    target = glass.asked_for() if name == ATTACHED else screen(name)
    target = replace(target.deepened(depth), focus=focus)
    return target if view is None else target.only(view)


def grid(said: str) -> tuple[int, int]:
    """Columns and rows, out of "8x6". Raises OutputRefused."""
    found = GRID.fullmatch(said)
    columns, rows = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0 < columns <= LARGEST_GRID and 0 < rows <= LARGEST_GRID):
        raise OutputRefused(f"{said!r} is no grid: columns, x, rows, each from 1 to {LARGEST_GRID}, for instance 8x6")
    return columns, rows


def checked_output(out: Path, target: Screen) -> Path:
    """`out`, with the tiling in its name if it was not there. Raises OutputRefused."""
    if out.suffix.lower() != ".mp4":
        raise OutputRefused(f"{out} would not be an MP4 file: name it {out.stem or 'hologram'}.mp4")
    if not out.parent.is_dir():
        raise OutputRefused(f"the folder {out.parent} does not exist: mkdir -p {out.parent}")
    named = QUILT_NAME.search(out.stem)
    if target.views == 1:
        if named:
            raise OutputRefused(f"{out.name} names a quilt, but a single view is asked for: leave {named[0]} out")
        return out
    if named is None:
        return out.with_name(f"{out.stem}{target.file_suffix}{out.suffix}")
    columns, rows, aspect = int(named[1]), int(named[2]), float(named[3])
    if (columns, rows) != (target.columns, target.rows) or abs(aspect - target.aspect) > 0.01:
        raise OutputRefused(
            f"{out.name} names another tiling than {target.name} has: end it in {target.file_suffix}{out.suffix}"
        )
    return out


def render(
    portrait: Path,
    driver: Path,
    out: Path,
    target: Screen,
    engine_name: str | None = None,
    *,
    options: EngineOptions = EngineOptions(),
    fill: tuple[int, int] | None = None,
    marked: bool = True,
    consent: str = UNSTATED,
    signer: Signer | None = None,
    expression: float | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Result:
    """Drive `portrait` by the face in `driver` and write what `target` shows of it, with the driver's sound.

    `portrait` is a photo, or an avatar that was made elsewhere; who names no engine gets one that shows it.
    `expression` 0..1 is the share of the portrait's own that the avatar keeps.
    `fill` (columns, rows) repeats the target's views until they fill that grid, for programs that insist on one.
    `consent`: to the portrait, as the film states it, which `signer` signs.
    `progress` is told the stage, how many frames are done, and of how many (0 if unknown).
    Raises PortraitRejected, PortraitUnreadable, AvatarRefused, ClipUnreadable, OutputRefused, UnknownEngine or WeightsMissing.
    """
    film = target if fill is None else target.filled(*fill)
    out = checked_output(out, film)
    clip = clips.facts(driver)
    progress("loading the engine", 0, 0)
    engine_name = engine_for(portrait, engine_name)
    engine = catalogue.load(engine_name, options)
    engine.warm_up()
    progress("enrolling the portrait", 0, 0)
    shown = sitter(portrait, engine, expression)

    begun, done, unseen = time.monotonic(), 0, 0
    made = _build(engine_name, options)
    made = replace(made, weights={**made.weights, **shown.weights})
    seal = _Seal(signer, out.name, _stated(made, engine.abilities.mark if marked else "", consent, film))
    with _film(out, driver, film, clip, seal) as write, Observer(engine.wants, weights=options.weights) as observer:
        executor = Inline()
        seen = OffAxis(engine, target, film) if film.views > 1 else engine
        stages = Stages(seen, shown.avatar, observer, preset("cpu"), write, time.monotonic, marked)
        for frame in clips.frames(driver):
            job = FrameJob(frame, StageClock(frame.captured), screens=subsets([film]), views={film: {}})
            executor.submit(stages.steps(job), _raise)
            done += 1
            unseen += job.seen.confidence == 0
            progress("rendering", done, max(clip.frames, done))
    return Result(out, done, time.monotonic() - begun, unseen, seal.failure, shown.licence)


def _build(engine: str, options: EngineOptions) -> Engine:
    build = catalogue.build(engine, options)
    return Engine(build.name, build.code_sha256, build.weights, build.synthetic)


def _stated(made: Engine, mark: str, consent: str, film: Screen) -> Statement:
    stated = Statement(str(uuid.uuid4()), time.time(), made, Consent(consent), mark, driven=(FILM,))
    return stated.of(film.columns, film.rows, film.views, film.aspect)


class _Seal:
    """Signs a film before it appears."""

    def __init__(self, signer: Signer | None, name: str, stated: Statement) -> None:
        self._signer, self._name, self._stated = signer, name, stated
        self.failure = ""
        "Why it could not."

    def put(self, film: Path) -> Path:
        """A signed copy of `film`, or `film` itself."""
        if self._signer is None:
            return film
        try:
            return self._signer.film(film, self._stated.told(), self._name)
        except Unsigned as failure:
            self.failure = str(failure)
            return film


class OffAxis:
    """An engine whose views are off-axis, as the programs that play quilt films take them for granted.

    It renders the views of `rendered` and gives those of `film`, of which there may be more: then some are repeated.
    """

    name: ClassVar[str] = "off-axis"
    abilities: ClassVar[Abilities] = Abilities(parallel=True)
    wants: ClassVar[frozenset[str]] = frozenset({"crop", "matte"})

    def __init__(self, engine: AnyEngine, rendered: Screen, film: Screen) -> None:
        self._engine = engine
        self.warm_up, self.enrol, self.drive = engine.warm_up, engine.enrol, engine.drive
        self._shown = list(nearest_views(film.views, rendered.views))
        orbit = fan(rendered)
        self.noise = engine.noise
        self._parallel = engine.abilities.parallel
        self._matrices = offaxis.homographies(orbit, focus=rendered.focus, parallel=self._parallel)
        self._cameras = offaxis.reframed(orbit, self._matrices) if self._parallel else orbit

    def render(self, state: Any, cameras: Cameras) -> ViewSet:
        """`cameras` are the film's, all of them; where its views are repeated, those that are rendered are fewer."""
        assert len(cameras) == len(self._shown), (len(cameras), len(self._shown))
        views = self._engine.render(state, self._cameras)
        if not self._parallel:
            views = offaxis.straightened(views, self._matrices)
        return views if len(views) == len(self._shown) else ViewSet(views.images[self._shown])


def _raise(failure: Failure | None) -> None:
    if failure is not None:
        raise failure.error


@contextmanager
def _film(
    out: Path, driver: Path, target: Screen, clip: clips.ClipFacts, seal: _Seal
) -> Iterator[Callable[[Picture], None]]:
    """Write pictures to `out`, which appears whole or not at all; the driver's sound is copied beside them."""
    part = out.with_name(f".{out.name}.part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            if target.views > 1:
                container.metadata["comment"] = OFF_AXIS
            film = _stream(container, target, clip)
            sound = _copied_sound(container, driver) if clip.has_sound else None

            last = -(1 << 62)

            def write(picture: Picture) -> None:
                nonlocal last
                last = max(round(picture.captured / TIME_BASE), last + 1)  # some clips' times stand or go back
                video = av.VideoFrame.from_ndarray(picture.yuv, format="yuv420p")
                video.pts, video.time_base = last, TIME_BASE
                container.mux(film.encode(video))

            yield write
            container.mux(film.encode(None))
            if sound is not None:
                sound()
        os.replace(seal.put(part), out)
    except av.error.FFmpegError as failure:
        raise OutputRefused(f"{out} cannot be written: {clips.at_most(failure)}") from failure
    except OSError as failure:
        raise OutputRefused(f"{out} cannot be written: {failure.strerror or failure}") from failure
    finally:
        part.unlink(missing_ok=True)


def _stream(container: OutputContainer, target: Screen, clip: clips.ClipFacts) -> VideoStream:
    """H.264 of the quilt's size, in an encoder's even pixels."""
    film = container.add_stream("libx264", rate=clip.rate)
    film.width = target.quilt_width + target.quilt_width % 2
    film.height = target.quilt_height + target.quilt_height % 2
    film.pix_fmt, film.time_base = "yuv420p", TIME_BASE
    film.codec_context.time_base = TIME_BASE  # else 1/rate, in which two pictures of a phone's clip may be one
    film.codec_context.options = {
        "crf": str(PICTURE_QUALITY),
        "preset": "veryfast",
        "x264-params": f"chromaloc={CHROMA_IN_THE_MIDDLE}",
    }
    # limited, BT.601: what display/colour.py converts to
    film.codec_context.color_range, film.codec_context.colorspace = 1, 6
    return film


def _copied_sound(container: OutputContainer, driver: Path) -> Callable[[], None] | None:
    """Announce the driver's sound in `container`; what comes back copies its packets, undecoded."""
    with av.open(str(driver)) as source:
        if source.streams.audio[0].codec_context.name not in ("aac", "mp3", "opus", "ac3", "alac"):
            return None  # MP4 cannot carry it
        copy = container.add_stream_from_template(source.streams.audio[0])

    def write() -> None:
        with av.open(str(driver)) as source:
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    container.mux(packet)

    return write
