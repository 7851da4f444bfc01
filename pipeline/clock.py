"""Clock: when each stage of one frame began and ended, and what that adds up to over many frames.

Knows no clock of its own: times are arguments, in seconds. No torch, asyncio, threading or time here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class StageClock:
    """Rides beside one frame through the stages."""

    captured: float
    "When the frame was taken in."
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    "Stage -> (begun, ended), in the order of running."
    busy: dict[str, float] = field(default_factory=dict)
    "Device -> seconds that it worked for this frame."

    def mark(self, stage: str, begun: float, ended: float) -> None:
        """A stage that runs several times for one frame (once a screen, once a renderer) counts from first to last."""
        earlier, later = self.spans.get(stage, (begun, ended))
        self.spans[stage] = (min(earlier, begun), max(later, ended))

    def spend(self, device: str, seconds: float) -> None:
        self.busy[device] = self.busy.get(device, 0.0) + seconds

    @property
    def age(self) -> float:
        """Seconds from capture to the end of the last stage that has run."""
        return max((ended for _, ended in self.spans.values()), default=self.captured) - self.captured


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """Nearest-rank percentiles of durations given in seconds; zeros for none."""
    ordered = sorted(seconds)
    if not ordered:
        return Percentiles(0.0, 0.0, 0.0)
    at = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.50, 0.95, 0.99)]
    return Percentiles(*(round(1e3 * value, 3) for value in at))


class StageTimes:
    """Durations per stage over the newest `window` frames."""

    def __init__(self, window: int = 250) -> None:
        self._spans: dict[str, deque[float]] = {}
        self._ages: deque[float] = deque(maxlen=window)
        self._ends: deque[float] = deque(maxlen=window)
        self._busy: deque[dict[str, float]] = deque(maxlen=window)
        self._window = window

    def add(self, clock: StageClock, shown: bool = True) -> None:
        """A frame has gone by; `shown` says that it was rendered, and not only looked at."""
        if shown:
            self._busy.append(clock.busy)
        for stage, (begun, ended) in clock.spans.items():
            self._spans.setdefault(stage, deque(maxlen=self._window)).append(ended - begun)
        self._ages.append(clock.age)
        self._ends.append(clock.captured + clock.age)

    @property
    def stages(self) -> dict[str, Percentiles]:
        return {stage: percentiles(spans) for stage, spans in self._spans.items()}

    @property
    def age(self) -> Percentiles:
        return percentiles(self._ages)

    @property
    def busy(self) -> dict[str, float]:
        """Device -> seconds it works for a frame that is shown, the slowest tenth of the frames left out: something came between."""
        devices = dict.fromkeys(device for frame in self._busy for device in frame)
        most = {device: sorted(frame.get(device, 0.0) for frame in self._busy) for device in devices}
        kept = len(self._busy) - len(self._busy) // 10
        return {device: sum(spent[:kept]) / kept for device, spent in most.items()}

    def rate(self, now: float, over: float = 3.0) -> float:
        """Frames a second that were finished during the last `over` seconds."""
        recent = [end for end in self._ends if now - over < end <= now]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)
