"""Health: a circuit breaker for each renderer: which of them work. Drops one that fails or does not answer, and tries it again later.

Decides without a thread and without a clock: times are arguments, in seconds. No torch, asyncio, threading or time here.

A renderer that raises is dropped if another one is left, which then renders what it was to; where others fail on the same
frame, the frame is to blame, and all of them stay. The last renderer is kept until it has failed MOST_IN_A_ROW times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from statistics import median

LEAST_PATIENCE = 0.5
"Seconds that a batch may take before its renderer is suspected, however quick it is otherwise."
PATIENCE = 10
"How many times its usual time a batch may take."
FIRST_PATIENCE = 600.0
"Seconds while it is unknown what is usual: weights are read and kernels compiled, and a neural engine without a GPU takes minutes."
NEW_SIZE_PATIENCE = 20.0
"Seconds at least for a number of views that an engine has not rendered there: CUDA graphs are recorded for each (engines/runtime)."
LAST_PATIENCE = 10.0
"Seconds at least where nobody can take over: suspecting then only ends sessions."
OPENING_PATIENCE = 60.0
"Seconds that a device may take to be opened at all: a driver's context, not yet weights or kernels."
MOST_IN_A_ROW = 10
"Failures, with no success between, after which the last renderer is given up."
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"Seconds until a dropped renderer is tried again: the first, doubled each time it fails again, up to the second."


class Patience:
    """A timeout estimator: how long to wait for something, going by how long the same took before."""

    def __init__(self) -> None:
        self._took: dict[Hashable, deque[float]] = {}

    def learn(self, what: Hashable, seconds: float, units: int = 1) -> None:
        self._took.setdefault(what, deque(maxlen=50)).append(seconds / units)

    def seconds(self, what: Hashable, least: float, units: int = 1) -> float:
        took = self._took.get(what)
        return max(least, PATIENCE * median(took) * units) if took else FIRST_PATIENCE


class State(Enum):
    UP = "up"
    DOWN = "down"
    TRIED = "tried again"
    "With one batch, whose result is thrown away while other renderers are up."


@dataclass(frozen=True)
class DeviceReport:
    """How one device is doing, for people and monitors."""

    device: str
    renders: bool
    "Others can stand in for one that does nothing else."
    up: bool
    state: str
    reason: str
    "Why it is not up; empty where it is."
    seconds: float
    "Since when it is in this state."
    retry_in: float | None
    "Seconds until it is tried again; None where it is up or its thread hangs."
    hangs: bool
    "Its thread is still busy with what it was dropped for. No thread can be ended from outside: only a restart frees it."
    drops: int
    "How often it was dropped since the start."


def able(reports: Sequence[DeviceReport]) -> bool:
    """Whether frames can be finished: somebody renders, and every other device is up, or they are about to be tried again."""
    ready = {one.device: one.up or one.state == State.TRIED.value or one.retry_in == 0 for one in reports}
    renderers = [ready[one.device] for one in reports if one.renders]
    return (any(renderers) or not renderers) and all(ready[one.device] for one in reports if not one.renders)


@dataclass
class _Renderer:
    state: State = State.UP
    since: float = 0.0
    reason: str = ""
    pause: float = FIRST_PAUSE
    in_a_row: int = 0
    drops: int = 0
    begun: dict[Hashable, _Begun] = field(default_factory=dict)
    "Batch -> what it is busy with, oldest first."
    hanging: set[Hashable] = field(default_factory=set)
    "Batches it was dropped with and has not answered."
    patience: Patience = field(default_factory=Patience)
    known: set[tuple[Hashable, int]] = field(default_factory=set)
    "Kinds, and numbers of views of one frame, that it has rendered."

    def wait_for(self, begun: _Begun, least: float) -> float:
        """Seconds that it is given."""
        if not begun.parts <= self.known:
            least = max(least, NEW_SIZE_PATIENCE)
        return self.patience.seconds(begun.kind, least, begun.views)


@dataclass(frozen=True)
class _Begun:
    at: float
    kind: Hashable
    sizes: tuple[int, ...]

    @property
    def views(self) -> int:
        return sum(self.sizes)

    @property
    def parts(self) -> set[tuple[Hashable, int]]:
        return {(self.kind, size) for size in self.sizes}


class Health:
    def __init__(self, devices: Sequence[str], now: float, renders: bool = True) -> None:
        """Of devices that stand in for each other; a device that nobody stands in for has a Health of its own."""
        self.renders = renders
        self._renderers = {device: _Renderer(since=now) for device in devices}

    @property
    def up(self) -> list[str]:
        return [device for device, renderer in self._renderers.items() if renderer.state is State.UP]

    @property
    def works(self) -> list[str]:
        """Who is given work: those that are up, or where there is none whoever is being tried again."""
        return self.up or [device for device, one in self._renderers.items() if one.state is State.TRIED]

    def gone(self, now: float) -> str | None:
        """Why nobody can render and nobody is due to be tried; None while somebody can."""
        if self.works or self.due(now):
            return None
        return "; ".join(f"{device}: {one.reason}" for device, one in self._renderers.items())

    def busy(self, device: str) -> int:
        """Batches it is busy with."""
        return len(self._renderers[device].begun)

    def begin(self, device: str, batch: Hashable, kind: Hashable, sizes: Sequence[int], now: float) -> None:
        """`device` has taken `batch`; `sizes` are the numbers of views of each frame in it."""
        self._renderers[device].begun[batch] = _Begun(now, kind, tuple(sizes))

    @property
    def under_way(self) -> list[tuple[str, Hashable]]:
        """Every device with a batch that it is busy with, its oldest first."""
        return [(device, batch) for device, one in self._renderers.items() for batch in one.begun]

    def postpone(self, device: str, batch: Hashable, now: float) -> None:
        """`batch` waits for what another device makes: its time begins now."""
        begun = self._renderers[device].begun
        begun[batch] = replace(begun[batch], at=now)

    def awaits(self, device: str, batch: Hashable) -> bool:
        """Whether an answer to `batch` still counts: its views have not been given to others."""
        return batch in self._renderers[device].begun

    def ended(self, device: str, batch: Hashable, now: float) -> bool:
        """`batch` was answered. False where that is too late: its views were given to others."""
        one = self._renderers[device]
        if batch in one.hanging:
            self._came_back(one, batch, now)
            return False
        begun = one.begun.pop(batch)
        one.patience.learn(begun.kind, now - begun.at, begun.views)
        one.known |= begun.parts
        one.in_a_row = 0
        if one.state is State.TRIED:
            self._set(one, State.UP, "", now)
        return True

    def failed(self, device: str, batch: Hashable, reason: str, now: float, blameless: bool = False) -> bool:
        """`batch` raised. Whether its renderer is dropped; `blameless` says that it was the frame's fault."""
        one = self._renderers[device]
        if batch in one.hanging:
            self._came_back(one, batch, now)
            return False
        one.begun.pop(batch)
        one.in_a_row += 1
        others = [other for other in self.up if other != device]
        hopeless = one.in_a_row >= MOST_IN_A_ROW
        if one.state is State.TRIED or hopeless or (others and not blameless):
            self.drop(device, reason, now)
            return True
        return False

    def pardon(self, device: str, now: float) -> None:
        """Reset its breaker: it was dropped for a frame that others cannot render either."""
        one = self._renderers[device]
        if one.state is State.DOWN and not one.hanging and one.in_a_row < MOST_IN_A_ROW:
            one.drops -= 1
            self._set(one, State.UP, "", now)

    def drop(self, device: str, reason: str, now: float) -> list[Hashable]:
        """Give `device` no more work for a while. The batches that it holds come back; it may still be busy with them."""
        one = self._renderers[device]
        returned = list(one.begun)
        one.hanging.update(returned)
        one.begun.clear()
        again = one.state is State.TRIED or (one.drops and now - one.since < LONGEST_PAUSE)
        one.pause = min(2 * one.pause, LONGEST_PAUSE) if again else FIRST_PAUSE
        one.drops += 1
        self._set(one, State.DOWN, reason, now)
        return returned

    def overdue(self, now: float) -> dict[str, float]:
        """Renderers that do not answer -> seconds they have been busy with their oldest batch."""
        late = {}
        for device, one in self._renderers.items():
            least = LEAST_PATIENCE if [other for other in self.up if other != device] else LAST_PATIENCE
            oldest = next(iter(one.begun.values()), None)
            if oldest is not None and now - oldest.at > one.wait_for(oldest, least):
                late[device] = now - oldest.at
        return late

    @property
    def hanging(self) -> dict[str, float]:
        """Renderers whose threads do not come back -> when they were dropped."""
        return {device: one.since for device, one in self._renderers.items() if one.hanging}

    def due(self, now: float) -> list[str]:
        """Renderers that were dropped, are free again and have paused long enough."""
        return [
            device
            for device, one in self._renderers.items()
            if one.state is State.DOWN and not one.hanging and now - one.since >= one.pause
        ]

    def retry(self, device: str, now: float) -> None:
        """Try it again: its next batch decides."""
        one = self._renderers[device]
        assert one.state is State.DOWN, one
        self._set(one, State.TRIED, one.reason, now)

    def report(self, now: float) -> list[DeviceReport]:
        return [
            DeviceReport(
                device,
                renders=self.renders,
                up=one.state is State.UP,
                state=one.state.value,
                reason=one.reason,
                seconds=round(now - one.since, 1),
                retry_in=round(max(one.pause - (now - one.since), 0.0), 1) if self._waits(one) else None,
                hangs=bool(one.hanging),
                drops=one.drops,
            )
            for device, one in self._renderers.items()
        ]

    def _came_back(self, one: _Renderer, batch: Hashable, now: float) -> None:
        """A thread that hung is free. A renderer's pause begins; whoever only hung may go on at once."""
        one.hanging.discard(batch)
        one.since = now
        if not self.renders and not one.hanging:
            self._set(one, State.UP, "", now)

    @staticmethod
    def _waits(one: _Renderer) -> bool:
        return one.state is State.DOWN and not one.hanging

    @staticmethod
    def _set(one: _Renderer, state: State, reason: str, now: float) -> None:
        one.state, one.reason, one.since = state, reason, now
