"""Link: which step of ever fewer bits one viewer's link carries, from what its receiver says of it. Told the time; no asyncio, no clock.

Down as soon as it is too much for a while. Up by trying, since a receiver's estimate (REMB) follows what arrives: it shows congestion
and never headroom. A try that fails makes the next one wait. What is lost by chance, a radio's losses, is no congestion: it stays when
less is sent, and then as much as before is sent again.
"""

from __future__ import annotations

from collections import Counter, deque
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
PATIENCE, AFTER_FAILURE, LONGEST = 10.0, 60.0, 600.0
"Seconds of a clean link until more is tried, after a try that failed, and at most; each further failure doubles it."
RISES = 1.02
"An estimate that is so much higher than within the last FRESH seconds catches up with what arrives: what was low is past."
BY_CHANCE, STAYS = 0.3, 0.6
"Lost at most by chance, and the share of what was lost that has to stay when less is sent."
FOLLOWS = 0.2
"Of the difference to each report: what is lost by chance changes, and ends."
PROVEN = 10.0
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
        self._least = max(step for step, rate in enumerate(rates) if rate)
        "The last step with a picture."
        self.step = 0
        self.steps: Counter[str] = Counter()
        "Taken so far: down, up."
        self.estimate: float | None = None
        "Bits a second, as the receiver said last."
        self.lost = 0.0
        "0..1 of what was sent, as the receiver said last."
        self._heard = {"estimate": float("-inf"), "lost": float("-inf")}
        self._estimates: deque[tuple[float, float]] = deque()
        "When, and how many bits a second, of the last FRESH seconds."
        self._chance = 0.0
        "The share that is lost whatever is sent."
        self._doubtful: tuple[int, float] | None = None
        "From which step it went down for loss alone, and for how much."
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

    def facts(self) -> dict[str, float | dict[str, int] | None]:
        """What is logged of it."""
        estimate = None if self.estimate is None else round(self.estimate / 1e3)
        heard = {
            "kbit_per_second_estimated": estimate,
            "lost": round(self.lost, 3),
            "by_chance": round(self._chance, 3),
        }
        return {"step": self.step, "steps": dict(self.steps), **heard}

    def estimated(self, bits: float, now: float) -> None:
        """The receiver estimates that it can get so many bits a second."""
        self.estimate, self._heard["estimate"] = bits, now
        self._estimates.append((now, bits))
        while self._estimates[0][0] < now - FRESH:
            self._estimates.popleft()

    def reported(self, lost: float, now: float) -> None:
        """The receiver has lost this share of what was sent since it last told."""
        self.lost, self._heard["lost"] = lost, now
        if self._chance and lost - self._chance <= LOST:
            self._chance = min(BY_CHANCE, self._chance + FOLLOWS * (lost - self._chance))

    def flooded(self, carried: float, now: float) -> bool:
        """Far more is sent than the `carried` bits a second that get through, for certain. Whether it is another step than before: one
        with a picture, since what is lost of a few bursts tells no more than that."""
        if self.step >= self._least:
            return False
        self._doubtful = None
        return self._down(max(carried, self._rates[self._least] / SAFE), now)

    def look(self, sent: float, now: float) -> bool:
        """Whether it is another step than before. `sent`: bits a second that are sent to it now, as far as known."""
        if self._climbed is not None and now - self._climbed >= PROVEN:
            self._patience[self.step], self._climbed = PATIENCE, None
        sent = sent or self._rates[self.step]
        fits, clean, why = self._fits(sent, now)
        if now - self._changed < SETTLES and self._climbed is None:
            return False
        if self._doubtful is not None and self._heard["lost"] >= self._changed + SETTLES:
            before, lost = self._doubtful
            self._doubtful = None
            if STAYS * lost <= self.lost <= BY_CHANCE:  # less is sent, and as much is lost
                self._chance = self.lost
                return self._go(before, now)
        self._strained = (now if self._strained is None else self._strained) if why else None
        self._clean = (now if self._clean is None else self._clean) if clean else None
        if self._strained is not None:
            return self._gives_way(fits, why, now) and self._give_way(fits * sent, why, now)
        return self._try(now)

    def _gives_way(self, fits: float, why: set[str], now: float) -> bool:
        """Whether it has been too much for long enough, and been told so twice: the first report may be of a line that was down. A try
        is over with the first that tells of loss."""
        assert self._strained is not None
        if self._climbed is not None and "lost" in why and self._heard["lost"] > self._climbed:
            return True
        enough = STRAINED_FOR if fits > CONGESTED else STRAINED_FOR / 2
        return now - self._strained >= enough and any(self._heard[kind] > self._strained for kind in why)

    def _give_way(self, carried: float, why: set[str], now: float) -> bool:
        before = self.step
        if why == {"estimate"} and carried > CONGESTED * self._rates[self._least]:
            if before == self._least:
                return False  # it gets through: receivers that lack time say of any link that it is narrow
            carried = max(carried, self._rates[self._least] / SAFE)
        changed = self._down(carried, now)
        if changed and why == {"lost"} and self.lost <= BY_CHANCE:
            self._doubtful = before, self.lost
        return changed

    def _try(self, now: float) -> bool:
        above = self.step - 1
        if above < 0 or self._clean is None or now - self._clean < self._patience[above]:
            return False
        self._climbed = now
        return self._go(above, now)

    def _fits(self, sent: float, now: float) -> tuple[float, bool, set[str]]:
        """(The share of what is sent that gets through, 1 where all does; whether the link is clean; which reports say that it is too
        much.)"""
        lost = self.lost if now - self._heard["lost"] <= FRESH else 0.0
        lost = max(0.0, lost - self._chance) / (1 - self._chance)
        share = self._share(sent, now)
        why = {
            kind
            for kind, much in (("estimate", share < ESTIMATED and not self._rises()), ("lost", lost > LOST))
            if much
        }
        if not why:
            return 1.0, lost <= max(CLEAN, self._chance / 3) and share >= ESTIMATED, why
        # what is lost of a flood says little of what is carried: repeats of lost packets take their part of it
        return (share if share < ESTIMATED else 1 - lost), False, why

    def _share(self, sent: float, now: float) -> float:
        """Of what is sent, as the receiver estimates."""
        known = self.estimate is not None and now - self._heard["estimate"] <= FRESH and sent
        return self.estimate / sent if known and self.estimate is not None else 1.0

    def _rises(self) -> bool:
        bits = [one for _, one in self._estimates]
        return len(bits) > 1 and bits[-1] == max(bits) and bits[-1] > RISES * min(bits)

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
