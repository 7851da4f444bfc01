"""Session: one caller's live avatar. Offer a frame, run its stages, settle what came of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from display.colour import Layout
from display.detail import FULL, Detail
from display.quilt import Quilt
from display.screen import Screen
from display.subsets import Subset, subsets
from engines.contract import AnyEngine, Avatar, FaceObservation
from engines.geometry.motion import Motion
from pipeline.clock import Cost, Percentiles, StageClock, StageTimes
from pipeline.devices.placement import Placement
from pipeline.devices.timing import mark_times
from pipeline.executors import DeviceGone, Executor, Failure
from pipeline.flow import Flow
from pipeline.frame import Frame
from pipeline.job import FrameJob
from pipeline.stages import Picture, Stages

_log = logging.getLogger(__name__)

CLOSING_PATIENCE = 5.0
"Seconds at least that closing waits for a frame under way to end, once it is known what frames take."
BROKEN_AFTER = 12
"Frames that fail one after another until it is said: half a second of them."


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
    face: float | None
    "Pixels from forehead to chin in the picture that was tracked; None while no face is seen."
    busy: dict[str, float]
    "Device -> milliseconds that it works for one frame that somebody watches."


@dataclass(frozen=True)
class Lately:
    """How a session does now, for whoever decides how much detail it can afford."""

    frames: int
    "Finished since the session began."
    age: float
    "Seconds, of the 95th percentile of the newest frames; 0 where none was finished."
    watched: bool


class Session:
    """`offer`, `watch` and `unwatch` may be called from any thread and never wait for work."""

    def __init__(
        self,
        engine: AnyEngine,
        avatar: Avatar,
        observer: Observer,
        placement: Placement,
        executor: Executor,
        present: Callable[[Picture], None],
        *,
        marked: bool = True,
        layout: Layout = Layout.I420,
        composed: Callable[[Screen, Quilt], None] | None = None,
        looked: Callable[[FaceObservation, float], None] | None = None,
        moved: Callable[[Motion, Frame], None] | None = None,
        depth: int = 2,
        now: Callable[[], float] = time.monotonic,
        gone: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`gone` is told once, from any thread, why no frame can be finished any more: devices have failed. `looked` hears of each
        observation, `moved` of how each frame moves the avatar while somebody follows, in the threads that made them."""
        self._stages = Stages(
            engine, avatar, observer, placement, present, now, marked, layout, looked, moved, composed
        )
        self._observer, self._executor, self._now, self._gone = observer, executor, now, gone
        self._lock = threading.Condition()
        self._submitting = threading.RLock()
        self._flow = Flow(depth)
        self._watched: Counter[Screen] = Counter()
        self._followers = 0
        self._detail = FULL
        self._taken_up = 0
        self._times = StageTimes()
        self._newest: Frame | None = None
        self._offered = 0.0
        self._frames = 0
        self._presence = 0.0
        self._face: float | None = None
        self._failures: set[str] = set()
        self._failed, self._failing = 0, ""
        "How many of the newest frames have failed one after another, and how the last of them did."
        self._ended = False
        self._left_behind = False

    def offer(self, frame: Frame) -> None:
        """Take in a frame. A newer one takes the place of one still waiting; `report().drops` says so."""
        with self._lock:
            self._newest, self._offered = frame, self._now()
            self._flow.offer(StageClock(frame.captured), frame)
        self._run()

    def repeat(self, after: float) -> None:
        """Where somebody watches: take in the newest frame once more, unless one came within the last `after` seconds.

        A source that stands still sends none, and whoever comes late or lost a picture has nothing to look at. It is as old
        then as it was when it came: one captured now would be younger than what is on its way.
        """
        with self._lock:
            newest, stood = self._newest, self._now() - self._offered
            standing = self._wanted and stood >= after
        if standing and newest is not None:
            self.offer(replace(newest, captured=newest.captured + stood))

    def watch(self, screen: Screen) -> None:
        """Render `screen` from the next frame on, until every watcher has left it."""
        with self._lock:
            self._watched[screen] += 1

    def unwatch(self, screen: Screen) -> None:
        with self._lock:
            self._watched -= Counter({screen: 1})
            if not self._watched:
                self._times.forget_cost()

    def follow(self) -> None:
        """Drive the avatar from the next frame on, for one more who draws it himself; of an engine that has geometry."""
        with self._lock:
            self._followers += 1

    def unfollow(self) -> None:
        with self._lock:
            self._followers -= 1
            if not self._wanted:
                self._times.forget_cost()

    @property
    def drawn(self) -> bool:
        """Whether all who watch draw the avatar themselves, so that nothing is rendered."""
        with self._lock:
            return self._followers > 0 and not self._watched

    def make(self, detail: Detail, frames: float = 1.0) -> None:
        """Make so much of every screen, of such a share of the frames, from the next one on."""
        with self._lock:
            self._detail, self._flow.kept = detail, frames

    @property
    def watched(self) -> tuple[Screen, ...]:
        """What is rendered of a frame."""
        with self._lock:
            return tuple(self._watched)

    def report(self) -> SessionReport:
        with self._lock:
            return SessionReport(
                fps=round(self._times.rate(self._now()), 2),
                stages=self._times.stages,
                age=self._times.age,
                drops=dict(self._flow.dropped),
                frames=self._frames,
                presence=round(self._presence, 3),
                face=None if self._face is None else round(self._face, 1),
                busy={device: round(1e3 * seconds, 3) for device, seconds in self._times.cost.busy.items()},
            )

    def cost(self) -> Cost:
        """What this caller's frames cost, for whoever decides about one caller more."""
        with self._lock:
            return self._times.cost

    @property
    def newest(self) -> Frame | None:
        """The newest frame that was taken in."""
        return self._newest

    @property
    def presence(self) -> float:
        """0..1 of the newest observation; 0 while nobody is seen."""
        return self._presence

    @property
    def face(self) -> float | None:
        """Pixels from forehead to chin in the picture that was tracked last; None while no face is seen."""
        return self._face

    @property
    def failing(self) -> str:
        """Which stage fails, and how, where no frame gets past it any more; empty elsewhere."""
        return self._failing if self._failed >= BROKEN_AFTER else ""

    def fps(self) -> float:
        """Frames finished a second, lately."""
        with self._lock:
            return self._times.rate(self._now())

    def lately(self, over: float) -> Lately:
        """How it went during the last `over` seconds."""
        with self._lock:
            return Lately(self._frames, self._times.age_lately(self._now(), over), self._wanted)

    def close(self) -> None:
        """Take no more frames, wait for those under way, let the observer go. Not from within `present`.

        A frame that takes twenty times as long as usual is left behind; it lets the observer go if it ever ends.
        """
        with self._lock:
            self._flow.close()
            usual = self._times.age.p99 / 1e3
            patience = max(CLOSING_PATIENCE, 20 * usual) if usual else None
            idle = self._lock.wait_for(lambda: self._flow.idle, patience)
            self._left_behind = not idle
        if idle:
            self._observer.close()
        else:
            _log.error("a caller's frame does not end; the session is closed without it")

    def _run(self) -> None:
        with self._submitting:  # offering and settling threads meet here: frames must be submitted in order
            with self._lock:
                ready = self._flow.ready(self._now())
                for job in ready:
                    job.screens, job.detail, job.drawn = self._due(), self._detail, self._followers > 0
                    job.views = {screen: {} for screen in job.rendered}
            for job in ready:
                self._executor.submit(self._stages.steps(job), partial(self._settle, job))

    @property
    def _wanted(self) -> bool:
        """Whether somebody watches; under the lock."""
        return bool(self._watched) or self._followers > 0

    def _due(self) -> dict[Screen, Subset]:
        """What is to be shown of the frame that is taken up now."""
        self._taken_up += 1
        return subsets([screen for screen in self._watched if self._taken_up % screen.every == 0])

    def _settle(self, job: FrameJob, failure: Failure | None) -> None:
        gone = None
        with self._lock:
            self._flow.settle(job, failure.stage if failure else None)
            if failure is None:
                mark_times(job.clock, job.spans)
                # what frames cost is told of whole ones, since that is what the next caller's will
                whole = job.detail == FULL and (job.drawn or job.screens)
                self._times.add(job.clock, job.views_made if whole else None)
                self._frames, self._failed = self._frames + 1, 0
                self._presence = job.seen.presence
                self._face = job.seen.size if job.seen.confidence > 0 else None
            else:
                gone = self._note(failure)
                self._failed += 1
                self._failing = f"{failure.stage} fails on every picture ({type(failure.error).__name__})"
            late = self._left_behind and self._flow.idle
            self._lock.notify_all()
        if late:
            self._observer.close()
        if gone is not None:
            self._gone(gone)
        self._run()

    def _note(self, failure: Failure) -> str | None:
        """Why the session has to end, the first time that it has to."""
        if failure.stage not in self._failures:  # once a stage: a broken stage fails 25 times a second
            self._failures.add(failure.stage)
            _log.error("stage %s failed; further failures are only counted", failure.stage, exc_info=failure.error)
        if not isinstance(failure.error, DeviceGone) or self._ended:
            return None
        self._ended = True
        self._flow.close()
        return str(failure.error)
