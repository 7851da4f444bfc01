"""Stages: what happens to one frame, as steps for an executor. Knows no threads: it says what runs where, after what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np

from display.colour import Layout, converted
from display.label import mark
from display.optics import Cameras, fan
from display.quilt import Quilt, compose
from display.screen import Screen
from engines.contract import AnyEngine, FaceObservation
from pipeline.executors import Step, Task
from pipeline.flow import Work
from pipeline.frame import Frame
from pipeline.placement import Placement


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


@dataclass(frozen=True)
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

    def steps(self, work: Work) -> list[Step]:
        """The way of `work`. Without a watched screen a face is still observed, so that its calibration goes on."""
        place = self.placement
        steps: list[Step] = [[self._task("preprocess", place.preprocess, work, self._observe)]]
        if work.screens:
            steps += [
                [self._task("drive", place.drive, work, self._drive)],
                [
                    self._task("render", device, work, partial(self._render, part=part, of=len(place.render)))
                    for part, device in enumerate(place.render)
                ],
                [self._task("compose", place.display, work, self._compose)],
                [self._task("encode", place.display, work, self._present)],
            ]
        return steps

    def _task(self, stage: str, device: str, work: Work, run: Callable[[Work], None]) -> Task:
        def timed() -> None:
            begun = self.now()
            run(work)
            work.clock.mark(stage, begun, self.now())

        return Task(stage, device, timed)

    def _observe(self, work: Work) -> None:
        work.seen = self.observer.observe(work.frame)

    def _drive(self, work: Work) -> None:
        work.state = self.engine.drive(self.avatar, work.seen)

    def _render(self, work: Work, part: int, of: int) -> None:
        for screen in work.screens:
            batches = split_fan(screen, of)
            if part < len(batches):
                work.parts[screen][part] = self.engine.render(work.state, batches[part])

    def _compose(self, work: Work) -> None:
        for screen in work.screens:
            views = list(work.parts[screen].values())
            quilt = compose(views, screen, mark(screen, str(views[0].images.device)) if self.marked else None)
            yuv = encodable(quilt, self.layout)
            work.pictures.append(Picture(screen, yuv, self.layout, work.frame.sequence, work.frame.captured))

    def _present(self, work: Work) -> None:
        for picture in work.pictures:
            self.present(picture)


@lru_cache(maxsize=256)
def split_fan(screen: Screen, parts: int) -> list[Cameras]:
    """The cameras of `screen` for each of `parts` renderers; fewer batches than renderers where there are fewer views."""
    return fan(screen).split(parts)


def encodable(quilt: Quilt, layout: Layout) -> np.ndarray:
    """[3/2 H, W] uint8 in the host's memory: converted where the quilt is, so that 1.5 bytes a pixel are copied and not 4."""
    return converted(quilt.pixels, layout).cpu().numpy()
