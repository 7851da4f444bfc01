"""Rehearsal: what benchmarks/simulation.py predicts, run for real: the threads executor, whose stages sleep what they cost.

Sleeping leaves the processor to others, so a machine of two cores can rehearse a placement of sixteen devices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from benchmarks.simulation import Costs, Load, Outcome, Shown, Span, blank_frame, open_session, outcome, tiny_screen
from pipeline.executors import Done, Executor, Step, Task
from pipeline.executors.threads import Threads
from pipeline.placement import Placement
from pipeline.stages import split_fan


@dataclass
class Traced:
    """One caller's seat at `executor` that writes down when each task ran, and lets it take what it costs."""

    executor: Executor
    caller: int
    spans: list[Span]
    now: Callable[[], float]
    costs: Costs | None = None
    "None: tasks take what they take."
    views: int = 0
    _frames: count = field(default_factory=count)

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        frame = next(self._frames)
        self.executor.submit(
            [[self._traced(task, part, step, frame) for part, task in enumerate(step)] for step in steps], done
        )

    def close(self) -> None:
        pass

    def _traced(self, task: Task, part: int, step: Step, frame: int) -> Task:
        def run() -> None:
            begun = self.now()
            if self.costs is not None:
                batches = split_fan(tiny_screen(self.views), len(step))
                views = len(batches[part]) if part < len(batches) else 0
                time.sleep(self.costs.of(task.stage, views))
            try:
                task.run()
            finally:
                self.spans.append(Span(task.stage, task.device, self.caller, frame, begun, self.now()))

        return replace(task, run=run)


def rehearsed(placement: Placement, costs: Costs, load: Load) -> Outcome:
    """As simulation.simulated, in real time; every device of `placement` becomes a thread of the CPU under its name."""
    on_cpu = placement.on_cpu()
    names = dict(zip(on_cpu.devices, placement.devices, strict=True))
    executor = Threads(on_cpu)
    spans: list[Span] = []
    shown: list[Shown] = []
    begun = time.monotonic()

    def now() -> float:
        return time.monotonic() - begun

    sessions = [
        open_session(on_cpu, Traced(executor, caller, spans, now, costs, load.views), caller, load, shown.append, now)
        for caller in range(load.callers)
    ]
    try:
        pictures = sorted((at, caller) for caller in range(load.callers) for at in load.captures(caller))
        for captured, caller in pictures:
            time.sleep(max(0.0, captured - now()))
            sessions[caller].offer(blank_frame(captured))
    finally:
        for session in sessions:
            session.close()
        executor.close()
    return outcome(load, placement, sessions, shown, [replace(span, device=names[span.device]) for span in spans])
