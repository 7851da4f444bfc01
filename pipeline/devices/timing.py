"""Timing: when a stage began and ended on its device, by the host's clock. Nobody waits for it.

A GPU works after it has been told to, so its instants are events in its stream, and are read when the frame has gone by.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import torch

from pipeline.clock import StageClock
from pipeline.devices.transfer import torch_device

ANCHORED_FOR = 60.0
"Seconds after which a GPU's clock is compared anew: CUDA tells times apart as float32 milliseconds, good to 4 us for so long."


class _Anchor:
    """An event of which the host knows when it was."""

    def __init__(self, device: torch.device) -> None:
        with torch.cuda.device(device):
            self.event = torch.cuda.Event(enable_timing=True)
            self.event.record(_idle(device))  # it happens at once
        self.at = time.monotonic()


@cache
def _idle(device: torch.device) -> torch.cuda.Stream:
    """A stream that nothing else is put on: one a device, as torch hands the same 32 out again and again."""
    return torch.cuda.Stream(device, priority=-1)  # lanes and routes take theirs from the pool of ordinary priority


_anchors: dict[torch.device, _Anchor] = {}
_anchoring = threading.Lock()


def _anchor(device: torch.device) -> _Anchor:
    with _anchoring:
        known = _anchors.get(device)
        if known is None or time.monotonic() - known.at > ANCHORED_FOR:
            known = _anchors[device] = _Anchor(device)
        return known


class _GpuInstant:
    def __init__(self, device: torch.device) -> None:
        self._anchor = _anchor(device)
        self._event = torch.cuda.Event(enable_timing=True)
        self._event.record(torch.cuda.current_stream(device))

    def seconds(self) -> float | None:
        if not (self._event.query() and self._anchor.event.query()):
            return None
        return self._anchor.at + 1e-3 * self._anchor.event.elapsed_time(self._event)


Instant = float | _GpuInstant


def instant(device: str, now: Callable[[], float]) -> Instant:
    """This point in the work of `device`. On a GPU the clock is time.monotonic, whatever `now` is."""
    return _GpuInstant(torch_device(device)) if device.startswith("cuda") else now()


@dataclass(frozen=True)
class Span:
    """One stage's time on one device for one frame."""

    stage: str
    device: str
    begun: Instant
    ended: Instant
    share: float = 1.0
    "Of a batch that several callers shared: how much of it was this one's, 0..1."


def mark_times(clock: StageClock, spans: Iterable[Span]) -> None:
    """Write `spans` into `clock`; one that has not ended, its renderer having been given up, is left out."""
    for span in spans:
        begun, ended = (one.seconds() if isinstance(one, _GpuInstant) else one for one in (span.begun, span.ended))
        if begun is not None and ended is not None:
            clock.mark(span.stage, begun, ended)
            clock.spend(span.device, span.share * (ended - begun))
