"""Rendering: the views of one frame, as renderers share them out and as batches of several callers hold them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, cast

from display.optics import Cameras, fan
from display.screen import Screen
from display.views import ViewSet
from engines.contract import AnyEngine, SharesBatches
from pipeline.devices.timing import Span, instant
from pipeline.devices.transfer import Replicated, fence
from pipeline.executors import Rendered
from pipeline.job import FrameJob


@dataclass(frozen=True, eq=False)
class Views:
    """All views of one frame, numbered through the screens that watch it."""

    engine: AnyEngine
    compose: str
    "The device where they are composed."
    now: Callable[[], float]
    job: FrameJob

    def __len__(self) -> int:
        return self.job.views_made

    def cameras(self, views: range) -> list[tuple[Screen, Cameras]]:
        """Whose cameras these are: neighbouring ones of a screen in one batch."""
        screens = self.job.rendered
        made = [self.job.detail.rendered(screen) for screen in screens]
        bounds = pairwise(accumulate((screen.views for screen in made), initial=0))
        pieces = [
            (screen, form, max(views.start, begin) - begin, min(views.stop, end) - begin)
            for screen, form, (begin, end) in zip(screens, made, bounds, strict=True)
        ]
        return [(screen, neighbours(form, first, stop)) for screen, form, first, stop in pieces if first < stop]

    def keep(self, views: range, made: Made) -> None:
        for screen, first, part in made.parts:
            self.job.views[screen][first] = part
        self.job.spans.append(made.span)


@dataclass(frozen=True)
class Made:
    """What a renderer made of one frame's part of a batch."""

    parts: list[tuple[Screen, int, Replicated[ViewSet]]]
    "Screen, first view, and the views on their way to where they are composed."
    span: Span


def render(device: str, batch: Sequence[tuple[Views, range]]) -> Rendered[Made]:
    """Render views of one or several frames on `device`, whose thread this is, with the engine that they share."""
    asked = [(frame, len(views), frame.cameras(views)) for frame, views in batch]
    requests = [(frame.job.state.on(device), cameras) for frame, _, pieces in asked for _, cameras in pieces]
    now, total = batch[0][0].now, sum(count for _, count, _ in asked)
    begun = instant(device, now)
    rendered = iter(_rendered(batch[0][0].engine, requests))
    ended = instant(device, now)
    fences, results = [], []
    for frame, count, pieces in asked:
        parts = [(screen, cameras.first, Replicated(next(rendered))) for screen, cameras in pieces]
        fences += [part.send(frame.compose) for _, _, part in parts]
        results.append(Made(parts, Span("render", device, begun, ended, count / total)))
    return Rendered(results, fence(device, *fences))


def at_once(engine: AnyEngine) -> int | None:
    """Views of a full batch of `engine` on this thread's device; None where it renders each frame by itself."""
    return cast(SharesBatches, engine).views_at_once if engine.abilities.batches else None


def _rendered(engine: AnyEngine, requests: Sequence[tuple[Any, Cameras]]) -> list[ViewSet]:
    if engine.abilities.batches:
        return cast(SharesBatches, engine).render_many(requests)
    return [engine.render(state, cameras) for state, cameras in requests]


@lru_cache(maxsize=1024)
def neighbours(screen: Screen, first: int, stop: int) -> Cameras:
    """The cameras of views `first` to `stop` of `screen`."""
    every = fan(screen)
    return Cameras(
        every.cam2world[first:stop], every.intrinsics[first:stop], every.width, every.height, every.first + first
    )
