"""Yardstick: a fixed piece of work beside what is measured, so that costs can be compared on a machine whose speed varies.

Processor time of the same work differs by a factor of two on a virtual machine from one hour to the next, as other machines share its
caches and its cores' second threads. What is measured is cut into slices of a tenth of a second, each between two yards, and counted in
them: that differs by a few hundredths. The yard is made of what sound and pictures of calls are: interpreted Python, numpy over arrays
that fit no cache, whole-number coding (zlib), and datagrams through the kernel. None of it is this project's, so that no change here
makes it cheaper or dearer.
"""

from __future__ import annotations

import math
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median, quantiles

import numpy as np

WORSE = 1.2
"A cost may be so many times the one that it is compared with."
UNSURE = 0.1
"Error of a median, as a share of it, beyond which nothing can be said of WORSE."
LEAST_SLICES = 4
"Of which quartiles are worth something."
Slice = Callable[[], Awaitable[float]]
"Does some of the work. The processor seconds of one unit of it."


@dataclass(frozen=True)
class Cost:
    """What one unit of something takes, by slices."""

    microseconds: float
    "Of processor time, the median."
    yards: float
    "The same in yards, the median: what is compared."
    spread: float
    "Of the yards: upper quartile of the slices minus lower."
    slices: int

    @property
    def error(self) -> float:
        """Standard error of the median, in yards, of slices that scatter about as a normal distribution does (quartiles 1.35 sigma
        apart, a median's error 1.25 times a mean's)."""
        return 1.25 * self.spread / 1.35 / math.sqrt(self.slices)


class Yardstick:
    """Lays the yard."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1)
        self._numbers = noise.random(1 << 19).astype(np.float32)
        self._bytes = (noise.random(1 << 16) * 12).astype(np.uint8).tobytes()

    def lay(self) -> float:
        """Processor seconds that one yard took: about a hundredth of one."""
        with _pair() as (to, come):
            begun = time.thread_time()
            interpreted = [(number * 7919) & 0xFFFF for number in range(60_000)]
            for number in sorted(interpreted)[::100]:
                to.send(self._bytes[:200])
                come.recv(number + 200)
            zlib.compress(self._bytes, 6)
            waves = self._numbers * np.float32(0.5) + np.roll(self._numbers, 1)
            np.fft.rfft(waves[: 1 << 15].reshape(32, -1))
            return time.thread_time() - begun


@contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets of datagrams, on this machine."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as come,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to,
    ):
        come.bind(("127.0.0.1", 0))
        to.connect(come.getsockname())
        yield to, come


async def measured(work: Mapping[str, Slice], slices: int) -> dict[str, Cost]:
    """Of each piece of `work`, in turns, after one slice of each that does not count."""
    yardstick = Yardstick()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for turn in range(slices + 1):
        for name, one in work.items():
            before = yardstick.lay()
            spent = await one()
            yard = (before + yardstick.lay()) / 2
            if turn:
                found[name].append((spent, spent / yard))
    return {name: _cost(some) for name, some in found.items()}


def _cost(slices: list[tuple[float, float]]) -> Cost:
    yards = [yards for _, yards in slices]
    low, _, high = quantiles(yards, n=4)
    microseconds = 1e6 * median(spent for spent, _ in slices)
    return Cost(round(microseconds, 1), round(median(yards), 5), round(high - low, 5), len(slices))


def comparison(now: Mapping[str, Cost], before: Mapping[str, Cost]) -> list[str]:
    """In words, which costs are more than WORSE times what they were, or cannot be told; none where all is well."""
    return [words for name, cost in now.items() if name in before and (words := _compared(name, cost, before[name]))]


def _compared(name: str, now: Cost, before: Cost) -> str:
    times = now.yards / before.yards
    if now.error > UNSURE * now.yards:
        return f"{name}: {now.yards:.4f} yards, known to {now.error:.4f}: too unsteady to be compared; measure again with more --slices"
    if times > WORSE:
        return (
            f"{name}: {100 * (times - 1):.0f} % more than it was ({now.yards:.4f} yards, {before.yards:.4f} before; "
            f"{100 * (WORSE - 1):.0f} % are allowed): find what did it, with py-spy record, or write it down with --anew"
        )
    return ""
