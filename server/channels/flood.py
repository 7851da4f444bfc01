"""Flood: that far more is sent to a viewer than gets through, from what its receiver misses, packet by packet. Told the time; no clock.

Reports come once a second; what is missed is told at once (NACK, RFC 4585). A link that has become narrow loses its share of
everything from then on; an accident, such as a radio's, loses a little of all or all of a moment. So a flood is where each
third of the newest packets whose fate is known has lost much, and something has come through: what does then is what the link carries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

SPAN, PARTS = 0.3, 3
"Seconds of sending that are looked at, and parts of it."
LOST = 0.3
"Share of each part."
FEWEST = 15
"Packets in each part. Fewer tell little, and fill no link."
KEPT = 1.0
"Seconds for which it is known what was sent."
LOOK_APART = 0.02
"Seconds between two looks: receivers that lack much tell so hundreds of times a second."


class Flood:
    """Of one viewer's pictures."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int, int]] = deque()
        "When, which number, how many bytes."
        self._repeated: deque[tuple[float, int]] = deque()
        self._missed: set[int] = set()
        self._looked = float("-inf")

    def sent(self, number: int, size: int, now: float) -> None:
        """A packet of `size` bytes leaves for the first time."""
        self._sent.append((now, number, size))
        while self._sent[0][0] < now - KEPT:
            self._missed.discard(self._sent.popleft()[1])

    def repeated(self, size: int, now: float) -> None:
        """A packet leaves again. Its fate is not told; it takes its part of what the link carries."""
        self._repeated.append((now, size))
        while self._repeated[0][0] < now - KEPT:
            self._repeated.popleft()

    def lacking(self, numbers: Iterable[int], since: float) -> int:
        """How many of `numbers` have left after `since`, as far as is known."""
        wanted = set(numbers)
        return sum(number in wanted for at, number, _ in self._sent if at > since)

    def missed(self, numbers: Iterable[int], now: float) -> float | None:
        """The receiver lacks packets; while it is a flood, the bits a second that the link carries."""
        self._missed.update(numbers)
        if now - self._looked < LOOK_APART:
            return None
        self._looked = now
        newest = next((at for at, number, _ in reversed(self._sent) if number in self._missed), None)
        if newest is None:
            return None
        # whatever came after the newest that is missed may still be under way
        parts: list[list[tuple[int, bool]]] = [[] for _ in range(PARTS)]
        for at, number, size in self._sent:
            if newest - SPAN < at <= newest:
                parts[min(int(PARTS * (newest - at) / SPAN), PARTS - 1)].append((size, number in self._missed))
        if any(len(part) < FEWEST or sum(lost for _, lost in part) < LOST * len(part) for part in parts):
            return None
        settled = [one for part in parts[:-1] for one in part]  # in the oldest part it may have begun
        return self._through(settled, newest)

    def _through(self, settled: list[tuple[int, bool]], newest: float) -> float | None:
        came = sum(size for size, lost in settled if not lost)
        if not came:
            return None  # a line that is down
        since = newest - SPAN * (PARTS - 1) / PARTS
        again = sum(size for at, size in self._repeated if since < at <= newest)
        return 8 * came / (newest - since) * (1 + again / sum(size for size, _ in settled))

    def forget(self) -> None:
        """What is sent from now on is another matter."""
        self._sent.clear()
        self._repeated.clear()
        self._missed.clear()
