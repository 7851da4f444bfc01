"""Rates: the clocks that RTP and films count in (RFC 3551, RFC 7587)."""

from fractions import Fraction

CLOCK_RATE = 90_000
"Of video, units a second."
SOUND_CLOCK = Fraction(1, 48_000)
"Seconds of a unit of Opus."
