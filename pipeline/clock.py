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
class Cost:
    """What one caller's frames cost while somebody watches."""

    busy: dict[str, float]
    "Device -> seconds that it works for one frame; the slowest tenth of the frames left out: something came between."
    views: int
    "Rendered of each of these frames: the most that were watched."
    frames: int
    "From which that is known."


UNKNOWN = Cost({}, 0, 0)
"Of a caller whom nobody has watched."


@dataclass(frozen=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


def percentiles(seconds: Iterable[float]) -> Percentiles:
    """Nearest-rank percentiles of durations given in seconds: of n, the one of rank ceil(n * percent / 100); zeros for none."""
    ordered = sorted(seconds)
    if not ordered:
        return Percentiles(0.0, 0.0, 0.0)
    at = [
        ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 95, 99)
    ]  # in whole numbers: 0.07 * 100 > 7
    return Percentiles(*(round(1e3 * value, 3) for value in at))


class StageTimes:
    """Durations per stage over the newest `window` frames."""

    def __init__(self, window: int = 250) -> None:
        self._spans: dict[str, deque[float]] = {}
        self._ages: deque[float] = deque(maxlen=window)
        self._ends: deque[float] = deque(maxlen=window)
        self._busy: deque[tuple[int, dict[str, float]]] = deque(maxlen=window)
        self._window = window

    def add(self, clock: StageClock, views: int | None) -> None:
        """A frame has gone by, of which so many views were rendered: 0 where all who watch draw for themselves, None where nobody
        watched, or not all detail was made."""
        if views is not None:
            self._busy.append((views, clock.busy))
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

    def age_lately(self, now: float, over: float) -> float:
        """Seconds: the 95th percentile of the ages of frames that were finished during the last `over` seconds."""
        ages = [age for end, age in zip(self._ends, self._ages, strict=True) if now - over < end <= now]
        return percentiles(ages).p95 / 1e3

    @property
    def cost(self) -> Cost:
        """Of those frames of which most was watched."""
        most = max((views for views, _ in self._busy), default=0)
        frames = [busy for views, busy in self._busy if views == most]
        kept = len(frames) - len(frames) // 10
        spent = {
            device: sorted(busy.get(device, 0.0) for busy in frames)
            for device in dict.fromkeys(device for busy in frames for device in busy)
        }
        return Cost({device: sum(seconds[:kept]) / kept for device, seconds in spent.items()}, most, len(frames))

    def forget_cost(self) -> None:
        """Nobody watches any more: what frames cost while somebody did may not be true when somebody comes."""
        self._busy.clear()

    def rate(self, now: float, over: float = 3.0) -> float:
        """Frames a second that were finished during the last `over` seconds."""
        recent = [end for end in self._ends if now - over < end <= now]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)
