"""Faults: what may happen to a server from inside, begun and ended by whoever asks the witnessed server (`/witness/faults`)."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

RED = np.array([220, 40, 40])
"Of a caller at whose pictures face tracking fails while that fault lasts."
FAILS = "face tracking fails"
"What it says then."
HOUR = 3600.0
raising = False
"Whether it does."


def is_red(pixels: np.ndarray) -> bool:
    """Whether [H, W, 3] uint8 are of such a caller: their lower half is red, as well as video coding keeps that."""
    return bool((np.abs(np.median(pixels[len(pixels) // 2 :], axis=(0, 1)) - RED) < 50).all())


def _tracking() -> Callable[[], None]:
    global raising
    raising = True

    def end() -> None:
        global raising
        raising = False

    return end


def _clock(by: float) -> Callable[[], None]:
    real = time.time
    time.time = lambda: real() + by
    return lambda: setattr(time, "time", real)


def _disk_full() -> Callable[[], None]:
    real = shutil.disk_usage
    full: Any = lambda where: SimpleNamespace(total=1 << 40, used=1 << 40, free=0)  # noqa: E731
    shutil.disk_usage = full
    return lambda: setattr(shutil, "disk_usage", real)


def _stall() -> Callable[[], None]:
    time.sleep(0.3)  # in the event loop, as whoever computes there by mistake
    return lambda: None


FAULTS: dict[str, Callable[[], Callable[[], None]]] = {
    "face tracking raises": _tracking,
    "the clock is an hour ahead": lambda: _clock(HOUR),
    "the clock is an hour behind": lambda: _clock(-HOUR),
    "the disk is full": _disk_full,
    "the event loop stands still": _stall,
}
"By name: begins it, and returns what ends it."


async def happen(name: str, seconds: float) -> dict[str, str]:
    """One of them for so long. One at a time."""
    end = FAULTS[name]()
    try:
        await asyncio.sleep(seconds)
    finally:
        end()
    return {"over": name}
