"""Virtual: devices whose time passes by events. What frames do on them is decided by the product's own executor.

The way of a frame (executors/run.py) and who renders what (executors/dispatch.py) are the real ones. Only a device's thread and
its stream are replaced, by the rules of executors/lane.py: a CPU is busy with a task until that has ended; a GPU is told at once,
does what it is told in that order, and a task has ended when it has come so far.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipeline.devices.placement import Placement
from pipeline.executors import Done, Executor, Failure, FanOut, Step
from pipeline.executors.fair_queue import Batch
from pipeline.executors.health import DeviceReport
from pipeline.executors.lane import GpuStream, HostStream
from pipeline.executors.renderers import Renderers
from pipeline.executors.run import Owed, Run, UnderWay


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
    at_once: int = 0
    "Views of a full batch, which views of several callers may fill; 0 where each frame is rendered by itself."
    hand_over: float = 0.0
    "Until a device's thread takes up what another one gives it."

    def of(self, stage: str, views: int = 0) -> float:
        full = max(self.at_once, 1)
        return self.render + self.per_view * (-(-views // full) * full) if stage == "render" else getattr(self, stage)

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
    "Counts the frames of this caller that were taken up."
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


class VirtualDevices:
    """The threads executor on the devices of `placement`. `seat` gives each caller an executor of its own onto them."""

    def __init__(self, placement: Placement, costs: Costs, events: Events) -> None:
        self.spans: list[Span] = []
        self.costs = costs
        self.tickets: dict[Any, Ticket] = {}
        "A frame as renderers know it -> whose it is."
        on_cpu = placement.on_cpu()
        self._names = dict(zip(on_cpu.devices, placement.devices, strict=True))
        "Stages are told that every device is a CPU: there is no GPU here that could be asked for its time."
        self.lanes = {name: _lane(real)(events, costs.hand_over) for name, real in self._names.items()}
        lanes: Any = self.lanes  # which do what those of executors/lane.py do
        renderers = _Renderers({name: lanes[name] for name in on_cpu.render}, lambda: events.now)
        renderers.devices = self
        self.under_way = UnderWay(lanes, renderers, lambda: events.now)

    def seat(self, caller: int) -> Executor:
        return _Seat(self, caller)

    def note(self, stage: str, device: str, whose: Sequence[Ticket], begun: float, ended: float) -> None:
        self.spans += [ticket.span(stage, self._names[device], begun, ended) for ticket in whose]


@dataclass(eq=False)
class Ticket:
    """Whose a frame is."""

    caller: int
    frame: int
    captured: float
    driven: float = 0.0
    "When its state is there: a GPU is told to render before that, and waits."

    @classmethod
    def of(cls, caller: int, frame: int, steps: Sequence[Step]) -> Ticket:
        """Of a frame that somebody watches."""
        rendered = next(step for step in steps if isinstance(step, FanOut))
        return cls(caller, frame, rendered.frame.job.frame.captured)

    def span(self, stage: str, device: str, begun: float, ended: float) -> Span:
        return Span(stage, device, self.caller, self.frame, self.captured, begun, ended)


class _Seat:
    def __init__(self, devices: VirtualDevices, caller: int) -> None:
        self._devices, self._caller, self._frames = devices, caller, count()

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        ticket = Ticket.of(self._caller, next(self._frames), steps)
        rendered = [step.frame for step in steps if isinstance(step, FanOut)]
        self._devices.tickets.update(dict.fromkeys(rendered, ticket))

        def over(failure: Failure | None) -> None:
            for frame in rendered:
                del self._devices.tickets[frame]
            done(failure)

        run = _Run(self._devices.under_way, steps, over)
        run.devices, run.ticket = self._devices, ticket
        run.begin()

    def devices(self) -> list[DeviceReport]:
        return []

    def close(self) -> None:
        pass


class _Run(Run):
    """A frame's way, each task of which takes what it costs."""

    devices: VirtualDevices
    ticket: Ticket

    def _work(self, owed: Owed) -> None:
        task, lane = owed.task, self.devices.lanes[owed.task.device]
        seconds = self.devices.costs.of(task.stage)

        def told() -> None:
            self.devices.note(task.stage, task.device, [self.ticket], lane.end - seconds, lane.end)
            if task.stage == "drive":
                self.ticket.driven = lane.end
            super(_Run, self)._work(owed)

        lane.spend(seconds, told)


class _Renderers(Renderers):
    """Renderers whose batches take what they cost."""

    devices: VirtualDevices

    def _render(self, device: str, batch: Batch) -> None:
        tickets = [self.devices.tickets[part.wanted.item.fan_out.frame] for part in batch.parts]
        seconds, lane = self.devices.costs.of("render", len(batch)), self.devices.lanes[device]

        def told() -> None:
            self.devices.note("render", device, tickets, lane.end - seconds, lane.end)
            with lane.rendering():
                super(_Renderers, self)._render(device, batch)

        lane.spend(seconds, told, max(ticket.driven for ticket in tickets))


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
