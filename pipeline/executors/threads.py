"""Threads: one thread for each device of a placement. Every stage releases the GIL where its time goes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from pipeline.devices.placement import Placement
from pipeline.executors import Done, Step
from pipeline.executors.health import DeviceReport
from pipeline.executors.lane import Lane, Stream, stream_of
from pipeline.executors.renderers import Renderers
from pipeline.executors.run import Run, UnderWay

_log = logging.getLogger(__name__)

LOOK_EVERY = 0.1
"Seconds between two looks for devices that do not answer."
CLOSING_PATIENCE = 30.0
"Seconds that closing waits after the last frame that ended; a thread that hangs would make it wait for ever."
LEAVING_PATIENCE = 2.0
"Seconds that closing waits for a thread when no frame is under way any more."


class Threads:
    def __init__(
        self,
        placement: Placement,
        streams: Callable[[str], Stream] = stream_of,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lanes = {device: Lane(device, streams(device)) for device in placement.devices}
        self._renderers = Renderers({device: self._lanes[device] for device in placement.render}, now)
        self._under_way = UnderWay(self._lanes, self._renderers, now)
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._look, name="stage-watch", daemon=True)
        self._watch.start()

    def submit(self, steps: Sequence[Step], done: Done) -> None:
        Run(self._under_way, steps, done).begin()

    def devices(self) -> list[DeviceReport]:
        return self._under_way.reports()

    def close(self) -> None:
        if not self._under_way.wait(CLOSING_PATIENCE):
            _log.error("closing without frames that nobody finishes")
        self._closing.set()
        if threading.current_thread() is not self._watch:
            self._watch.join()
        for device, lane in self._lanes.items():
            if not lane.close(LEAVING_PATIENCE):
                _log.error("the thread of %s hangs and is left behind", device)

    def _look(self) -> None:
        while not self._closing.wait(LOOK_EVERY):
            self._renderers.check()
            self._under_way.check()
