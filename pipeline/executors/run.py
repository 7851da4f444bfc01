"""Run: one frame's way through its steps, and who is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.executors import DeviceGone, Done, Failure, FanOut, Step, Task
from pipeline.executors.health import LAST_PATIENCE, OPENING_PATIENCE, DeviceReport, Patience, State
from pipeline.executors.lane import Lane
from pipeline.executors.renderers import Renderers


@dataclass(eq=False)
class Owed:
    """A task in flight: a lane was given it."""

    task: Task
    run: Run
    begun: float | None = None
    "None while it waits its turn, be it behind minutes of compiling: that proves nothing about its device."
    what: Hashable = None
    "Others of which take about as long; known when it has begun."


class UnderWay:
    """What is in flight: the frames that are under way, and what every lane still owes them. Gives up a device that does not answer."""

    def __init__(self, lanes: Mapping[str, Lane], renderers: Renderers, now: Callable[[], float]) -> None:
        self.lanes, self.renderers, self._now = lanes, renderers, now
        self._lock = threading.Condition()
        self._made = now()
        self._runs = 0
        self._ended = 0
        self._owed: dict[str, dict[Owed, None]] = {device: {} for device in lanes}
        "What each lane was given and has not done, oldest first."
        self._stuck: dict[str, float] = {}
        "Device -> since when it owes what it does not do."
        self._patience = Patience()

    def begin(self) -> None:
        with self._lock:
            self._runs += 1

    def end(self) -> None:
        with self._lock:
            self._runs -= 1
            self._ended += 1
            self._lock.notify_all()

    def owe(self, task: Task, run: Run) -> Owed:
        """Note that `task` is given to its lane. Raises DeviceGone where that does not answer."""
        with self._lock:
            if task.device in self._stuck:
                raise DeviceGone(self._why(task.device))
            owed = Owed(task, run)
            self._owed[task.device][owed] = None
        return owed

    def begin_task(self, owed: Owed) -> None:
        """The lane has come to it."""
        what = owed.task.stage, owed.task.device, owed.task.kind()
        with self._lock:
            owed.begun, owed.what = self._now(), what

    def paid(self, owed: Owed) -> None:
        """It is completed: the lane has done it, whatever came of it."""
        with self._lock:
            del self._owed[owed.task.device][owed]
            if self._stuck.pop(owed.task.device, None) is None and owed.begun is not None:
                self._patience.learn(owed.what, self._now() - owed.begun)

    def check(self) -> None:
        """Fail every frame that a lane owes something, where nobody can stand in for it and it does not answer."""
        now, hanging = self._now(), self.renderers.hanging()
        failed: dict[Run, Failure] = {}
        with self._lock:
            for device, owed in self._owed.items():
                since = self._silent_since(device, owed, now, hanging)
                if since is not None:
                    self._stuck.setdefault(device, since)
                    failed |= {one.run: Failure(one.task.stage, DeviceGone(self._why(device))) for one in owed}
        for run, failure in failed.items():
            run.finish(failure)

    def _silent_since(
        self, device: str, owed: Iterable[Owed], now: float, hanging: Mapping[str, float]
    ) -> float | None:
        """Since when `device` has not answered, if that is too long; what it does for renderers is theirs to judge."""
        oldest = next(iter(owed), None)
        if oldest is None:
            return None
        since, patience = oldest.begun, self._patience.seconds(oldest.what, LAST_PATIENCE)
        if since is None:
            since, patience = hanging.get(device), LAST_PATIENCE
            if self.lanes[device].opening:
                since, patience = self._made, OPENING_PATIENCE
        return since if since is not None and now - since > patience else None

    def reports(self) -> list[DeviceReport]:
        now, reports = self._now(), self.renderers.reports()
        rendering = {one.device for one in reports}
        with self._lock:
            for device in self.lanes:
                since = self._stuck.get(device)
                if since is not None or device not in rendering:
                    reports.append(self._report(device, since, now))
        return reports

    def wait(self, patience: float) -> bool:
        """Until nothing is under way. False once nothing has ended for `patience` seconds."""
        with self._lock:
            while self._runs:
                ended = self._ended
                if not self._lock.wait_for(lambda: not self._runs or self._ended > ended, patience):  # noqa: B023
                    return False
        return True

    def _why(self, device: str) -> str:
        return (
            f"{device} has not answered for {self._now() - self._stuck[device]:.0f} s; only a restart frees its thread"
        )

    def _report(self, device: str, since: float | None, now: float) -> DeviceReport:
        stuck = since is not None
        return DeviceReport(
            device,
            renders=False,
            up=not stuck,
            state=(State.DOWN if stuck else State.UP).value,
            reason=self._why(device) if stuck else "",
            seconds=round(now - since, 1) if since is not None else 0.0,
            retry_in=None,
            hangs=stuck,
            drops=int(stuck),
        )


class Run:
    """One frame's way through its steps."""

    def __init__(self, under_way: UnderWay, steps: Sequence[Step], done: Done) -> None:
        self._under_way, self._steps, self._done = under_way, steps, done
        self._lock = threading.Lock()
        self._next = 0
        self._over = False
        self._driven = True
        "Whether the device that makes what renderers need has come to the end of that."

    def begin(self) -> None:
        self._under_way.begin()
        self._enter(here=None)

    def finish(self, failure: Failure | None) -> None:
        """Tell what came of it, once. What lanes still do for it is not waited for."""
        with self._lock:
            if self._over:
                return
            self._over = True
        try:
            self._done(failure)
        finally:
            self._under_way.end()

    def _enter(self, here: str | None) -> None:
        """Start the next step. On the device whose thread we are, a task runs at once, its data still warm."""
        if self._next == len(self._steps) or self._over:
            self.finish(None)
            return
        step = self._steps[self._next]
        self._next += 1
        if isinstance(step, FanOut):
            self._under_way.renderers.offer(step, self._rendered, lambda: self._driven, here)
        else:
            self._give(step, here)

    def _give(self, task: Task, here: str | None) -> None:
        try:
            owed = self._under_way.owe(task, self)
        except DeviceGone as gone:
            self.finish(Failure(task.stage, gone))
            return
        if task.device == here:
            self._work(owed)
        else:
            self._under_way.lanes[task.device].put(partial(self._work, owed))

    def _work(self, owed: Owed) -> None:
        """On the task's lane."""
        task, lane = owed.task, self._under_way.lanes[owed.task.device]
        self._under_way.begin_task(owed)
        try:
            lane.check()
            if not self._over:
                task.run()
            end = None if self._keeps_order(task.device) else lane.stream.fence()
        except Exception as error:
            self._ended(owed, task.device, error)
            return
        if end is not None and isinstance(self._following, FanOut):
            self._driven = False
            lane.arrive(end, partial(self._arrived, owed))
            self._enter(task.device)  # renderers wait for what they need by themselves: devices/transfer.py
        else:
            lane.arrive(end, lambda error: self._ended(owed, task.device if end is None else None, error))

    @property
    def _following(self) -> Step | None:
        return self._steps[self._next] if self._next < len(self._steps) else None

    def _keeps_order(self, device: str) -> bool:
        """Whether the next step is for the same device, whose stream has it done after this one."""
        return isinstance(self._following, Task) and self._following.device == device

    def _arrived(self, owed: Owed, error: Exception | None) -> None:
        """What renderers were told to wait for is there, or never will be. Until now it was owed, so that its device is to blame."""
        self._driven = True
        self._under_way.paid(owed)
        if error is not None:
            self.finish(Failure(owed.task.stage, error))

    def _ended(self, owed: Owed, here: str | None, error: Exception | None) -> None:
        self._under_way.paid(owed)
        if error is not None:
            self.finish(Failure(owed.task.stage, error))
        else:
            self._enter(here)

    def _rendered(self, failure: Failure | None, here: str | None) -> None:
        if failure is not None:
            self.finish(failure)
        else:
            self._enter(here)
