"""Capacity: whether one more caller fits on these devices without anybody's picture growing old.

Decides without a thread and without a clock: no torch, asyncio, threading or time here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """What one caller costs."""

    engine: str
    busy: Mapping[str, float]
    "Device -> seconds a frame, as measured while somebody watched; empty until then."


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
        """The devices that would have too much to do, for people: 'cuda:0 at 120 %, cpu:1 at 90 %'."""
        beyond = sorted(
            ((share, device) for device, share in self.utilisation.items() if share > self.limit), reverse=True
        )
        return ", ".join(f"{device} at {share:.0%}" for share, device in beyond)


class Capacity:
    """Remembers what callers of each engine cost, so that those nobody watches yet are counted too."""

    def __init__(self, limit: float, frames_per_second: float) -> None:
        self._limit, self._rate = limit, frames_per_second
        self._usual: dict[str, Mapping[str, float]] = {}

    def with_another(self, live: Sequence[Load], engine: str) -> Estimate:
        """The devices with all of `live` and one more caller of `engine`, everybody watched and at the full frame rate.

        The first caller is always let in: nothing is known of what has never run, and with nobody else there is nobody
        to protect.
        """
        for load in live:
            if load.busy:
                self._usual[load.engine] = load.busy
        utilisation: defaultdict[str, float] = defaultdict(float)
        if live:
            for load in [*live, Load(engine, {})]:
                for device, seconds in (load.busy or self._usual.get(load.engine, {})).items():
                    utilisation[device] += seconds * self._rate
        return Estimate({device: round(share, 3) for device, share in utilisation.items()}, self._limit)
