"""Link: which step of ever fewer bits one viewer's link carries, from what its receiver says of it. Told the time; no asyncio, no clock.

Down as soon as it is too much for a while. Up by trying, since a receiver's estimate (REMB) follows what arrives: it shows congestion
and never headroom. A try that fails makes the next one wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

ESTIMATED, LOST = 0.85, 0.08
"It is too much where the receiver estimates less than this share of what is sent, or loses more than that."
CLEAN = 0.02
"Lost at most while a link is clean."
STRAINED_FOR = 2.0
"Seconds that it must be too much: a hiccup costs nothing."
CONGESTED = 0.5
"Where less than this share of what is sent gets through nothing is waited for: two reports in a row are no hiccup."
SETTLES = 3.0
"Seconds after a step in which nothing is made of what is heard: it is of what was sent before, and of what waited on the way."
PATIENCE, AFTER_FAILURE, LONGEST = 20.0, 60.0, 600.0
"Seconds of a clean link until more is tried, after a try that failed, and at most; each further failure doubles it."
PROVEN = 15.0
"Seconds that more must hold until it counts as carried."
FRESH = 3.0
"Seconds for which a report counts. Receivers send them about every second."
SAFE = 0.9
"Of what seems to get through, so much is used."
ROOM = 1.25
"Of what a form takes, or of what got through, whichever is more: so fast may the packets of one picture leave over a narrow link."


class Link:
    """One viewer's."""

    def __init__(self, rates: Sequence[float]) -> None:
        """`rates`: bits a second of each step, from the most to the least; 0 where only sound is sent."""
        assert list(rates) == sorted(rates, reverse=True), rates
        self._rates = rates
        self.step = 0
        self.steps: Counter[str] = Counter()
        "Taken so far: down, up."
        self.estimate: float | None = None
        "Bits a second, as the receiver said last."
        self.lost = 0.0
        "0..1 of what was sent, as the receiver said last."
        self._heard = {"estimate": float("-inf"), "lost": float("-inf")}
        self._changed = float("-inf")
        self._strained: float | None = None
        self._clean: float | None = None
        self._patience = [PATIENCE] * len(rates)
        "With which each step is tried."
        self._climbed: float | None = None
        self._carried: float | None = None
        "Bits a second that got through when it was last too much."

    @property
    def pace(self) -> float | None:
        """Bits a second at which packets may leave at most; None: it is not known to be narrow."""
        if self._carried is None or self.step == 0:
            return None
        return ROOM * max(self._carried, self._rates[self.step])

    def estimated(self, bits: float, now: float) -> None:
        """The receiver estimates that it can get so many bits a second."""
        self.estimate, self._heard["estimate"] = bits, now

    def reported(self, lost: float, now: float) -> None:
        """The receiver has lost this share of what was sent since it last told."""
        self.lost, self._heard["lost"] = lost, now

    def flooded(self, through: float, sent: float, now: float) -> bool:
        """Only the share `through` of what is sent gets through, for certain. Whether it is another step than before: one with a
        picture, since what is lost of a few bursts tells no more than that."""
        last = max(step for step, rate in enumerate(self._rates) if rate)
        if self.step >= last:
            return False
        return self._down(max(through * (sent or self._rates[self.step]), self._rates[last] / SAFE), now)

    def look(self, sent: float, now: float) -> bool:
        """Whether it is another step than before. `sent`: bits a second that are sent to it now, as far as known."""
        if self._climbed is not None and now - self._climbed >= PROVEN:
            self._patience[self.step], self._climbed = PATIENCE, None
        fits, clean = self._fits(sent or self._rates[self.step], now)
        if now - self._changed < SETTLES and self._climbed is None:
            return False
        self._strained = (now if self._strained is None else self._strained) if fits < 1 else None
        self._clean = (now if self._clean is None else self._clean) if clean else None
        enough = STRAINED_FOR if fits > CONGESTED else STRAINED_FOR / 2
        if self._strained is not None and now - self._strained >= enough:
            return self._down(fits * (sent or self._rates[self.step]), now)
        above = self.step - 1
        if above >= 0 and self._clean is not None and now - self._clean >= self._patience[above]:
            self._climbed = now
            return self._go(above, now)
        return False

    def _fits(self, sent: float, now: float) -> tuple[float, bool]:
        """(The share of what is sent that gets through, 1 where all does; whether the link is clean.)"""
        lost = self.lost if now - self._heard["lost"] <= FRESH else 0.0
        estimate = self.estimate if now - self._heard["estimate"] <= FRESH else None
        share = estimate / sent if estimate is not None and sent else 1.0
        if share >= ESTIMATED and lost <= LOST:
            return 1.0, lost <= CLEAN
        # what is lost of a flood says little of what is carried: repeats of lost packets take their part of it
        return (share if share < ESTIMATED else 1 - lost), False

    def _down(self, carried: float, now: float) -> bool:
        """To the first step that fits into what gets through; after a try that failed, to where it was made from."""
        self._carried = carried
        if self._climbed is not None:
            before = self._patience[self.step]
            self._patience[self.step] = min(max(AFTER_FAILURE, 2 * before if before > PATIENCE else 0.0), LONGEST)
            self._climbed = None
            return self._go(self.step + 1, now)
        below = range(self.step + 1, len(self._rates))
        return self._go(next((one for one in below if self._rates[one] <= SAFE * carried), len(self._rates) - 1), now)

    def _go(self, step: int, now: float) -> bool:
        if step == self.step:
            return False
        self.steps["down" if step > self.step else "up"] += 1
        self.step, self._changed, self._strained, self._clean = step, now, None, None
        return True
