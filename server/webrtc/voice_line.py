"""Voice line: a caller's packets of sound on their way to those who see one form of him. Told the time, knows no clock.

Each is held back for as long as that form's pictures are old when they leave, which is long enough to bring back into order
what overtook one another on its way. No sample is touched: packets leave as they came, later.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

LATEST = 0.2
"Seconds by which a packet may be late and still go out."
LONGEST = 0.6
"Seconds of sound that wait at most."
PATIENCE = 2.0
"Seconds that sound waits for a first picture: of a caller who shows none, it goes at once."
SILENCE = 60
"dBov below full scale, as RFC 6464 counts: what is as quiet is heard by nobody."
DTX_BYTES = 2
"An Opus packet of so few tells its listener that nothing is said (RFC 6716, section 2.1.9)."


@dataclass(frozen=True, order=True, slots=True)
class Said:
    """One packet of Opus."""

    position: int
    "In the caller's sound, units of 1/48000 s."
    payload: bytes = field(compare=False)
    captured: float = field(compare=False)
    "Seconds of our clock."
    level: int | None = field(compare=False, default=None)
    "0..127, -dBov; None where its sender does not say."

    @property
    def silent(self) -> bool:
        return len(self.payload) <= DTX_BYTES or (self.level is not None and self.level >= SILENCE)


class VoiceLine:
    """Packets that wait for their time."""

    def __init__(self) -> None:
        self._waiting: list[Said] = []
        self._last: Said | None = None
        "The newest that went out."
        self._released = float("-inf")
        self._since: float | None = None
        self.late = 0
        "Packets that never went out: they came too late, or twice."

    def put(self, said: Said, now: float) -> None:
        self._since = now if self._since is None else self._since
        passed = self._last is not None and said.position <= self._last.position
        if passed or any(said.position == one.position for one in self._waiting):
            self.late += 1
            return
        insort(self._waiting, said)
        while self._waiting[-1].captured - self._waiting[0].captured > LONGEST:
            self._drop()

    @property
    def silent(self) -> bool:
        """Whether the next packet is one that nobody hears."""
        return bool(self._waiting) and self._waiting[0].silent

    def due(self, delay: float | None, now: float) -> float | None:
        """When to ask for what is ready; None while nothing waits, or not to be known: ask again with the next packet."""
        if not self._waiting or (delay is None and not self._impatient(now)):
            return None
        return max(self._waiting[0].captured + (delay or 0.0), self._released)

    def ready(self, delay: float | None, now: float) -> list[Said]:
        """What is to leave by `now`, in order, none of it more than LATEST late."""
        leaving = []
        while (due := self.due(delay, now)) is not None and due <= now:
            if now - self._waiting[0].captured - (delay or 0.0) > LATEST:
                self._drop()
                continue
            self._last, self._released = self._waiting.pop(0), due
            leaving.append(self._last)
        return leaving

    def _impatient(self, now: float) -> bool:
        return self._since is not None and now - self._since > PATIENCE

    def _drop(self) -> None:
        self._last = self._waiting.pop(0)
        self.late += 1
