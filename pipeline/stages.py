"""Stages: the way of a frame, from a caller's picture to what is sent. It is read here, from top to bottom:

    preprocess    the face is found                         pipeline/preprocess, a FaceObservation
    drive         the avatar moves as it does               engines/*/drive, a DrivenState
    render        it is seen from every camera              engines/*/render, a ViewSet; shared out over the renderers
    compose       one quilt, marked, in a codec's colours   display/planar (quilt, label, colour)
    encode        coded, and handed to whoever watches      server/media

A stage has this one name everywhere: in placements, steps, metrics, pages and documents. Knows no threads: it says what runs on
which device, after what; an executor (pipeline/executors) does it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, cast

import numpy as np

from display import planar
from display.colour import Layout
from display.label import mark
from display.quilt import Quilt, compose
from display.screen import Screen
from display.subsets import picked
from engines.contract import AnyEngine, Avatar, FaceObservation
from engines.geometry.asset import HasGeometry
from engines.geometry.motion import Motion
from pipeline.devices.placement import Placement
from pipeline.devices.timing import Span, instant
from pipeline.devices.transfer import Readback, Replicated
from pipeline.executors import FanOut, Step, Task
from pipeline.frame import Frame
from pipeline.job import FrameJob
from pipeline.rendering import Made, Views, at_once, render


@dataclass(frozen=True)
class Picture:
    """One quilt or single view, as encoders take it."""

    screen: Screen
    "Which was watched; the picture may have smaller tiles (display/detail.py)."
    yuv: np.ndarray
    "[3/2 H, W] uint8, even H and W (an odd quilt is padded at the right and top); display/colour.py says in which colours."
    layout: Layout
    sequence: int
    "Of the frame it was made from."
    captured: float
    "When that frame was taken in, seconds."


class Observing(Protocol):
    def observe(self, frame: Frame) -> FaceObservation: ...


@dataclass(frozen=True, eq=False)  # one caller is never equal to another
class Stages:
    """One caller's stages, bound to what they work with."""

    engine: AnyEngine
    avatar: Avatar
    observer: Observing
    placement: Placement
    encoded: Callable[[Picture], None]
    "Codes a picture and hands it on: the last stage."
    now: Callable[[], float]
    marked: bool = True
    "Whether every view carries the visible AI mark."
    layout: Layout = Layout.I420
    "What `encoded` takes."
    looked: Callable[[FaceObservation, float], None] | None = None
    "Hears of each observation, and of when its frame was captured, as soon as it is made: where a head is now is soon old."
    moved: Callable[[Motion, Frame], None] | None = None
    "Hears how each frame that somebody draws himself moves the avatar, as soon as it is driven."
    composed: Callable[[Screen, Quilt], None] | None = None
    "Hears of each quilt, and of the screen that was watched, where and when it was composed: this machine's display needs no codec."
    enrolled: Replicated[Avatar] = field(init=False)
    "The avatar on its way to where it is driven, once: it was enrolled wherever there was time."

    def __post_init__(self) -> None:
        object.__setattr__(self, "enrolled", Replicated(self.avatar))

    def steps(self, job: FrameJob) -> list[Step]:
        """The way of `job`. Without a watched screen a face is still observed, so that its calibration goes on; where all who
        watch draw the avatar themselves, it ends with the drive."""
        at = self.placement
        steps: list[Step] = [self._task("preprocess", at.preprocess, job, self.preprocess)]
        if job.screens or job.drawn:
            steps.append(self._task("drive", at.drive, job, self.drive, lambda: (self.engine, job.seen.presence > 0)))
        if job.screens:
            steps += [
                self._fan_out(job),
                self._task("compose", at.compose, job, self.compose),
                self._task("encode", at.encode, job, self.encode),
            ]
        return steps

    def preprocess(self, job: FrameJob) -> None:
        job.observation = self.observer.observe(job.frame)
        if self.looked is not None:
            self.looked(job.observation, job.frame.captured)

    def drive(self, job: FrameJob) -> None:
        state = self.engine.drive(self.enrolled.on(self.placement.drive), job.seen)
        job.driven = Replicated(state)
        if job.drawn and self.moved is not None:
            self.moved(cast(HasGeometry, self.engine).motion(state), job.frame)

    # render: rendering.render, once for all who render

    def compose(self, job: FrameJob) -> None:
        rendered = {
            screen: job.detail.spread([part.on(self.placement.compose) for part in job.views[screen].values()], screen)
            for screen in job.rendered
        }
        for screen, subset in job.screens.items():
            views, tiled = rendered[subset.source], job.detail.tiled(screen)
            if subset.source != screen:
                views = picked(views, subset.views, tiled.tile_width, tiled.tile_height)
            its_mark = mark(tiled, str(views[0].images.device), self.engine.abilities.mark) if self.marked else None
            # converted where the views are, so that 1.5 bytes a pixel are copied and not 4
            if self.composed is None:
                yuv = planar.composed(views, tiled, its_mark, self.layout)
            else:
                quilt = compose(views, tiled, its_mark)
                self.composed(screen, quilt)
                yuv = planar.converted(quilt.pixels, self.layout)
            job.quilts.append((screen, Readback(yuv)))

    def encode(self, job: FrameJob) -> None:
        for screen, read in job.quilts:
            self.encoded(Picture(screen, read.array(), self.layout, job.frame.sequence, job.frame.captured))

    def _fan_out(self, job: FrameJob) -> FanOut[Views, Made]:
        """Rendering, as an executor shares it out over the renderers."""
        views = Views(self.engine, self.placement.compose, self.now, job)
        return FanOut(
            stage="render",
            devices=self.placement.render,
            caller=self,
            kind=self.engine,
            views=len(views),
            at_once=partial(at_once, self.engine),
            send=lambda device: job.state.send(device),
            frame=views,
            run=render,
            keep=views.keep,
        )

    def _task(
        self,
        stage: str,
        device: str,
        job: FrameJob,
        run: Callable[[FrameJob], None],
        kind: Callable[[], Hashable] | None = None,
    ) -> Task:
        def timed() -> None:
            begun = instant(device, self.now)
            run(job)
            job.spans.append(Span(stage, device, begun, instant(device, self.now)))

        return Task(stage, device, timed, kind or (lambda: self.engine))
