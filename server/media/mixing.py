"""Mixing: several voices into what each listener hears: all but its own, from where their seats are. Numbers in, numbers out.

Blocks are [N] float32, N samples of 1/48000 s, full scale 1.0; mixes are [N, 2], left and right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LOUDEST = 3
"Voices that are heard at once: more is noise."
WIDEST = 35.0
"Degrees to each side at which a voice may stand, of 45 at which one channel alone has it."
LIMIT = 10 ** (-1 / 20)
"-1 dBFS: what coding adds to peaks has room above."
KNEE = 0.6
"Up to here nothing is changed."
STAYS = 10 ** (6 / 20)
"A voice that is heard gives way to one that is louder by 6 dB."
NOTHING = 10 ** (-65 / 20)
"What is no louder is no voice."


def pan(place: int, places: int) -> tuple[float, float]:
    """Gains left and right of seat `place` of `places`, from left to right; their squares make 1 (constant power)."""
    assert 0 <= place < places, (place, places)
    share = place / (places - 1) if places > 1 else 0.5
    angle = math.radians(45 + WIDEST * (2 * share - 1))
    return math.cos(angle), math.sin(angle)


def loudness(block: np.ndarray) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(block)))) if len(block) else 0.0


def limited(mix: np.ndarray) -> np.ndarray:
    """`mix`, bent towards LIMIT above KNEE, which it never exceeds: softly, without memory."""
    size = np.abs(mix)
    if float(size.max(initial=0.0)) <= KNEE:
        return mix
    bent = KNEE + (LIMIT - KNEE) * np.tanh((size - KNEE) / (LIMIT - KNEE))
    return np.where(size <= KNEE, mix, np.copysign(bent, mix)).astype(np.float32)


@dataclass(frozen=True)
class Mixes:
    """What is heard in one block."""

    everybody: np.ndarray
    "[N, 2]: for those of whom nothing is in it."
    without: dict[int, np.ndarray]
    "Seat -> [N, 2] without its own voice, for those whose voice is in everybody's."


class Mixer:
    """Chooses who is heard, and adds. Remembers who was, since voices come and go without a click."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[float, float]] = {}
        "Seat -> gains left and right at the end of the block before; those that are gone fade out."
        self._lately: dict[int, float] = {}
        "Seat -> loudness, falling over a quarter of a second."

    def mix(self, voices: Mapping[int, np.ndarray], seats: Sequence[int]) -> Mixes:
        """One block of each voice that has any, by seat. `seats`: all, from left to right, whether they have a voice or not."""
        chosen = self._choose(voices)
        gains = {seat: pan(seats.index(seat), len(seats)) for seat in chosen if seat in seats}
        length = max((len(block) for block in voices.values()), default=0)
        ramp = np.linspace(0, 1, length, endpoint=False, dtype=np.float32)[:, None]
        parts: dict[int, np.ndarray] = {}
        for seat in gains.keys() | self._heard.keys():
            if (block := voices.get(seat)) is not None:
                before, after = (np.array(one.get(seat, (0.0, 0.0)), np.float32) for one in (self._heard, gains))
                parts[seat] = block[:, None] * (before + (after - before) * ramp)
        self._heard = gains
        whole = np.zeros((length, 2), np.float32)
        for part in parts.values():
            whole += part
        return Mixes(limited(whole), {seat: limited(whole - part) for seat, part in parts.items()})

    def _choose(self, voices: Mapping[int, np.ndarray]) -> list[int]:
        """Seats of the loudest voices; who is heard already stays until another is clearly louder."""
        for seat in self._lately.keys() | voices.keys():
            now = loudness(voices[seat]) if seat in voices else 0.0
            self._lately[seat] = max(now, 0.92 * self._lately.get(seat, 0.0))
        self._lately = {seat: one for seat, one in self._lately.items() if one > NOTHING}
        worth = {seat: one * (STAYS if seat in self._heard else 1.0) for seat, one in self._lately.items()}
        return sorted(worth, key=worth.__getitem__, reverse=True)[:LOUDEST]
