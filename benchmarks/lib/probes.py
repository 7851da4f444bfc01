"""Probes: wrapped executors that benchmarks give to callers, to see what becomes of their frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.executors import Done, Executor, FanOut, Step
from pipeline.executors.health import DeviceReport
from pipeline.job import FrameJob
from pipeline.session import SessionReport


class Probe:
    """One caller's at `executor`, which others share: closing a probe leaves it open."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        self._executor.submit(steps, done)

    def devices(self) -> list[DeviceReport]:
        return self._executor.devices()

    def close(self) -> None:
        pass


def job_of(steps: Sequence[Step]) -> FrameJob:
    """Of a frame that somebody watches."""
    return next(step.frame.job for step in steps if isinstance(step, FanOut))


def drops_of(reports: Iterable[SessionReport]) -> dict[str, int]:
    """Reason -> frames of all sessions together."""
    drops: dict[str, int] = {}
    for report in reports:
        for reason, count in report.drops.items():
            drops[reason] = drops.get(reason, 0) + count
    return dict(sorted(drops.items()))
