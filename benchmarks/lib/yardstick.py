"""Yardstick: a fixed piece of work beside what is measured, so that costs can be compared on a machine whose speed varies.

Processor time of the same work differs by a factor of two on a virtual machine from one hour to the next, as other machines share its
caches and its cores' second threads, and not of all work alike: coding pictures was seen to become cheaper by a quarter while interpreted
Python did not. What is measured is cut into slices of a tenth of a second, each between two yards of its own kind, and counted in them.
No yard is this project's work, so that no change here makes it cheaper or dearer.
"""

from __future__ import annotations

import math
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from statistics import median, quantiles

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext

WORSE = 1.2
"A cost may be so many times the one that it is compared with."
UNSURE = 0.1
"Error of a median, as a share of it, beyond which nothing can be said of WORSE."
LEAST_SLICES = 4
"Of which quartiles are worth something."
Slice = Callable[[], Awaitable[float]]
"Does some of the work. The processor seconds of one unit of it."
Yard = Callable[[], float]
"Does a fixed piece of other work, about a hundredth of a second of it. Its processor seconds."


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


class Interpreted:
    """A yard of what passing packets on is made of: interpreted Python, datagrams through the kernel, whole-number work in C."""

    def __init__(self) -> None:
        self._bytes = (np.random.default_rng(1).random(1 << 15) * 12).astype(np.uint8).tobytes()

    def lay(self) -> float:
        with _pair() as (to, come):
            begun = time.thread_time()
            interpreted = [(number * 7919) & 0xFFFF for number in range(60_000)]
            for number in sorted(interpreted)[::100]:
                to.send(self._bytes[:200])
                come.recv(number + 200)
            zlib.compress(self._bytes, 6)
            return time.thread_time() - begun


class Sound:
    """A yard of sound: two seconds of noise that comes and goes, by libopus."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).standard_normal((100, 1, 1920)).astype(np.float32)
        self._blocks = noise * np.linspace(0.0, 0.2, 100, dtype=np.float32)[:, None, None]
        self._encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(self._encoder, AudioCodecContext)
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = 48_000, "stereo", "flt"  # type: ignore[assignment]
        self._encoder.bit_rate, self._encoder.options = 64_000, {"compression_level": "5"}

    def lay(self) -> float:
        begun = time.thread_time()
        for block in self._blocks:
            frame = av.AudioFrame.from_ndarray(np.tanh(block), "flt", "stereo")
            frame.sample_rate = 48_000
            self._encoder.encode(frame)
        return time.thread_time() - begun


class Pictures:
    """A yard of pictures: five of 864x768, shifted from one to the next, copied and coded by libx264."""

    def __init__(self) -> None:
        noise = np.random.default_rng(1).integers(60, 200, (96, 54), np.uint8)
        self._picture = np.kron(noise, np.ones((12, 16), np.uint8))
        self._encoder = av.CodecContext.create("libx264", "w")
        assert isinstance(self._encoder, VideoCodecContext)
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = 864, 768, "yuv420p"
        self._encoder.bit_rate, self._encoder.gop_size, self._encoder.thread_count = 6_000_000, 1_000_000, 2
        self._encoder.time_base, self._encoder.framerate = Fraction(1, 25), Fraction(25)
        self._encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
        self._number = 0

    def lay(self) -> float:
        begun = time.process_time()
        for _ in range(5):
            self._number += 1
            shifted = np.roll(self._picture, self._number % 64, 1)
            frame = av.VideoFrame.from_numpy_buffer(shifted, format="yuv420p")
            frame.pts = self._number
            self._encoder.encode(frame)
        return time.process_time() - begun


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


async def measured(work: Mapping[str, tuple[Slice, Yard]], slices: int) -> dict[str, Cost]:
    """Of each piece of `work`, by a yard, in turns, after one slice of each that does not count."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for turn in range(slices + 1):
        for name, (one, lay) in work.items():
            before = lay()
            spent = await one()
            yard = (before + lay()) / 2
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
