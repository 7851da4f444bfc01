"""Device times: what each part of a frame takes on one device, by events in its stream where it is a GPU.

The parts of a frame run one after another, and the frame ends with waiting for the device: nothing overlaps here. How much
overlapping gains is seen in the sessions beside it (benchmarks/lib/sessions.py).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.profiler import record_function

from engines.runtime import Component, Run, Runtime
from pipeline.clock import percentiles


@dataclass(frozen=True)
class Spread:
    """Milliseconds over the frames measured."""

    p50: float
    p95: float
    least: float
    most: float
    frames: int


def spread(seconds: Sequence[float]) -> Spread:
    middle = percentiles(seconds)
    least, most = (round(1e3 * bound, 3) for bound in (min(seconds), max(seconds)))
    return Spread(middle.p50, middle.p95, least, most, len(seconds))


class DeviceTimes:
    """Times of named parts, frame by frame. A part that runs several times in a frame counts with its sum."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any, Any]] = []
        self._parts: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        begun = self._instant()
        with record_function(name):  # for a profiler that looks on
            yield
        self._marks.append((name, begun, self._instant()))

    @contextmanager
    def frame(self) -> Iterator[None]:
        """One frame, waited for at its end; also timed as a whole, from the host: `frame`."""
        self._wait()
        self._marks.clear()
        begun = time.perf_counter()
        yield
        self._wait()
        whole = time.perf_counter() - begun
        sums: defaultdict[str, float] = defaultdict(float)
        for name, before, after in self._marks:
            sums[name] += self._between(before, after)
        for name, seconds in (sums | {"frame": whole}).items():
            self._parts.setdefault(name, []).append(seconds)

    def forget(self) -> None:
        """What was measured so far was warm-up."""
        self._parts.clear()

    @property
    def parts(self) -> dict[str, Spread]:
        return {name: spread(seconds) for name, seconds in self._parts.items()}

    def _instant(self) -> Any:
        if self._device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _between(self, before: Any, after: Any) -> float:
        return after - before if self._device.type != "cuda" else before.elapsed_time(after) / 1e3

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


class Timed:
    """A runtime whose components say when they run."""

    name: ClassVar[str] = "timed"

    def __init__(self, runtime: Runtime, times: DeviceTimes) -> None:
        self.ran_by: dict[str, str] = {}
        "Component -> what really runs it, after any falling back."
        self._runtime, self._times = runtime, times

    def prepare(self, component: Component) -> Run:
        run = _TimedRun(self._runtime.prepare(component), component.name, self._times)
        self.ran_by[component.name] = run.by
        return run


class _TimedRun:
    def __init__(self, run: Run, name: str, times: DeviceTimes) -> None:
        self.by = run.by
        self._run, self._name, self._times = run, name, times

    def __call__(self, *inputs: Tensor, out: Tensor | None = None) -> Tensor:
        with self._times.part(self._name):
            return self._run(*inputs, out=out)
