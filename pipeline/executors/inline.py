"""Inline: runs every task at once in the calling thread. For tests, offline rendering and as the definition of the others."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.executors import Done, Failure, FanOut, Step
from pipeline.executors.health import DeviceReport


class Inline:
    def submit(self, steps: Sequence[Step], done: Done) -> None:
        for step in steps:
            for task in step.tasks() if isinstance(step, FanOut) else [step]:
                try:
                    task.run()
                except Exception as error:
                    return done(Failure(task.stage, error))
        return done(None)

    def devices(self) -> list[DeviceReport]:
        return []

    def close(self) -> None:
        pass
