"""Render: a portrait, or a head that is brought, and a clip in, a quilt film out. Every frame is rendered, none is dropped; no network."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from display import offaxis
from display.optics import Cameras, fan
from display.screen import PRODUCT, Screen, nearest_views, screen
from display.subsets import subsets
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
from pipeline.stages import Stages
from server.commands.quilt_film import OutputRefused, Seal, checked_output, film_file
from server.commands.sitter import engine_for, sitter
from server.displays import glass
from server.media import clips
from server.provenance.credentials import Signer
from server.provenance.statement import FILM, UNSTATED, Consent, Engine, Statement

GRID = re.compile(r"(\d{1,2})x(\d{1,2})")
LARGEST_GRID = 50
ATTACHED = "attached"
"In place of a screen's name: what the Looking Glass asks for that is attached to this machine."


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
    also: Sequence[Path] = (),
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> Result:
    """Drive `portrait` by the face in `driver` and write what `target` shows of it, with the driver's sound.

    `portrait` is a photo, or an avatar that was made elsewhere; who names no engine gets one that shows it.
    `expression` 0..1 is the share of the portrait's own that the avatar keeps; `also` further photos of the same person.
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
    shown = sitter(portrait, engine, expression, also)

    begun, done, unseen = time.monotonic(), 0, 0
    made = _build(engine_name, options)
    made = replace(made, weights={**made.weights, **shown.weights})
    seal = Seal(signer, out.name, _stated(made, engine.abilities.mark if marked else "", consent, film))
    with film_file(out, driver, film, clip, seal) as write, Observer(engine.wants, weights=options.weights) as observer:
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
