"""Capacity: whether one more caller fits on these devices without anybody's picture growing old.

Decides without a thread and without a clock: no torch, asyncio, threading or time here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.clock import UNKNOWN, Cost

FULL = 0.85
"Share of the time that a device may be taken up: above it frames begin to wait for each other."
ENOUGH_FRAMES = 25
"Watched frames until a caller's cost is believed: kernels compile and caches fill with the first ones."
PROCESSOR = "the processor"
"All CPU threads together, which share its cores."


@dataclass(frozen=True)
class Load:
    """One caller."""

    engine: str
    cost: Cost
    "As measured while somebody watched."


@dataclass(frozen=True)
class Estimate:
    """How busy every device would be."""

    utilisation: dict[str, float]
    "Device -> share of the time, 1 being all of it."
    limit: float

    @property
    def fits(self) -> bool:
        return max(self.utilisation.values(), default=0.0) <= self.limit

    @property
    def fullest(self) -> str:
        """The devices that would have too much to do, for people: 'cuda:0 at 120%, cpu:1 at 90%'."""
        beyond = sorted(
            ((share, device) for device, share in self.utilisation.items() if share > self.limit), reverse=True
        )
        return ", ".join(f"{device} at {share:.0%}" for share, device in beyond)


class Capacity:
    """Remembers what callers of each engine cost, so that those nobody watches yet are counted too."""

    def __init__(self, frames_per_second: float, cores: int, limit: float = FULL) -> None:
        self._rate, self._cores, self._limit = frames_per_second, cores, limit
        self._usual: dict[str, Cost] = {}

    def with_another(self, live: Sequence[Load], engine: str) -> Estimate:
        """The devices with all of `live` and one more caller of `engine`, everybody watched and at the full frame rate.

        The first caller is always let in: nothing is known of what has never run, and with nobody else there is nobody
        to protect.
        """
        estimate = self.now([*live, Load(engine, UNKNOWN)])
        return estimate if live else replace(estimate, utilisation={})

    def now(self, live: Sequence[Load]) -> Estimate:
        """The devices with all of `live`, everybody watched and at the full frame rate."""
        for load in live:
            self._learn(load)
        utilisation: defaultdict[str, float] = defaultdict(float)
        for load in live:
            for device, seconds in self._of(load).busy.items():
                utilisation[device] += seconds * self._rate
        threads = sum(share for device, share in utilisation.items() if device.startswith("cpu"))
        if threads:
            utilisation[PROCESSOR] = threads / self._cores
        return Estimate({device: round(share, 3) for device, share in utilisation.items()}, self._limit)

    def _learn(self, load: Load) -> None:
        """What a caller costs whose whole quilt is watched, and who is held up least by whatever else the machine does."""
        known = self._usual.get(load.engine)
        if load.cost.frames >= ENOUGH_FRAMES and (known is None or _tells_more(load.cost, known)):
            self._usual[load.engine] = load.cost

    def _of(self, load: Load) -> Cost:
        """What this caller costs now; where too little of it is watched to know, what is usual."""
        usual = self._usual.get(load.engine, UNKNOWN)
        known = load.cost.frames >= ENOUGH_FRAMES and load.cost.views >= usual.views
        return load.cost if known else usual


def _tells_more(cost: Cost, than: Cost) -> bool:
    return (cost.views, -sum(cost.busy.values())) > (than.views, -sum(than.busy.values()))
