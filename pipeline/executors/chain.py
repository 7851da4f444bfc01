"""Chain: the default executor, for one renderer on the processor. A thread a device; a frame goes from one to the next.

    submit > put on the first task's thread > run > put on the next task's > ... > done

A task whose device is the one that its frame is on runs there at once, its data still warm. A device whose thread does not come
back, or that has failed to render MOST_IN_A_ROW times, ends the frames that are on it, and is tried again after a pause.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.devices.placement import Placement
from pipeline.executors import DeviceGone, Done, Failure, FanOut, Step, Task
from pipeline.executors.health import DeviceReport, Health
from pipeline.executors.lane import HostStream, Lane
from pipeline.executors.watch import CLOSING_PATIENCE, LEAVING_PATIENCE, Watch

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Going:
    """One frame under way."""

    steps: deque[Step]
    "Those that it has not come to."
    done: Done
    task: Task | None = None
    "What a device owes it."
    over: bool = False
    "What came of it has been told."


class Chain:
    """`submit` and `devices` from any thread. One lock, held for decisions and never while anything runs."""

    def __init__(
        self,
        placement: Placement,
        now: Callable[[], float] = time.monotonic,
        lanes: Mapping[str, Lane] | None = None,
        judged: bool = True,
    ) -> None:
        """`lanes`: the threads of all devices; `judged`: here it is told of renderers, too, whether they work."""
        self._now = now
        self._lanes = lanes or {device: Lane(device, HostStream()) for device in placement.devices}
        renders = placement.render if judged else ()
        self._health = {device: Health([device], now(), device in renders) for device in placement.devices}
        self._lock = threading.Condition()
        self._under_way: dict[Going, None] = {}
        self._ended = 0
        self._watch = Watch(self.check)

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        frame = Going(deque(steps), done)
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
        for frame in list(self._under_way):  # no thread will come to it: whoever waits for it would wait for ever
            stage = frame.task.stage if frame.task is not None else "closing"
            self._end(frame, Failure(stage, RuntimeError("its devices were let go before it ended")))

    def _go_on(self, frame: Going, here: str | None) -> None:
        """On to the next task: on this thread if it is that device's."""
        step = frame.steps.popleft() if frame.steps else None
        if isinstance(step, FanOut):
            frame.steps.extendleft(reversed(step.tasks()))
            self._go_on(frame, here)
        elif step is None:
            self._end(frame)
        else:
            frame.task = step
            if step.device == here:
                self._run(frame, step)
            else:
                self._lanes[step.device].put(partial(self._run, frame, step))

    def _run(self, frame: Going, task: Task) -> None:
        """On the device's thread."""
        kind = task.stage, task.kind()
        with self._lock:
            if frame.over:
                return
            now, health = self._now(), self._health[task.device]
            for device in health.due(now):
                health.retry(device, now)  # its pause is over: this task decides
            gone = self._gone(task)
            if gone is None:
                health.begin(task.device, task, kind, [1], now)
        if gone is None:
            self._work(frame, task)
        else:
            self._end(frame, gone)

    def _work(self, frame: Going, task: Task) -> None:
        try:
            task.run()
        except Exception as error:
            self._done(frame, task, task.device, error)
        else:
            self._done(frame, task, task.device)

    def _done(self, frame: Going, task: Task, here: str | None, error: Exception | None = None) -> None:
        """`task` has ended. `here`: the device whose thread this is, if it is free."""
        self._paid(frame, task, error)
        if not frame.over:
            self._go_on(frame, here)

    def _paid(self, frame: Going, task: Task, error: Exception | None) -> None:
        """A device owes `task` no more. An error ends its frame; a renderer that fails again and again is given up."""
        with self._lock:
            now, health = self._now(), self._health[task.device]
            if error is None or not health.renders:
                health.ended(task.device, task, now)
            elif health.failed(task.device, task, f"{type(error).__name__}: {error}", now):
                _log.error("%s is dropped: %s. It will be tried again", task.device, error)
            if frame.task is task:
                frame.task = None
        if error is not None:
            self._end(frame, Failure(task.stage, error))

    def _gone(self, task: Task) -> Failure | None:
        """Why `task` cannot be done by anybody; None while its device works or is due to be tried again."""
        gone = self._health[task.device].gone(self._now())
        return None if gone is None else Failure(task.stage, DeviceGone(gone))

    def _end(self, frame: Going, failure: Failure | None = None) -> None:
        """Tell what came of `frame`, once."""
        with self._lock:
            if frame.over:
                return
            frame.over = True
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
