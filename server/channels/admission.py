"""Admission: whether one more caller or viewer may come in, before anybody's picture grows old of it. Counts what costs."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence

from display.screen import Screen
from pipeline.devices.capacity import Capacity, Load
from pipeline.executors.health import DeviceReport, able
from server.channels.ladder import RUNGS, Rung, first_that_fits
from server.channels.refusals import RETRY_SECONDS
from server.media.encode import Form
from server.media.rates import packets_of
from server.problems import Problem, busy
from server.settings import Settings

MOST_COMING = 16
"Viewers of one channel who may be connecting at once; a newer one takes the place of the one who takes longest."
MOTION_DATAGRAMS = 2
"That a record of motion takes."
LOOKED_OVER = 5.0
"Seconds over which the processor's use is taken."


def cores() -> int:
    """Of the processor, that this process may use."""
    return len(os.sched_getaffinity(0))


class Admission:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._capacity = Capacity(settings.frames_per_second, cores(), alike=settings.adapt)
        self._used: deque[tuple[float, float]] = deque()

    def check(
        self, live: Sequence[Load], slowed: Sequence[Rung], engine: str, devices: Sequence[DeviceReport], views: int = 0
    ) -> int:
        """The rung of the ladder at which one more caller of `engine`, whose devices do as reported, fits beside `live`.

        `views`: how many are rendered of it; 0: all.

        `slowed`: what is made of `live` where some of it has found all detail too much; empty where none has. Then what is made is
        what fits, whatever it should cost, and one more has a part of that.
        Raises Problem 503 where not even the lowest rung fits.
        """
        most = self._settings.max_channels
        if len(live) >= most:
            raise _full(f"{most} callers is this server's limit", limit=most)
        self.check_devices(devices)
        estimate = self._capacity.with_another(live, engine, views)
        fits = min(estimate.room, sum(rung.work for rung in slowed) / (len(slowed) + 1)) if slowed else estimate.room
        rung = self._rung(fits)
        if rung is None:
            why = "others keep this machine busy" if slowed else f"{estimate.fullest} of its time"
            raise _full(
                f"every place is taken: one caller more would make everybody's picture late ({why}). "
                "Try again when somebody has left",
                utilisation=estimate.utilisation,
            )
        return rung

    def shared(self, live: Sequence[Load]) -> int:
        """The rung at which `live` fits, or the lowest."""
        if not self._settings.adapt:
            return 0
        rung = self._rung(self._capacity.now(live).room)
        return len(RUNGS) - 1 if rung is None else rung

    def _rung(self, fits: float) -> int | None:
        """The highest at which that share of the work is enough; None where none is."""
        rung = first_that_fits(fits)
        return rung if self._settings.adapt or rung == 0 else None

    def check_devices(self, devices: Sequence[DeviceReport]) -> None:
        """Raises Problem 503 where nothing can be made with them."""
        if not able(devices):
            raise _failed(devices)

    def check_viewer(
        self, watching: int, encoded: Mapping[Screen, float], sent: float, screen: Screen, form: Form
    ) -> None:
        """Raises Problem 503 unless one more viewer of `screen`, sent as `form`, can be served.

        Beside `watching` connected viewers of the same channel, whose pictures are `encoded` (screen -> RTP packets a second that
        one viewer gets), while everybody on this server is `sent` so many packets a second.
        """
        limits = self._settings
        self._check_watching(watching)
        if screen not in encoded and len(encoded) >= limits.max_forms:
            known = " and ".join(sorted(one.name for one in encoded))
            most = limits.max_forms
            raise _crowded("too-many-forms", f"{most} forms are encoded of this channel already: watch {known}", most)
        self._check_packets(sent, encoded.get(screen, packets_of(form.bitrate / 8)))

    def check_drawer(self, watching: int, sent: float) -> None:
        """As check_viewer, of one who draws the avatar itself: it costs its packets."""
        self._check_watching(watching)
        self._check_packets(sent, MOTION_DATAGRAMS * self._settings.frames_per_second)

    def _check_watching(self, watching: int) -> None:
        if watching >= (most := self._settings.max_viewers):
            raise _crowded("too-many-viewers", f"{most} viewers is this channel's limit", most)

    def _check_packets(self, sent: float, more: float) -> None:
        if sent and sent + more > (most := self._settings.max_packets):
            raise _crowded(
                "too-many-packets", f"{sent:.0f} packets a second are sent, {more:.0f} more would be too many", most
            )

    def utilisation(self, live: Sequence[Load]) -> dict[str, float]:
        """Device -> share of the time that it works when everybody of `live` is watched."""
        return self._capacity.now(live).utilisation

    def look(self, live: Sequence[Load]) -> None:
        """See what the processor does for `live`; now and then, but not while an engine is being loaded."""
        now, spent = time.monotonic(), time.process_time()
        self._used.append((now, spent))
        while now - self._used[0][0] > LOOKED_OVER:
            self._used.popleft()
        since, before = self._used[0]
        if now > since:
            self._capacity.measured(live, (spent - before) / (now - since))


def _full(detail: str, **members: object) -> Problem:
    return busy("too-many-callers", detail, RETRY_SECONDS, **members)


def _crowded(kind: str, detail: str, limit: int) -> Problem:
    return busy(kind, detail, RETRY_SECONDS, limit=limit)


def _failed(devices: Sequence[DeviceReport]) -> Problem:
    why = "; ".join(f"{one.device}: {one.reason}" for one in devices if not one.up)
    detail = (
        f"what makes the pictures has failed ({why}). It is tried again by itself; if that does not help, whoever runs"
    )
    return busy("devices-failed", f"{detail} this server has to restart it", RETRY_SECONDS)
