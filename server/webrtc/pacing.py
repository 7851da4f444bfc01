"""Pacing: how fast the packets of one picture leave, and how soon one leaves again. A keyframe sent in one burst overflows buffers on its
way, and who lacks a packet may ask for it hundreds of times before it can have come."""

from __future__ import annotations

from collections import OrderedDict

from server.media.rates import packets_of

PACKETS_PER_SECOND = 10_000.0
"About 100 Mbit/s: a 200 kB keyframe takes 13 ms, an ordinary picture of 16 Mbit/s 3 ms."
BURST = 32
"Packets that may leave at once: half an ordinary picture, well within any socket buffer."
NARROW_BURST = 8
"Of a link that is known to be narrow, and has a short queue."
REPEATS_APART = 0.03
"Seconds. Some receivers (aiortc) name all that they lack whenever one more is missing: ten repeats came for each packet that was lost."
REMEMBERED = 2048
"Repeats: those of the last moments, at any rate."


class Repeats:
    """Which packets are sent again, told the time."""

    def __init__(self) -> None:
        self._at: OrderedDict[int, float] = OrderedDict()

    def worth(self, number: int, now: float) -> bool:
        """Whether packet `number` is to be sent again, since it was not just now. It counts as sent then."""
        if now - self._at.get(number, float("-inf")) < REPEATS_APART:
            return False
        self._at[number] = now
        self._at.move_to_end(number)
        if len(self._at) > REMEMBERED:
            self._at.popitem(last=False)
        return True


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
