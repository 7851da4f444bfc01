"""Allowance: how many bits a second a caller is told to send at most, where more comes than can be decoded. Told the time.

Browsers answer a lower bit rate with smaller pictures, which are cheaper to decode: what skipping to keyframes cannot give
a 4K camera, moving pictures, this does.
"""

from __future__ import annotations

LEAST = 300_000
"Bits a second: a face of 320x240 in motion."
LESS, EVERY = 0.6, 1.5
"What is left of the rate each time that it was too much, and the seconds that a sender has to follow."
MORE = 1.02
"A second that nothing was too much: it takes half a minute to double."


class Allowance:
    def __init__(self) -> None:
        self._bits: float | None = None
        self._at = float("-inf")
        self._wanted = 0.0

    def too_much(self, now: float, rate: float) -> None:
        """What came at `rate` bits a second could not be decoded in time."""
        if now - self._at < EVERY:
            return
        before = self.most(now)
        if before is None:
            self._wanted = rate
        self._bits = max(LEAST, LESS * min(rate, rate if before is None else before))
        self._at = now

    def most(self, now: float) -> int | None:
        """Bits a second; None where nothing has to be held back, or not any more."""
        if self._bits is not None and self._bits * MORE ** (now - self._at) > max(self._wanted, LEAST):
            self._bits = None
        return None if self._bits is None else round(self._bits * MORE ** (now - self._at))
