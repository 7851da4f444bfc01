"""Pool: one thread for each device of a placement, for several renderers or GPUs. Every stage releases the GIL where its time goes.

    Run           one frame's way through its steps, and who is under way       run.py
    Renderers     who renders what: decided in dispatch.py                      renderers.py
    Lane          a device's thread, and its stream where it is a GPU           lane.py

Locks are taken in this order, and never the other way: Renderers' handing-on, Session's submitting, Session's own, and then one of
Renderers' own, UnderWay's, a Run's. Nobody takes handing-on while it submits, since a frame's first step is never a FanOut.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from pipeline.devices.placement import Placement
from pipeline.executors import Done, Step
from pipeline.executors.health import DeviceReport
from pipeline.executors.lane import Lane, Stream, stream_of
from pipeline.executors.renderers import Renderers
from pipeline.executors.run import Run, UnderWay
from pipeline.executors.watch import CLOSING_PATIENCE, LEAVING_PATIENCE, Watch

_log = logging.getLogger(__name__)


class Pool:
    def __init__(
        self,
        placement: Placement,
        streams: Callable[[str], Stream] = stream_of,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lanes = {device: Lane(device, streams(device)) for device in placement.devices}
        self._renderers = Renderers({device: self._lanes[device] for device in placement.render}, now)
        self._under_way = UnderWay(self._lanes, self._renderers, now)
        self._watch = Watch(self._renderers.check, self._under_way.check)

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        Run(self._under_way, steps, done).begin()

    def devices(self) -> list[DeviceReport]:
        return self._under_way.reports()

    @property
    def shares_waiting(self) -> int:
        """How many renderers could take something now: views of frames that none has taken yet."""
        return self._renderers.shares_waiting

    @property
    def batches_under_way(self) -> int:
        """Batches of views that a renderer has taken, and not done."""
        return self._renderers.batches_under_way

    def close(self) -> None:
        if not self._under_way.wait(CLOSING_PATIENCE):
            _log.error("closing without frames that nobody finishes")
        self._watch.close()
        for device, lane in self._lanes.items():
            if not lane.close(LEAVING_PATIENCE):
                _log.error("the thread of %s hangs and is left behind", device)
