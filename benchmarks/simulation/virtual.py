"""Virtual: devices whose time passes by events. What frames do on them is decided by the product's own executor.

The way of a frame and who renders what (pipeline/executors) are the real ones. Only a device's thread and its stream are
replaced, by the rules of executors/lane.py: a CPU is busy with a task until that has ended; a GPU is told at once, does what it is
told in that order, and a task has ended when it has come so far.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipeline.devices.placement import Placement
from pipeline.executors import Done, FanOut, Step, Task
from pipeline.executors.chain import Chain, Going
from pipeline.executors.fair_queue import Batch
from pipeline.executors.lane import GpuStream, HostStream
from pipeline.executors.pool import Pool
from pipeline.executors.renderers import Renderers


@dataclass(frozen=True)
class Costs:
    """Seconds that each stage holds its device for one frame, and what lies between two of them."""

    preprocess: float
    drive: float
    render: float
    "Of a renderer's batch, whatever is in it."
    per_view: float
    "Of each view in it, besides."
    compose: float
    encode: float
    hand_over: float = 0.0
    "Until a device's thread takes up what another one gives it."

    def of(self, stage: str, views: int = 0) -> float:
        return self.render + self.per_view * views if stage == "render" else getattr(self, stage)

    def whole(self, views: int) -> float:
        """Of a frame of which one renderer renders all `views`, and which meets no other."""
        return self.preprocess + self.drive + self.of("render", views) + self.compose + self.encode


@dataclass(frozen=True)
class Span:
    """One task as it ran."""

    stage: str
    device: str
    caller: int
    frame: int
    "As its camera counts."
    captured: float
    "When the camera took this frame."
    begun: float
    ended: float


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


@dataclass(frozen=True, eq=False, kw_only=True)
class _Task(Task):
    """One that knows of which frame it is, by its rendering: somebody watches."""

    of: FanOut


class VirtualPool(Pool):
    """The pool on virtual devices in the shape of `placement`."""

    def __init__(self, placement: Placement, costs: Costs, events: Events) -> None:
        self.spans: list[Span] = []
        self.costs = costs
        self.driven: dict[FanOut, float] = {}
        "Frame -> when its state is there: a GPU is told to render before that, and waits."
        self._callers: dict[Hashable, int] = {}
        on_cpu = placement.on_cpu()
        self._names = dict(zip(on_cpu.devices, placement.devices, strict=True))
        "Stages are told that every device is a CPU: there is no GPU here that could be asked for its time."
        self.virtual = {name: _lane(real)(events, costs.hand_over) for name, real in self._names.items()}
        lanes: Any = self.virtual  # which do what those of executors/lane.py do
        self._renderers = _Renderers({name: lanes[name] for name in on_cpu.render}, lambda: events.now)
        self._renderers.pool = self
        self._rendering, self._made = frozenset(on_cpu.render), 0.0
        Chain.__init__(self, on_cpu, lambda: events.now, lanes, judged=False)
        self._watch.close()  # nothing hangs here

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        of = next(step for step in steps if isinstance(step, FanOut))
        super().submit(
            [_Task(one.stage, one.device, one.run, of=of) if isinstance(one, Task) else one for one in steps], done
        )

    def note(self, stage: str, device: str, of: Sequence[FanOut], begun: float, ended: float) -> None:
        for one in of:
            frame, caller = one.frame.job.frame, self._callers.setdefault(one.caller, len(self._callers))
            self.spans.append(Span(stage, self._names[device], caller, frame.sequence, frame.captured, begun, ended))

    def _work(self, frame: Going, task: Task) -> None:
        """Each task takes what it costs."""
        assert isinstance(task, _Task)
        lane, seconds = self.virtual[task.device], self.costs.of(task.stage)

        def told() -> None:
            self.note(task.stage, task.device, [task.of], lane.end - seconds, lane.end)
            if task.stage == "drive":
                self.driven[task.of] = lane.end
            super(VirtualPool, self)._work(frame, task)

        lane.spend(seconds, told)


class _Renderers(Renderers):
    """Renderers whose batches take what they cost."""

    pool: VirtualPool

    def _render(self, device: str, batch: Batch) -> None:
        of = [part.wanted.item.fan_out for part in batch.parts]
        seconds, lane = self.pool.costs.of("render", len(batch)), self.pool.virtual[device]

        def told() -> None:
            self.pool.note("render", device, of, lane.end - seconds, lane.end)
            with lane.rendering():
                super(_Renderers, self)._render(device, batch)

        lane.spend(seconds, told, max(self.pool.driven[one] for one in of))


class _HostLane:
    """A CPU's thread, as executors/lane.py has it with its HostStream."""

    ahead = HostStream.ahead
    opening = False

    def __init__(self, events: Events, hand_over: float) -> None:
        self.stream, self._events, self._hand_over = self, events, hand_over
        self._jobs: deque[Callable[[], None]] = deque()
        self._busy = False

    @property
    def end(self) -> float:
        """When it has done all it was told."""
        return self._events.now

    def check(self) -> None:
        """It can always be opened."""

    def put(self, job: Callable[[], None]) -> None:
        def taken() -> None:
            self._jobs.append(job)
            self._next()

        self._events.at(self._events.now + self._hand_over, taken)

    def spend(self, seconds: float, told: Callable[[], None], ready: float = 0.0) -> None:
        """Be busy for `seconds`, from when everything is `ready`, and then call `told`, which takes no time."""
        self._busy = True

        def over() -> None:
            self._busy = False
            told()
            self._next()

        self._events.at(max(self._events.now, ready) + seconds, over)

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """A batch is told within."""
        yield

    def fence(self) -> float | None:
        return None

    def arrive(self, fence: float | None, arrived: Callable[[Exception | None], None]) -> None:
        arrived(None)

    def _next(self) -> None:
        while self._jobs and not self._busy:
            self._jobs.popleft()()


class _GpuLane(_HostLane):
    """A GPU and the thread that tells it in no time what to do, as executors/lane.py has them with its GpuStream."""

    ahead = GpuStream.ahead

    def __init__(self, events: Events, hand_over: float) -> None:
        super().__init__(events, hand_over)
        self._end = 0.0
        self._rendering = False

    @property
    def end(self) -> float:
        return self._end

    def spend(self, seconds: float, told: Callable[[], None], ready: float = 0.0) -> None:
        """Be told now to work for `seconds`, from when everything is `ready` and all before is done."""
        self._end = max(self._events.now, self._end, ready) + seconds
        told()

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """A batch is told within. Its views are tensors of the CPU, which have no fence: it ends with this GPU's work."""
        self._rendering = True
        yield
        self._rendering = False

    def fence(self) -> float:
        return self._end

    def arrive(self, fence: float | None, arrived: Callable[[Exception | None], None]) -> None:
        at = self._end if self._rendering else fence
        if at is None:
            arrived(None)
        else:
            self._events.at(at, lambda: arrived(None))


def _lane(device: str) -> type[_HostLane]:
    return _GpuLane if device.startswith("cuda") else _HostLane
