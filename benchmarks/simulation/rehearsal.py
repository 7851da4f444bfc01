"""Rehearsal: what benchmarks/simulation/simulation.py predicts, run for real: the threads executor, on devices that sleep what stages cost.

Sleeping leaves the processor to others, so a machine of two cores can rehearse a placement of sixteen devices. A CPU's thread
sleeps in its task; a GPU is told at once, and has come to the end when the time for all it was told is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from benchmarks.lib.seats import Seat
from benchmarks.simulation.simulation import Load, Outcome, Shown, blank_frame, open_sessions, outcome
from benchmarks.simulation.virtual import Costs, Span, Ticket
from pipeline.devices.placement import Placement
from pipeline.executors import Done, Executor, FanOut, Rendered, Step, Task
from pipeline.executors.lane import GpuStream, HostStream
from pipeline.executors.threads import Threads
from pipeline.frame import Frame
from pipeline.session import Session


def rehearsed(placement: Placement, costs: Costs, load: Load) -> Outcome:
    """As simulation.simulated, in real time."""
    stage = _Stage(placement, costs)
    shown: list[Shown] = []
    sessions = open_sessions(placement, stage.seat, costs, load, shown.append, stage.now)
    try:
        offered(sessions, load, stage.now, lambda number, captured: blank_frame(captured))
    finally:
        for session in sessions:
            session.close()
        stage.executor.close()
    return outcome(load, placement, sessions, shown, stage.spans)


def offered(
    sessions: Sequence[Session], load: Load, now: Callable[[], float], picture: Callable[[int, float], Frame]
) -> None:
    """Let the cameras of `load` run: each session is offered `picture(number, captured)` when that is due."""
    due = [(at, number, caller) for caller in range(load.callers) for number, at in enumerate(load.captures(caller))]
    for captured, number, caller in sorted(due):
        time.sleep(max(0.0, captured - now()))
        sessions[caller].offer(picture(number, captured))


class _Stage:
    """Real threads for the devices of a placement, which sleep."""

    def __init__(self, placement: Placement, costs: Costs) -> None:
        self.costs, self.spans = costs, list[Span]()
        self._begun = time.monotonic()
        on_cpu = placement.on_cpu()
        self.names = dict(zip(on_cpu.devices, placement.devices, strict=True))
        self.streams = {name: self._stream(real) for name, real in self.names.items()}
        self.executor = Threads(on_cpu, streams=self.streams.__getitem__)

    def now(self) -> float:
        return time.monotonic() - self._begun

    def seat(self, caller: int) -> Executor:
        return _Seat(self, caller)

    def _stream(self, real: str) -> _SleepingHost | _SleepingGpu:
        return _SleepingGpu(self.now) if real.startswith("cuda") else _SleepingHost(self.now)


class _Seat(Seat):
    """One caller's; lets every task take what it costs, and writes down when it ran."""

    def __init__(self, stage: _Stage, caller: int) -> None:
        super().__init__(stage.executor)
        self._stage, self._caller, self._frames = stage, caller, count()

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        ticket = Ticket.of(self._caller, next(self._frames), steps)
        super().submit([self._paced(step, ticket) for step in steps], done)

    def _paced(self, step: Step, ticket: Ticket) -> Step:
        if isinstance(step, FanOut):
            return replace(step, frame=(ticket, step.frame), run=partial(self._rendered, step.run))
        return [replace(task, run=partial(self._run, task, ticket)) for task in step]

    def _run(self, task: Task, ticket: Ticket) -> None:
        ended = self._spent(task.stage, task.device, [ticket], self._stage.costs.of(task.stage), 0.0)
        if task.stage == "drive":
            ticket.driven = ended
        task.run()

    def _rendered(
        self, run: Callable[[str, Sequence[Any]], Rendered], device: str, parts: Sequence[tuple[Any, range]]
    ) -> Rendered:
        tickets = [ticket for (ticket, _), _ in parts]
        seconds = self._stage.costs.of("render", sum(len(views) for _, views in parts))
        self._spent("render", device, tickets, seconds, max(ticket.driven for ticket in tickets))
        made = run(device, [(frame, views) for (_, frame), views in parts])
        return replace(made, fence=self._stage.streams[device].fence())

    def _spent(self, stage: str, device: str, whose: list[Ticket], seconds: float, ready: float) -> float:
        begun, ended = self._stage.streams[device].spend(seconds, ready)
        self._stage.spans += [ticket.span(stage, self._stage.names[device], begun, ended) for ticket in whose]
        return ended


class _SleepingHost(HostStream):
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def spend(self, seconds: float, ready: float) -> tuple[float, float]:
        """When it began and ended."""
        begun = self._now()
        time.sleep(max(0.0, ready - begun) + seconds)
        return begun, self._now()


class _SleepingGpu:
    ahead = GpuStream.ahead

    def __init__(self, now: Callable[[], float]) -> None:
        self._now, self._end = now, 0.0

    def open(self) -> None:
        pass

    def spend(self, seconds: float, ready: float) -> tuple[float, float]:
        """When it will begin and end."""
        begun = max(self._now(), self._end, ready)
        self._end = begun + seconds
        return begun, self._end

    def fence(self) -> Any:
        return _Until(self._end, self._now)


class _Until:
    """What has to be waited for until the time comes."""

    def __init__(self, end: float, now: Callable[[], float]) -> None:
        self._end, self._now = end, now

    def wait(self) -> None:
        time.sleep(max(0.0, self._end - self._now()))
