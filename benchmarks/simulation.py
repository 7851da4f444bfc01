"""Simulation: what a placement will do, in virtual time, where no such machine is at hand.

Sessions, flow, stages and their order are the real ones (pipeline/). In the place of a device's thread there is a queue of events
that follows the rules of executors/threads.py: a device does one task at a time, in the order in which they became ready; a
step begins when all tasks of the one before have ended; a lone task on the device that has just ended one goes on there at once.
Knows no clock, no thread and no random numbers: the same question has the same answer.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any, ClassVar

import numpy as np
import torch

from display.optics import Cameras, orbit
from display.screen import Screen, fan_yaws
from display.views import ViewSet
from engines.contract import FaceObservation
from pipeline.clock import Percentiles, percentiles
from pipeline.executors import Done, Executor, Failure, Step, Task
from pipeline.frame import Frame
from pipeline.placement import Placement
from pipeline.roster import DeviceReport
from pipeline.session import Session
from pipeline.stages import Picture, split_fan

SETTLED_AFTER = 1.0
"Seconds that are simulated or run, and not counted: the first frames meet empty devices."


@dataclass(frozen=True)
class Costs:
    """Seconds that each stage holds its device for one frame."""

    preprocess: float
    drive: float
    render: float
    "Of a renderer, whatever it renders."
    per_view: float
    "Of a renderer, for each view besides."
    compose: float
    encode: float

    def of(self, stage: str, views: int) -> float:
        return self.render + self.per_view * views if stage == "render" else getattr(self, stage)


@dataclass(frozen=True)
class Load:
    """Who calls, and how."""

    callers: int = 1
    camera_rate: float = 30.0
    "Frames a second of each caller; their cameras take turns evenly."
    views: int = 24
    depth: int = 2
    "Frames of one caller under way at once."
    seconds: float = 6.0
    "Counted, after SETTLED_AFTER."

    def captures(self, caller: int) -> list[float]:
        """When the camera of `caller` takes each of its pictures."""
        apart = 1 / self.camera_rate
        frames = round((SETTLED_AFTER + self.seconds) * self.camera_rate)
        return [(number + caller / self.callers) * apart for number in range(frames)]


@dataclass(frozen=True)
class Span:
    """One task as it ran."""

    stage: str
    device: str
    caller: int
    frame: int
    "Counts the frames of this caller that were taken up."
    begun: float
    ended: float


@dataclass(frozen=True)
class Shown:
    """One picture as it arrived."""

    caller: int
    captured: float
    at: float


@dataclass(frozen=True)
class Outcome:
    """What callers and devices had of it, after SETTLED_AFTER."""

    fps: float
    "Pictures a second of one caller; the mean of all."
    slowest_fps: float
    "Of the caller who got fewest."
    age: Percentiles
    "Milliseconds from a frame's capture to the end of its encoding."
    drops: dict[str, int]
    "Reason -> frames lost, of all callers, from the beginning."
    busy: dict[str, float]
    "Device -> share of the time in which it worked, 0..1."
    spans: list[Span] = field(repr=False)
    captures: dict[tuple[int, int], float] = field(repr=False)
    "(Caller, frame) -> when its camera took it, of every frame that was shown."


def simulated(placement: Placement, costs: Costs, load: Load) -> Outcome:
    """Run `load` on `placement` where every stage takes what `costs` say."""
    events = Events()
    executor = Simulated(placement, costs, load.views, events)
    shown: list[Shown] = []
    sessions = [
        open_session(placement, executor.seat(caller), caller, load, shown.append, lambda: events.now)
        for caller in range(load.callers)
    ]
    for caller, session in enumerate(sessions):
        for captured in load.captures(caller):
            events.at(captured, lambda session=session, captured=captured: session.offer(blank_frame(captured)))
    events.run()
    return outcome(load, placement, sessions, shown, executor.spans)


def open_session(
    placement: Placement,
    executor: Executor,
    caller: int,
    load: Load,
    arrived: Callable[[Shown], None],
    now: Callable[[], float],
    engine: Any = None,
    observer: Any = None,
    presenting: Callable[[], None] = lambda: None,
) -> Session:
    """A real session whose pictures are a few pixels; by default its stages take no time of their own."""

    def present(picture: Picture) -> None:
        presenting()
        arrived(Shown(caller, picture.captured, now()))

    session = Session(
        engine or Blank(),
        None,
        observer or Blank(),
        placement,
        executor,
        present,
        marked=False,
        depth=load.depth,
        now=now,
    )
    session.watch(tiny_screen(load.views))
    return session


def outcome(
    load: Load, placement: Placement, sessions: Sequence[Session], shown: Sequence[Shown], spans: list[Span]
) -> Outcome:
    """What came of a run whose clock began at 0, real or simulated."""
    end = SETTLED_AFTER + load.seconds
    counted = [picture for picture in shown if SETTLED_AFTER <= picture.at < end]
    rates = [sum(picture.caller == caller for picture in counted) / load.seconds for caller in range(load.callers)]
    reports = [session.report() for session in sessions]
    reasons = sorted({reason for report in reports for reason in report.drops})
    busy = dict.fromkeys(placement.devices, 0.0)
    for span in spans:
        busy[span.device] += max(0.0, min(span.ended, end) - max(span.begun, SETTLED_AFTER)) / load.seconds
    captures: dict[tuple[int, int], float] = {}
    numbers = [count() for _ in sessions]
    for picture in shown:  # a caller's pictures arrive in the order in which its frames were taken up
        captures[picture.caller, next(numbers[picture.caller])] = picture.captured
    return Outcome(
        fps=round(sum(rates) / len(rates), 2),
        slowest_fps=round(min(rates), 2),
        age=percentiles(picture.at - picture.captured for picture in counted),
        drops={reason: sum(report.drops.get(reason, 0) for report in reports) for reason in reasons},
        busy={device: round(share, 3) for device, share in busy.items()},
        spans=spans,
        captures=captures,
    )


@cache
def tiny_screen(views: int) -> Screen:
    """`views` of 2x2 pixels: what they show takes no time, so that a stage takes what it is told to."""
    return Screen("tiny", views, 1, 2 * views, 2, 1.0, fan_yaws(views))


def blank_frame(captured: float) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), captured)


class Blank:
    """Engine and observer: sees the same face in every frame and renders black."""

    name: ClassVar[str] = "blank"
    wants: ClassVar[frozenset[str]] = frozenset()

    def warm_up(self) -> None:
        pass

    def enrol(self, portrait: FaceObservation) -> None:
        pass

    def observe(self, frame: Frame) -> FaceObservation:
        points = np.zeros((478, 3), np.float32)
        return FaceObservation(points, points, points, orbit(0.0), confidence=1.0)

    def drive(self, avatar: None, seen: FaceObservation) -> None:
        pass

    def render(self, state: None, cameras: Cameras) -> ViewSet:
        return ViewSet(torch.zeros((len(cameras), cameras.height, cameras.width, 4), dtype=torch.uint8), cameras.first)

    def close(self) -> None:
        pass


class Events:
    """What happens when; `now` is the time of what happens at the moment. Begins at 0 seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, when: float, happens: Callable[[], None]) -> None:
        """What is due at the same time happens in the order in which it was announced."""
        heapq.heappush(self._coming, (when, next(self._order), happens))

    def run(self) -> None:
        while self._coming:
            self.now, _, happens = heapq.heappop(self._coming)
            happens()


class Simulated:
    """The threads executor without its threads. `seat` gives each caller an executor of its own onto the same devices."""

    def __init__(self, placement: Placement, costs: Costs, views: int, events: Events) -> None:
        self.spans: list[Span] = []
        self._lanes = {device: _Lane() for device in placement.devices}
        self._costs, self._views, self._events = costs, views, events

    def seat(self, caller: int) -> Executor:
        return _Seat(self, caller)

    def begin(self, way: _Way) -> None:
        self._enter(way, here=None)

    def _enter(self, way: _Way, here: str | None) -> None:
        """Begin the step at `way.at`, as _Run._enter of executors/threads.py does."""
        while way.failure is None and way.at < len(way.steps):
            step = way.steps[way.at]
            way.open = len(step)
            jobs = [_Job(way, task, self._seconds(task, part, len(step))) for part, task in enumerate(step)]
            if len(jobs) == 1 and jobs[0].task.device == here:
                return self._start(jobs[0])
            for job in jobs:
                lane = self._lanes[job.task.device]
                lane.waiting.append(job)
                self._next(lane)
            if jobs:
                return None
            way.at += 1
        return way.done(way.failure)

    def _seconds(self, task: Task, part: int, of: int) -> float:
        batches = split_fan(tiny_screen(self._views), of)
        return self._costs.of(task.stage, len(batches[part]) if part < len(batches) else 0)

    def _start(self, job: _Job) -> None:
        self._lanes[job.task.device].busy = True
        begun = self._events.now
        self._events.at(begun + job.seconds, lambda: self._end(job, begun))

    def _end(self, job: _Job, begun: float) -> None:
        way, task = job.way, job.task
        try:
            task.run()  # what it does takes no time, and nobody could look at it before now
        except Exception as error:
            way.failure = way.failure or Failure(task.stage, error)
        self.spans.append(Span(task.stage, task.device, way.caller, way.frame, begun, self._events.now))
        lane = self._lanes[task.device]
        lane.busy = False
        way.open -= 1
        if way.open == 0:
            way.at += 1
            lane.held = True  # the thread settles and submits before it looks at its queue again
            self._enter(way, here=task.device)
            lane.held = False
        self._next(lane)

    def _next(self, lane: _Lane) -> None:
        if lane.waiting and not lane.busy and not lane.held:
            self._start(lane.waiting.popleft())


@dataclass
class _Lane:
    """A device: at most one job at a time."""

    waiting: deque[_Job] = field(default_factory=deque)
    busy: bool = False
    held: bool = False


@dataclass(eq=False)
class _Way:
    """One frame's way through its steps."""

    steps: list[Step]
    done: Done
    caller: int
    frame: int
    at: int = 0
    open: int = 0
    failure: Failure | None = None


@dataclass(eq=False)
class _Job:
    way: _Way
    task: Task
    seconds: float


class _Seat:
    def __init__(self, devices: Simulated, caller: int) -> None:
        self._devices, self._caller, self._frames = devices, caller, count()

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        self._devices.begin(_Way(list(steps), done, self._caller, next(self._frames)))

    def devices(self) -> list[DeviceReport]:
        return []

    def close(self) -> None:
        pass
