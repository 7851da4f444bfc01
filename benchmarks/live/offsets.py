"""Offsets: how far sound and picture are apart for one viewer, out of what was seen and heard when. Numbers in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.live import chirp

BIN = 0.2
"Seconds within which ages of pictures and of sound are compared."
MEDIAN, MOST, SLEWING = (-15.0, 45.0), (-40.0, 60.0), (-90.0, 185.0)
"Milliseconds, sound minus picture: ATSC IS-191, EBU R37, ITU-R BT.1359-1's acceptability."


@dataclass(frozen=True)
class Aged:
    """What a viewer got: when, and how old it was, in seconds."""

    at: np.ndarray
    age: np.ndarray


def offsets(pictures: Aged, sounds: Aged, begun: float) -> tuple[np.ndarray, np.ndarray]:
    """(seconds since `begun`, milliseconds that sound is later than the picture of its moment), one for each BIN that has both."""
    last = min(pictures.at.max(initial=begun), sounds.at.max(initial=begun))
    times, found = [], []
    for number in range(int((last - begun) / BIN)):
        low = begun + number * BIN
        seen, heard = (one.age[(one.at >= low) & (one.at < low + BIN)] for one in (pictures, sounds))
        if len(seen) and len(heard):
            times.append(low + BIN / 2 - begun)
            found.append(1e3 * float(np.median(heard) - np.median(seen)))
    return np.array(times), np.array(found)


def summary(times: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Of a run from its first picture on; the bars hold from the third second on."""
    settled = found[times >= 3.0]
    if not len(settled):
        return {"median_ms": None}
    inside = [one for one in range(int(times.max()) + 1) if _inside(found[(times >= one) & (times < one + 1)])]
    return {
        "median_ms": round(float(np.median(settled)), 1),
        "p2.5_ms": round(float(np.percentile(settled, 2.5)), 1),
        "p97.5_ms": round(float(np.percentile(settled, 97.5)), 1),
        "least_ms": round(float(settled.min()), 1),
        "most_ms": round(float(settled.max()), 1),
        "within_40_early_60_late": round(float(((settled >= MOST[0]) & (settled <= MOST[1])).mean()), 4),
        "seconds_outside_90_early_185_late": round(
            BIN * int(((settled < SLEWING[0]) | (settled > SLEWING[1])).sum()), 1
        ),
        "first_second_within": inside[0] if inside else None,
    }


def _inside(found: np.ndarray) -> bool:
    return len(found) > 0 and MEDIAN[0] <= float(np.median(found)) <= MEDIAN[1]


def ages(heard: np.ndarray, told: np.ndarray, origin: float) -> Aged:
    """Of sound that was `heard` and carried chirp times: `origin` is when such a period begins."""
    return Aged(heard, (heard - told - origin) % chirp.PERIOD)


def middle(aged: Aged) -> float:
    """Milliseconds: the median age."""
    return round(1e3 * float(np.median(aged.age)), 1)


def steady(arrived: np.ndarray, samples: np.ndarray, rate: int, window: float = 2.0) -> np.ndarray:
    """When each chunk of a stream really came, of chunks that were read now and then too late: its samples tell the distance,
    the earliest of `window` seconds to each side the place."""
    even = np.concatenate([[0.0], np.cumsum(samples[:-1])]) / rate
    late = arrived - even
    low, high = np.searchsorted(even, even - window), np.searchsorted(even, even + window)
    return even + np.array([late[a:b].min() for a, b in zip(low, high, strict=True)])


def gaps(pcm: np.ndarray) -> dict[str, float]:
    """Of [N] int16 that should hold a tone throughout: milliseconds of the longest stretch without one, and of all together; and after
    how many seconds of it the longest begins."""
    size = chirp.RATE // 200  # 5 ms
    whole = pcm[: len(pcm) // size * size].reshape(-1, size).astype(np.float64)
    quiet = np.sqrt((whole**2).mean(1)) < chirp.QUIET
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    lengths = edges[1::2] - edges[::2]
    longest = float(edges[::2][lengths.argmax()]) / 200 if len(lengths) else 0.0
    return {
        "longest_ms": 5.0 * int(lengths.max(initial=0)),
        "sum_ms": 5.0 * int(lengths.sum()),
        "longest_at_s": longest,
    }
