"""Admission: whether one more caller may come in, before anybody's picture grows old of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline.devices.capacity import Capacity, Load
from pipeline.executors.health import DeviceReport, able
from server.problems import Problem, busy
from server.settings import Settings

RETRY_SECONDS = 5
"When somebody turned away may try again."


def cores() -> int:
    """Of the processor, that this process may use."""
    return len(os.sched_getaffinity(0))


class Admission:
    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_channels
        self._capacity = Capacity(settings.frames_per_second, cores())

    def check(self, live: Sequence[Load], engine: str, devices: Sequence[DeviceReport]) -> None:
        """Raises Problem 503 unless one more caller of `engine`, whose devices do as reported, can be served beside `live`."""
        if len(live) >= self._most:
            raise _full(f"{self._most} callers is this server's limit", limit=self._most)
        if not able(devices):
            raise _failed(devices)
        estimate = self._capacity.with_another(live, engine)
        if not estimate.fits:
            raise _full(
                f"every place is taken: one caller more would make everybody's picture late ({estimate.fullest} of its time). "
                "Try again when somebody has left",
                utilisation=estimate.utilisation,
            )

    def utilisation(self, live: Sequence[Load]) -> dict[str, float]:
        """Device -> share of the time that it works when everybody of `live` is watched."""
        return self._capacity.now(live).utilisation


def _full(detail: str, **members: object) -> Problem:
    return busy("too-many-callers", detail, RETRY_SECONDS, **members)


def _failed(devices: Sequence[DeviceReport]) -> Problem:
    why = "; ".join(f"{one.device}: {one.reason}" for one in devices if not one.up)
    detail = (
        f"what makes the pictures has failed ({why}). It is tried again by itself; if that does not help, whoever runs"
    )
    return busy("devices-failed", f"{detail} this server has to restart it", RETRY_SECONDS)
