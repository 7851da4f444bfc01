"""Chain: the default executor, for one renderer on the processor. A thread a device; a frame goes from one to the next.

    submit > put on the first task's thread > run > put on the next task's > ... > done

A task whose device is the one that its frame is on runs there at once, its data still warm. A device whose thread does not come
back, or that has failed to render MOST_IN_A_ROW times, ends the frames that are on it, and is tried again after a pause.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.devices.placement import Placement
from pipeline.executors import DeviceGone, Done, Failure, FanOut, Step, Task
from pipeline.executors.health import DeviceReport, Health
from pipeline.executors.lane import HostStream, Lane
from pipeline.executors.watch import CLOSING_PATIENCE, LEAVING_PATIENCE, Watch

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Frame:
    """One frame under way."""

    tasks: Iterator[Task]
    done: Done
    task: Task | None = None
    "What it is at; None once it has gone the whole way."
    over: bool = False
    "What came of it has been told."


class Chain:
    """`submit` and `devices` from any thread. One lock, held for decisions and never while anything runs."""

    def __init__(self, placement: Placement, now: Callable[[], float] = time.monotonic) -> None:
        assert chains(placement), placement
        self._now = now
        self._lanes = {device: Lane(device, HostStream()) for device in placement.devices}
        self._health = {device: Health([device], now(), device in placement.render) for device in placement.devices}
        self._lock = threading.Condition()
        self._under_way: dict[_Frame, None] = {}
        self._ended = 0
        self._watch = Watch(self.check)

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        tasks = [task for step in steps for task in (step.tasks() if isinstance(step, FanOut) else [step])]
        frame = _Frame(iter(tasks), done)
        with self._lock:
            self._under_way[frame] = None
        self._go_on(frame, here=None)

    def check(self) -> None:
        """End the frames on every device whose thread does not come back. To be called several times a second."""
        with self._lock:
            now = self._now()
            for device, health in self._health.items():
                for seconds in health.overdue(now).values():
                    health.drop(device, f"has not answered for {seconds:.0f} s; only a restart frees its thread", now)
                    _log.error("%s has not answered for %.0f s", device, seconds)
            stuck = {one: self._gone(one.task) for one in self._under_way if one.task is not None}
        for frame, gone in stuck.items():
            if gone is not None:
                self._end(frame, gone)

    def devices(self) -> list[DeviceReport]:
        with self._lock:
            return [report for health in self._health.values() for report in health.report(self._now())]

    def close(self) -> None:
        with self._lock:
            while self._under_way:
                ended = self._ended
                if not self._lock.wait_for(lambda: not self._under_way or self._ended > ended, CLOSING_PATIENCE):  # noqa: B023
                    _log.error("closing without frames that nobody finishes")
                    break
        self._watch.close()
        for device, lane in self._lanes.items():
            if not lane.close(LEAVING_PATIENCE):
                _log.error("the thread of %s hangs and is left behind", device)

    def _go_on(self, frame: _Frame, here: str | None) -> None:
        """On to the next task: on this thread if it is that device's."""
        task = frame.task = next(frame.tasks, None)
        if task is None:
            self._end(frame)
        elif task.device == here:
            self._run(frame, task)
        else:
            self._lanes[task.device].put(partial(self._run, frame, task))

    def _run(self, frame: _Frame, task: Task) -> None:
        """On the device's thread."""
        health, kind = self._health[task.device], (task.stage, task.kind())
        with self._lock:
            if frame.over:
                return
            error = self._begun(health, frame, task, kind)
        if error is None:
            try:
                task.run()
            except Exception as raised:
                error = raised
            with self._lock:
                self._note(health, frame, task, error)
        if error is not None or frame.over:
            self._end(frame, error)
        else:
            self._go_on(frame, task.device)

    def _begun(self, health: Health, frame: _Frame, task: Task, kind: Hashable) -> DeviceGone | None:
        """Note that `frame` has come to its device, unless that is given up. One whose pause is over is tried again with it."""
        now = self._now()
        for device in health.due(now):
            health.retry(device, now)
        gone = self._gone(task)
        if gone is None:
            health.begin(task.device, frame, kind, [1], now)
        return gone

    def _note(self, health: Health, frame: _Frame, task: Task, error: Exception | None) -> None:
        """A renderer that fails again and again is given up. What else fails is its frame's misfortune, and is counted there."""
        if error is None or not health.renders:
            health.ended(task.device, frame, self._now())
        elif health.failed(task.device, frame, f"{type(error).__name__}: {error}", self._now()):
            _log.error("%s is dropped: %s. It will be tried again", task.device, error)

    def _gone(self, task: Task) -> DeviceGone | None:
        """Why `task` cannot be done by anybody; None while its device works or is due to be tried again."""
        gone = self._health[task.device].gone(self._now())
        return DeviceGone(gone) if gone is not None else None

    def _end(self, frame: _Frame, error: Exception | None = None) -> None:
        """Tell what came of `frame`, once."""
        with self._lock:
            if frame.over:
                return
            frame.over = True
        failure = Failure(frame.task.stage, error) if frame.task is not None and error is not None else None
        try:
            frame.done(failure)
        finally:
            with self._lock:
                del self._under_way[frame]
                self._ended += 1
                self._lock.notify_all()


def chains(placement: Placement) -> bool:
    """Whether `placement` is a chain: one renderer, and no GPU."""
    return len(placement.render) == 1 and not placement.gpus
