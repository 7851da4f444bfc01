"""Flood: that far more is sent to a viewer than gets through, from what its receiver misses, packet by packet. Told the time; no clock.

Reports come once a second; what is missed is told at once (NACK, RFC 4585). A link that has become narrow loses its share of
everything from then on; an accident, such as a radio's, loses a little of all or all of a moment. So a flood is where each
third of the newest packets whose fate is known has lost much.
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


class Flood:
    """Of one viewer's pictures."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._missed: set[int] = set()

    def sent(self, number: int, now: float) -> None:
        """A packet leaves."""
        self._sent.append((now, number))
        while self._sent[0][0] < now - KEPT:
            self._missed.discard(self._sent.popleft()[1])

    def missed(self, numbers: Iterable[int]) -> float | None:
        """The receiver lacks packets; while it is a flood, the share of what was sent that gets through."""
        self._missed.update(numbers)
        newest = next((at for at, number in reversed(self._sent) if number in self._missed), None)
        if newest is None:
            return None
        # whatever came after the newest that is missed may still be under way
        recent = [(at, number in self._missed) for at, number in self._sent if newest - SPAN < at <= newest]
        parts: list[list[bool]] = [[] for _ in range(PARTS)]
        for at, lost in recent:
            parts[min(int(PARTS * (newest - at) / SPAN), PARTS - 1)].append(lost)
        if any(len(part) < FEWEST or sum(part) < LOST * len(part) for part in parts):
            return None
        settled = [lost for part in parts[:-1] for lost in part]  # in the oldest part it may have begun
        return 1 - sum(settled) / len(settled)

    def forget(self) -> None:
        """What is sent from now on is another matter."""
        self._sent.clear()
        self._missed.clear()
