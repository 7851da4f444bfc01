"""Pacing: how fast the packets of one picture leave. A keyframe sent in one burst overflows buffers on its way."""

from __future__ import annotations

from server.media.rates import packets_of

PACKETS_PER_SECOND = 10_000.0
"About 100 Mbit/s: a 200 kB keyframe takes 13 ms, an ordinary picture of 16 Mbit/s 3 ms."
BURST = 32
"Packets that may leave at once: half an ordinary picture, well within any socket buffer."
NARROW_BURST = 8
"Of a link that is known to be narrow, and has a short queue."


class Bucket:
    """A token bucket, told the time. Starts full."""

    def __init__(self, per_second: float = PACKETS_PER_SECOND, burst: int = BURST) -> None:
        self._per_second, self._burst = per_second, float(burst)
        self._tokens = self._burst
        self._at = float("-inf")

    def narrow(self, bits: float | None) -> None:
        """Let no more than `bits` a second through from now on; None: as many as at first."""
        if bits is None:
            self._per_second, self._burst = PACKETS_PER_SECOND, float(BURST)
        else:
            self._per_second, self._burst = packets_of(bits / 8), float(NARROW_BURST)

    def take(self, now: float) -> float:
        """Take one packet's token at `now`; the seconds to wait before sending it, 0 or enough for a quarter burst."""
        earned = (now - self._at) * self._per_second
        self._tokens = min(self._burst, self._tokens + earned) - 1
        self._at = now
        if self._tokens >= 0:
            return 0.0
        return (self._burst / 4 - self._tokens) / self._per_second
