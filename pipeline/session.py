"""Session: one caller's live avatar. Offer a frame, run its stages, settle what came of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from display.colour import Layout
from display.screen import Screen
from engines.contract import AnyEngine, FaceObservation
from pipeline.clock import Percentiles, StageClock, StageTimes
from pipeline.executors import Executor, Failure
from pipeline.flow import Flow, Work
from pipeline.frame import Frame
from pipeline.placement import Placement
from pipeline.stages import Picture, Stages

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """What a session needs of pipeline.preprocess.observer.Observer."""

    def observe(self, frame: Frame) -> FaceObservation: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class SessionReport:
    """How a session is doing, over its newest frames."""

    fps: float
    "Frames finished a second."
    stages: dict[str, Percentiles]
    "Stage -> milliseconds."
    age: Percentiles
    "Milliseconds from a frame's capture to the end of its last stage."
    drops: dict[str, int]
    "Reason -> frames lost, since the session began."
    frames: int
    "Frames finished since the session began."
    presence: float
    "0..1 of the newest observation; 0 while nobody is seen."


class Session:
    """`offer`, `watch` and `unwatch` may be called from any thread and never wait for work."""

    def __init__(
        self,
        engine: AnyEngine,
        avatar: Any,
        observer: Observer,
        placement: Placement,
        executor: Executor,
        present: Callable[[Picture], None],
        *,
        marked: bool = True,
        layout: Layout = Layout.I420,
        depth: int = 2,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = Stages(engine, avatar, observer, placement, present, now, marked, layout)
        self._observer, self._executor, self._now = observer, executor, now
        self._lock = threading.Condition()
        self._submitting = threading.RLock()
        self._flow = Flow(depth)
        self._watched: Counter[Screen] = Counter()
        self._times = StageTimes()
        self._frames = 0
        self._presence = 0.0
        self._failures: set[str] = set()

    def offer(self, frame: Frame) -> None:
        """Take in a frame. A newer one takes the place of one still waiting; `report().drops` says so."""
        with self._lock:
            self._flow.offer(StageClock(frame.captured), frame)
        self._run()

    def watch(self, screen: Screen) -> None:
        """Render `screen` from the next frame on, until every watcher has left it."""
        with self._lock:
            self._watched[screen] += 1

    def unwatch(self, screen: Screen) -> None:
        with self._lock:
            self._watched -= Counter({screen: 1})

    def report(self) -> SessionReport:
        with self._lock:
            return SessionReport(
                fps=round(self._times.rate(self._now()), 2),
                stages=self._times.stages,
                age=self._times.age,
                drops=dict(self._flow.dropped),
                frames=self._frames,
                presence=round(self._presence, 3),
            )

    def close(self) -> None:
        """Take no more frames, wait for those under way, let the observer go. Not from within `present`."""
        with self._lock:
            self._flow.close()
            self._lock.wait_for(lambda: self._flow.idle)
        self._observer.close()

    def _run(self) -> None:
        with self._submitting:  # offering and settling threads meet here: frames must be submitted in order
            with self._lock:
                ready = self._flow.ready(self._now())
                for work in ready:
                    work.screens = tuple(self._watched)
                    work.parts = {screen: {} for screen in work.screens}
            for work in ready:
                self._executor.submit(self._stages.steps(work), partial(self._settle, work))

    def _settle(self, work: Work, failure: Failure | None) -> None:
        with self._lock:
            self._flow.settle(work, failure.stage if failure else None)
            if failure is None:
                self._times.add(work.clock)
                self._frames += 1
                self._presence = work.seen.presence
            elif failure.stage not in self._failures:  # once a stage: a broken stage fails 25 times a second
                self._failures.add(failure.stage)
                _log.error("stage %s failed; further failures are only counted", failure.stage, exc_info=failure.error)
            self._lock.notify_all()
        self._run()
