"""Pool: a chain for several renderers or GPUs. Renderers share views out, and a GPU works behind the thread that tells it what to do.

    Renderers     who renders what: decided in dispatch.py                      renderers.py
    Lane          a device's thread, and its stream where it is a GPU           lane.py

Locks are taken in this order, and never the other way: Renderers' handing-on, Session's submitting, Session's own, Chain's,
Renderers' own. Nobody takes handing-on while it submits, since a frame's first step is never a FanOut. Every stage releases the
GIL where its time goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pipeline.devices.placement import Placement
from pipeline.executors import DeviceGone, Failure, FanOut, Task
from pipeline.executors.chain import Chain, Going
from pipeline.executors.health import LAST_PATIENCE, OPENING_PATIENCE, DeviceReport, State
from pipeline.executors.lane import Lane, Stream, stream_of
from pipeline.executors.renderers import Renderers


class Pool(Chain):
    def __init__(
        self,
        placement: Placement,
        streams: Callable[[str], Stream] = stream_of,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        lanes = {device: Lane(device, streams(device)) for device in placement.devices}
        self._renderers = Renderers({device: lanes[device] for device in placement.render}, now)
        self._rendering, self._made = frozenset(placement.render), now()
        super().__init__(placement, now, lanes, judged=False)

    def check(self) -> None:
        self._renderers.check()
        super().check()

    def devices(self) -> list[DeviceReport]:
        """Of every renderer, and of every other device; a renderer that owes a frame something else may be named twice."""
        rendering = self._renderers.reports()
        renderers = {one.device for one in rendering}
        others = []
        for report in super().devices():
            silent = self._silent(report.device)
            if silent is not None:
                report = replace(report, up=False, state=State.DOWN.value, reason=silent, hangs=True, drops=1)
            if not report.up or report.device not in renderers:
                others.append(report)
        return [*rendering, *others]

    @property
    def shares_waiting(self) -> int:
        """How many renderers could take something now: views of frames that none has taken yet."""
        return self._renderers.shares_waiting

    @property
    def batches_under_way(self) -> int:
        """Batches of views that a renderer has taken, and not done."""
        return self._renderers.batches_under_way

    def _go_on(self, frame: Going, here: str | None) -> None:
        if frame.steps and isinstance(step := frame.steps[0], FanOut):
            frame.steps.popleft()
            self._renderers.offer(step, partial(self._rendered, frame), lambda: frame.task is None, here)
        else:
            super()._go_on(frame, here)

    def _rendered(self, frame: Going, failure: Failure | None, here: str | None) -> None:
        if failure is not None:
            self._end(frame, failure)
        elif not frame.over:
            self._go_on(frame, here)

    def _work(self, frame: Going, task: Task) -> None:
        """A task on a GPU has ended when the GPU has come to its end, unless what follows is in the same stream."""
        lane, following = self._lanes[task.device], frame.steps[0] if frame.steps else None
        try:
            lane.check()
            task.run()
            ordered = isinstance(following, Task) and following.device == task.device
            end = None if ordered else lane.stream.fence()
        except Exception as error:
            self._done(frame, task, task.device, error)
            return
        if end is not None and isinstance(following, FanOut):
            lane.arrive(end, partial(self._paid, frame, task))  # owed until then, so that its device is to blame
            self._go_on(frame, task.device)  # renderers wait for what they need by themselves: devices/transfer.py
        else:
            lane.arrive(end, partial(self._done, frame, task, task.device if end is None else None))

    def _gone(self, task: Task) -> Failure | None:
        silent = self._silent(task.device)
        return super()._gone(task) if silent is None else Failure(task.stage, DeviceGone(f"{task.device}: {silent}"))

    def _silent(self, device: str) -> str | None:
        """Why the thread of `device` comes to no task: it is still opening the device, or hangs in what it does for renderers."""
        since, patience = self._renderers.hanging().get(device) if device in self._rendering else None, LAST_PATIENCE
        if self._lanes[device].opening:
            since, patience = self._made, OPENING_PATIENCE
        seconds = 0.0 if since is None else self._now() - since
        return f"has not answered for {seconds:.0f} s; only a restart frees its thread" if seconds > patience else None
