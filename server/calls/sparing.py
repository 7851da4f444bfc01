"""Sparing: what a call gives up on a machine that is short of time, beyond what its channels give up by themselves; and who is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from server.calls import events as of
from server.calls.events import Event
from server.calls.rules import Call
from server.calls.strain import SHARES, Strain
from server.channels.channel import Channel

log = structlog.get_logger(__name__)

QUIET = "this server is busy: whoever does not speak is shown in few pictures"
LATE = "this server is busy: pictures come late"


class Sparing:
    """Of one call. Event loop only."""

    def __init__(self, rules: Call, adapt: bool, happen: Callable[[Event], None]) -> None:
        """`adapt`: detail may be given up at all."""
        self._rules, self._adapt, self._happen = rules, adapt, happen
        self._strain = Strain()

    def hear(self, speaking: tuple[int, ...], there: Mapping[int, Channel], now: float) -> None:
        """Who begins to speak moves again at once."""
        self._strain.hear(speaking, now)
        self._spare(there, now)

    def look(self, there: Mapping[int, Channel], now: float) -> None:
        """Where pictures are made with less detail for lack of capacity, or grow old in spite of it, everybody is told, and when
        all is well again."""
        self._strain.hear(self._rules.seats.speaking, now)
        changed = self._strain.look(max((channel.age() for channel in there.values()), default=0.0), now)
        if changed and self._adapt:
            log.info("a call's quiet seats", pictures=SHARES[self._strain.step], seats=len(there))
        self._spare(there, now)
        slowed = next((channel.slowed for channel in there.values() if channel.slowed), "")
        detail = f"pictures are made with less detail: {slowed}" if slowed else ""
        lost = (QUIET if self._adapt else LATE) if self._strain.step else detail
        if lost and lost != self._rules.strained:
            self._happen(of.CapacityLost(lost))
        elif self._strain.step == 0 and not slowed:
            self._happen(of.CapacityBack())

    def forget(self, number: int) -> None:
        self._strain.forget(number)

    def _spare(self, there: Mapping[int, Channel], now: float) -> None:
        for number, channel in there.items():
            channel.spare(self._strain.share(number, now) if self._adapt else 1.0)
