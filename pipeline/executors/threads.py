"""Threads: one thread for each device of a placement. Every stage releases the GIL where its time goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from pipeline.executors import Done, Failure, Step, Task
from pipeline.placement import Placement

_log = logging.getLogger(__name__)


class Threads:
    def __init__(self, placement: Placement) -> None:
        self._lanes = {device: _Lane(device) for device in placement.devices}

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        _Run(self._lanes, list(steps), done).begin()

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()


class _Lane:
    """A device's thread and what it is to do next. Bounded by its users: a Flow has at most `depth` frames under way."""

    def __init__(self, device: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, args=(device,), name=f"stage-{device}", daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _loop(self, device: str) -> None:
        if device.startswith("cuda"):
            import torch  # only where there is a GPU to choose: the CPU's threads need none of it

            torch.cuda.set_device(device)
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # a done callback that raises must not stop the device for every other caller
                _log.exception("a finished frame could not be settled")


class _Run:
    """One frame's way through its steps."""

    def __init__(self, lanes: dict[str, _Lane], steps: list[Step], done: Done) -> None:
        self._lanes, self._steps, self._done = lanes, steps, done
        self._lock = threading.Lock()
        self._at = 0
        self._open = 0
        self._failure: Failure | None = None

    def begin(self) -> None:
        self._enter(here=None)

    def _enter(self, here: str | None) -> None:
        """Start the step at `_at`; a single task on the device whose thread we are runs at once, its data still warm."""
        while self._failure is None and self._at < len(self._steps):
            step = self._steps[self._at]
            if len(step) == 1 and step[0].device == here:
                self._run(step[0])
                self._at += 1
                continue
            self._open = len(step)
            if step:
                for task in step:
                    self._lanes[task.device].put(lambda task=task: self._task(task))
                return
            self._at += 1
        self._done(self._failure)

    def _task(self, task: Task) -> None:
        self._run(task)
        with self._lock:
            self._open -= 1
            if self._open:
                return
        self._at += 1
        self._enter(here=task.device)

    def _run(self, task: Task) -> None:
        try:
            task.run()
        except Exception as error:
            self._failure = self._failure or Failure(task.stage, error)
