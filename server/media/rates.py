"""Rates: the clocks that RTP and films count in (RFC 3551, RFC 7587), and how much of a stream goes out a second."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

CLOCK_RATE = 90_000
"Of video, units a second."
SOUND_CLOCK = Fraction(1, 48_000)
"Seconds of a unit of Opus."
PACKET_BYTES = 1100
"Of a picture's data in one RTP packet, about: patches/tuning.py has H.264 cut at 1150."
WINDOW, SHORTEST = 3.0, 0.5
"Seconds over which rates are taken, and over which at least."


def packets_of(size: float) -> float:
    """RTP packets that `size` bytes of video take."""
    return size / PACKET_BYTES


class Rate:
    """Bits a second over the last WINDOW seconds, told the time."""

    def __init__(self) -> None:
        self._sizes: deque[tuple[float, int]] = deque()
        self._began: float | None = None

    def add(self, now: float, size: int) -> None:
        """`size` bytes at `now`."""
        self._began = now if self._began is None else self._began
        self._sizes.append((now, size))
        self._forget(now)

    def bits(self, now: float) -> float:
        if self._began is None:
            return 0.0
        self._forget(now)
        return 8 * sum(size for _, size in self._sizes) / min(WINDOW, max(now - self._began, SHORTEST))

    def known(self, now: float) -> bool:
        """Whether it has gone on for long enough to tell."""
        return self._began is not None and now - self._began >= WINDOW

    def _forget(self, now: float) -> None:
        while self._sizes and self._sizes[0][0] <= now - WINDOW:
            self._sizes.popleft()
