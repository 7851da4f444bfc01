"""Stages: what happens to one frame, as steps for an executor. Knows no threads: it says what runs where, after what."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from display.colour import Layout, converted
from display.label import mark
from display.quilt import Quilt, compose
from display.screen import Screen
from engines.contract import AnyEngine, FaceObservation
from pipeline.devices.placement import Placement
from pipeline.devices.timing import Span, instant
from pipeline.devices.transfer import Readback, Replicated
from pipeline.executors import FanOut, Step, Task
from pipeline.flow import Work
from pipeline.frame import Frame
from pipeline.rendering import Views, at_once, render, split_fan


@dataclass(frozen=True)
class Picture:
    """One quilt or single view, as encoders take it."""

    screen: Screen
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
    avatar: Any
    observer: Observing
    placement: Placement
    present: Callable[[Picture], None]
    "Encodes a picture and hands it on; the last stage."
    now: Callable[[], float]
    marked: bool = True
    "Whether every view carries the visible AI mark."
    layout: Layout = Layout.I420
    "What `present` takes."
    composed: Callable[[Quilt], None] | None = None
    "Hears of each quilt where and when it was composed, as the display of this machine does: that needs no codec."
    enrolled: Replicated[Any] = field(init=False)
    "The avatar on its way to where it is driven, once: it was enrolled wherever there was time."

    def __post_init__(self) -> None:
        object.__setattr__(self, "enrolled", Replicated(self.avatar))

    def steps(self, work: Work) -> list[Step]:
        """The way of `work`. Without a watched screen a face is still observed, so that its calibration goes on."""
        place = self.placement
        steps: list[Step] = [[self._task("preprocess", place.preprocess, work, self._observe)]]
        if work.screens:
            steps += [
                [self._task("drive", place.drive, work, self._drive, lambda: (self.engine, work.seen.presence > 0))],
                self._fan_out(work),
                [self._task("compose", place.display, work, self._compose)],
                [self._task("encode", place.encode, work, self._present)],
            ]
        return steps

    def _fan_out(self, work: Work) -> FanOut:
        """Rendering: a task for each renderer, or as the executor shares it out better."""
        views, renderers = Views(self.engine, self.placement.display, self.now, work), self.placement.render
        return FanOut(
            tuple(
                self._task("render", device, work, partial(self._render, part=part, of=len(renderers)))
                for part, device in enumerate(renderers)
            ),
            caller=self,
            kind=self.engine,
            views=len(views),
            at_once=partial(at_once, self.engine),
            send=lambda device: work.state.send(device),
            frame=views,
            run=render,
            keep=views.keep,
        )

    def _task(
        self,
        stage: str,
        device: str,
        work: Work,
        run: Callable[[Work], None],
        kind: Callable[[], Hashable] | None = None,
    ) -> Task:
        def timed() -> None:
            begun = instant(device, self.now)
            run(work)
            work.spans.append(Span(stage, device, begun, instant(device, self.now)))

        return Task(stage, device, timed, kind or (lambda: self.engine))

    def _observe(self, work: Work) -> None:
        work.seen = self.observer.observe(work.frame)

    def _drive(self, work: Work) -> None:
        avatar = self.enrolled.on(self.placement.drive)
        work.state = Replicated(self.engine.drive(avatar, work.seen))

    def _render(self, work: Work, part: int, of: int) -> None:
        """The plain way: this renderer's even share of each screen."""
        state = work.state.on(self.placement.render[part])
        for screen in work.screens:
            batches = split_fan(screen, of)
            if part < len(batches):
                views = self.engine.render(state, batches[part])
                work.parts[screen][views.first] = Replicated(views)

    def _compose(self, work: Work) -> None:
        for screen in work.screens:
            views = [part.on(self.placement.display) for part in work.parts[screen].values()]
            quilt = compose(views, screen, mark(screen, str(views[0].images.device)) if self.marked else None)
            if self.composed is not None:
                self.composed(quilt)
            # converted where the quilt is, so that 1.5 bytes a pixel are copied and not 4
            work.pictures.append((screen, Readback(converted(quilt.pixels, self.layout))))

    def _present(self, work: Work) -> None:
        for screen, readback in work.pictures:
            self.present(Picture(screen, readback.array(), self.layout, work.frame.sequence, work.frame.captured))
