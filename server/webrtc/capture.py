"""Capture: when a caller's pictures and sound were captured, both on one clock of ours. Told the time, knows no clock.

A sender's reports pair RTP times with its own wall clock (RFC 3550, section 6.4.1). With a the arrival, r the RTP time, (N, R) the
newest report of the stream and f its rate, all in seconds:

    s(r)        = N + (r - R) / f           the sender's time, each stream by its own reports
    theta       = min over 30 s of a - s(r), of all streams     falls at once, rises by 1 ms/s at most
    captured(r) = s(r) + theta              never in the future

So a picture and a sound of one moment have one time, whatever their packets met on their way. The way itself, at its
shortest, is no part of it. Until every stream has a report, and where one never sends any, all are timed by arrival: never mixed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW = 30.0
"Seconds over which the shortest way is looked for."
RISE = 1e-3
"Seconds a second by which the shortest way may grow: ten times what two quartz clocks drift apart."
JUMP = 0.5
"Seconds. A report that moves a stream's times by more tells of another clock."
ASTRAY = 2.0
"Seconds by which RTP times may differ from the time that went by: more, and the sender counts anew."
MOST_WAIT = 0.2
"""Seconds that a packet's delay beyond the shortest way may count: whatever came later than a retransmission takes is timed
by its arrival. A way that grew longer for good must not make every frame too old to be shown (pipeline/flow.py)."""


Captured = Callable[[int, int, float], float]
"When what came of a source (SSRC), with an RTP time, at a moment, was captured."


def by_arrival(source: int, rtp: int, arrived: float) -> float:
    """Captured, where there is nothing better."""
    return arrived


class CaptureClock:
    """Of one caller. Streams are called by their kind."""

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._shortest = ShortestWay()

    def report(self, kind: str, rate: int, source: int, sent: float, rtp: int, now: float) -> None:
        """A sender report of `source` that came at `now`: its wall clock said `sent` seconds at RTP time `rtp`, 0 where it has none."""
        if not sent:
            return
        stream = self._stream(kind, rate)
        if stream.report(source, sent, rtp) and self._shortest.far(now - sent):
            self._shortest = ShortestWay()
            for other in self._streams.values():
                if other is not stream:
                    other.forget()
        self._shortest.add(now - sent, now)

    def captured(self, kind: str, rate: int, source: int, rtp: int, arrived: float) -> float:
        """When what carries the RTP time `rtp` was captured, in seconds of the clock of `arrived`. Of packets that come
        in order, never earlier than the one before."""
        stream = self._stream(kind, rate)
        sent = stream.sent(source, rtp, arrived)
        if sent is not None:
            self._shortest.add(arrived - sent, arrived)
        if sent is None or not self.common:
            return stream.ordered(arrived)
        assert self._shortest.seconds is not None
        return stream.ordered(min(arrived, max(sent + self._shortest.seconds, arrived - MOST_WAIT)))

    @property
    def common(self) -> bool:
        """Whether every stream that was heard of tells its sender's time."""
        return all(stream.reported for stream in self._streams.values())

    def _stream(self, kind: str, rate: int) -> _Stream:
        return self._streams.setdefault(kind, _Stream(rate))


class _Stream:
    """One RTP stream on its sender's clock."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._source: int | None = None
        self._last = self._count = 0
        "The newest packet's RTP time, as it came and counted through."
        self._arrived = 0.0
        self._map: tuple[float, int] | None = None
        "What the sender's clock said, and the counted RTP time."
        self._behind = 0.0
        "Seconds of RTP time by which the packet asked about is older than the newest."
        self._floor = float("-inf")

    @property
    def reported(self) -> bool:
        return self._map is not None

    def forget(self) -> None:
        self._map = None

    def report(self, source: int, sent: float, rtp: int) -> bool:
        """Whether it tells of another clock than the reports before, or is the first."""
        if source != self._source:  # nothing has come of it yet, or no more
            return False
        at = self._count + _signed(rtp - self._last)
        before, self._map = self._map, (sent, at)
        return before is None or abs(sent - before[0] - (at - before[1]) / self._rate) > JUMP

    def sent(self, source: int, rtp: int, arrived: float) -> float | None:
        """The sender's time of a packet, None while it is not known."""
        ahead = _signed(rtp - self._last)
        passed = arrived - self._arrived
        if source != self._source or abs(ahead / self._rate - passed) > ASTRAY:
            self.forget()
            self._source, ahead = source, 1
        self._behind = max(0, -ahead) / self._rate
        if ahead >= 0:
            self._last, self._count, self._arrived = rtp, self._count + ahead, arrived
        if self._map is None:
            return None
        return self._map[0] + (self._count - self._map[1]) / self._rate - self._behind

    def ordered(self, captured: float) -> float:
        """Of the packet that `sent` was asked about: no earlier than those before it. One that was overtaken is as much older
        than the newest as its RTP time is."""
        if self._behind:
            return self._floor - self._behind
        self._floor = max(captured, self._floor)
        return self._floor


class ShortestWay:
    """The difference of two clocks and the shortest way between them, out of many ways (a - s)."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._least: deque[tuple[float, float]] = deque()
        "(when, way), ever longer ways: each the least of those since the one before."
        self._at = 0.0

    def add(self, way: float, now: float) -> None:
        while self._least and self._least[-1][1] >= way:
            self._least.pop()
        self._least.append((now, way))
        while self._least[0][0] < now - WINDOW:
            self._least.popleft()
        least = self._least[0][1]
        if self.seconds is not None:
            least = min(least, self.seconds + RISE * max(0.0, now - self._at))
        self.seconds, self._at = least, now

    def far(self, way: float) -> bool:
        """Whether `way` is one between other clocks."""
        return self.seconds is not None and abs(way - self.seconds) > JUMP


def _signed(difference: int) -> int:
    """Of two RTP times, which wrap at 32 bits: how far the one is ahead of the other."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)
