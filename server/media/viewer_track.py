"""Viewer track: what one viewer's sender reads, and the few pictures that wait for it."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

import av
from aiortc.mediastreams import MediaStreamTrack

from display.screen import Screen
from server.media.encode import AccessUnit
from server.media.rates import CLOCK_RATE

SLOW = "viewer too slow"
NO_KEYFRAME = "waiting for a keyframe"
CLOCK = Fraction(1, CLOCK_RATE)
MOST_WAITING = 3
"""Access units that may wait for a viewer's sender: 120 ms at 25 fps. With a single place, each hiccup of the event loop
(Chromium, caller and server on two cores: once a second) cost a keyframe and up to half a second without a picture."""


class SendQueue:
    """What waits for one viewer's sender, told what comes and goes; no clock, no loop.

    Encoded pictures depend on the one before, so the newest cannot simply win: whoever misses one gets nothing more until
    the next keyframe, and a keyframe takes the place of all that waits.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._units: deque[AccessUnit] = deque()
        self._most = most
        self._lost = True
        self.skipped: Counter[str] = Counter()

    def offer(self, unit: AccessUnit) -> bool:
        """Put `unit` here or skip it; whether a keyframe is needed to go on."""
        if unit.keyframe:
            self.skipped[SLOW] += len(self._units)
            self._units.clear()
            self._lost = False
        elif self._lost:
            self.skipped[NO_KEYFRAME] += 1
            return True
        elif len(self._units) == self._most:
            self.skipped[SLOW] += 1
            self._lost = True
            return True
        self._units.append(unit)
        return False

    def clear(self) -> None:
        """Whoever comes back goes on with a keyframe."""
        self._units.clear()
        self._lost = True

    def take(self) -> AccessUnit | None:
        return self._units.popleft() if self._units else None


class Sending(Protocol):
    """What a track has its pictures from: a Stream."""

    screen: Screen

    @property
    def bits(self) -> float: ...

    def ask_keyframe(self) -> None: ...

    def leave(self, track: ViewerTrack) -> None: ...

    def handed_over(self, unit: AccessUnit) -> None: ...


class ViewerTrack(MediaStreamTrack):
    """What one viewer's sender reads: packets ready to be cut into RTP. None come before Presenter.join()."""

    kind = "video"

    def __init__(self, came: Callable[[Screen], None] = lambda screen: None) -> None:
        """`came` is told of the first picture of each form that is about to be sent."""
        super().__init__()
        self.stream: Sending | None = None
        self.coming: Sending | None = None
        "The one that takes its place, at its next keyframe."
        self._told = came
        self._first, self._held = True, False
        self.waiting = SendQueue()
        self.sent = 0
        self.captured: float | None = None
        "When what `recv` gave last was captured, seconds of time.monotonic()."
        self._came = asyncio.Event()
        self._origin: float | None = None
        self._last_pts = -1

    def put(self, unit: AccessUnit, stream: Sending) -> None:
        if stream is self.coming and unit.keyframe:
            self._change()
        if stream is not self.stream or self._held:
            return
        if self._first:
            self._first = False
            self._told(stream.screen)
        if self.waiting.offer(unit):
            self.ask_keyframe()
        self._came.set()

    def hold(self) -> None:
        """Have nothing more until the stream that is coming has come."""
        if self.coming is not None:
            self._held = True
            self.waiting.clear()

    def go_on(self) -> None:
        """Have what there is, from its next keyframe on, where that was held."""
        if self._held:
            self._held = False
            self.ask_keyframe()

    @property
    def screens(self) -> set[Screen]:
        """What has to be rendered for it."""
        return {stream.screen for stream in (self.stream, self.coming) if stream is not None}

    @property
    def bits(self) -> float:
        """A second, that it is sent; 0 where that is not known."""
        return self.stream.bits if self.stream is not None else 0.0

    def rest(self) -> list[Sending]:
        """Have nothing more, from those that are returned."""
        streams = [stream for stream in (self.stream, self.coming) if stream is not None]
        self.stream = self.coming = None
        self._first, self._held = True, False
        self.waiting.clear()
        return streams

    def _change(self) -> None:
        before, self.stream, self.coming = self.stream, self.coming, None
        self._first, self._held = True, False
        if before is not None:
            before.leave(self)

    def ask_keyframe(self) -> None:
        if self.stream is not None:
            self.stream.ask_keyframe()

    async def recv(self) -> Any:
        while (unit := self.waiting.take()) is None:
            self._came.clear()
            await self._came.wait()
        self.sent += 1
        self.captured = unit.captured
        if self.stream is not None:
            self.stream.handed_over(unit)
        packet = av.Packet(unit.data)
        packet.pts, packet.time_base = self._stamp(unit), CLOCK
        return packet

    def _stamp(self, unit: AccessUnit) -> int:
        """By capture, so that time goes on where another encoder takes over."""
        if self._origin is None:
            self._origin = unit.captured
        self._last_pts = max(round((unit.captured - self._origin) * CLOCK_RATE), self._last_pts + 1)
        return self._last_pts
