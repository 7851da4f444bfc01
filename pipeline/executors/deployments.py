"""Deployments: where each engine runs: its placement, and the executor that has the threads of its devices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from engines.contract import AnyEngine
from pipeline.devices.placement import Placement
from pipeline.devices.planner import Planned
from pipeline.executors import Executor, Failure, Task
from pipeline.executors.chain import Chain, chains
from pipeline.executors.health import DeviceReport
from pipeline.executors.pool import Pool


def started(placement: Placement) -> Executor:
    """The executor for `placement`, its threads running: a chain where that is enough."""
    return Chain(placement) if chains(placement) else Pool(placement)


@dataclass(frozen=True)
class Deployment:
    """Engines that have the same placement share it, and with it their devices' threads."""

    placement: Placement
    executor: Executor


class Deployments:
    """From any thread. An engine is placed when it is first wanted, since memory has to be free for it then."""

    def __init__(self, plan: Callable[[AnyEngine], Planned], start: Callable[[Placement], Executor] = started) -> None:
        self._plan, self._start = plan, start
        self._placing = threading.Lock()
        "Held while GPUs are looked at. Who only reads does not wait for that: dictionaries are read whole."
        self._of: dict[str, Deployment] = {}
        self._deployed: dict[Placement, Deployment] = {}

    def of(self, engine: AnyEngine) -> Deployment:
        """Raises UnknownPlacement or PlacementImpossible, again each time: memory may be free later."""
        with self._placing:
            if engine.name not in self._of:
                placement = self._plan(engine).placement
                if placement not in self._deployed:
                    self._deployed[placement] = Deployment(placement, self._start(placement))
                self._of[engine.name] = self._deployed[placement]
            return self._of[engine.name]

    def all(self) -> list[Deployment]:
        """Those in use. Never waits."""
        return list(self._deployed.values())

    def reports(self, engine: str) -> list[DeviceReport]:
        """How the devices of the engine of that name are doing; none before it was wanted. Never waits."""
        place = self._of.get(engine)
        return place.executor.devices() if place else []

    def warm_up(self, engine: AnyEngine) -> None:
        """Let `engine` prepare on each GPU that will run it, or once where it has none. Raises what it raises."""
        place = self.of(engine)
        working = dict.fromkeys((place.placement.drive, *place.placement.render))
        gpus = [device for device in working if device.startswith("cuda")]
        if not gpus:
            engine.warm_up()
            return
        ended: SimpleQueue[Failure | None] = SimpleQueue()
        for device in gpus:
            place.executor.submit([Task("warm-up", device, engine.warm_up, lambda: engine)], ended.put)
        failures = [failure for failure in (ended.get() for _ in gpus) if failure is not None]
        if failures:
            raise failures[0].error

    def close(self) -> None:
        for place in self.all():
            place.executor.close()
