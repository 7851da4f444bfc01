"""Dispatch: which renderer does what, decided from what happens. What is to be done about it comes back as actions.

Decides without a thread and without a clock: times are arguments, in seconds. No torch, asyncio, threading or time here. Whose
views come next is decided in fair_queue.py, and who is given work in health.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.executors import DeviceGone
from pipeline.executors.fair_queue import Batch, Part, Sharing, Wanted
from pipeline.executors.health import DeviceReport, Health

ENOUGH = 3
"Renderers that have to fail on a frame until it is the frame that is to blame."


@dataclass(frozen=True)
class Send:
    """Begin to bring to `device` what rendering `wanted` there needs."""

    device: str
    wanted: Wanted


@dataclass(frozen=True)
class Wake:
    """Have the thread of `device` ask what it is to take, when its turn comes."""

    device: str


@dataclass(frozen=True)
class Take:
    """Ask at once what `device` is to take: this is its thread."""

    device: str


@dataclass(frozen=True)
class Try:
    """Have the thread of `device` begin a trial with `wanted`, when its turn comes."""

    device: str
    wanted: Wanted


@dataclass(frozen=True)
class Render:
    device: str
    batch: Batch


@dataclass(frozen=True)
class Keep:
    """What was rendered of `part` counts."""

    part: Part


@dataclass(frozen=True)
class Ended:
    """`wanted` is whole, or lost by `error`."""

    wanted: Wanted
    error: Exception | None = None


@dataclass(frozen=True)
class Say:
    """For the operator."""

    level: Literal["warning", "error"]
    text: str


Action = Send | Wake | Take | Try | Render | Keep | Ended | Say


class Dispatch:
    """Actions are to be carried out in their order; Keep and Ended in the order in which they were decided, too."""

    def __init__(self, ahead: Mapping[str, int], now: float) -> None:
        """`ahead`: renderer -> batches that it may be given at once."""
        self._ahead = ahead
        self._sharing, self._health = Sharing(), Health(list(ahead), now)
        self._woken: Counter[str] = Counter()
        "Renderer -> wake-ups that its thread has not come to."
        self._trials: set[Batch] = set()
        self._full: dict[tuple[str, Hashable], int | None] = {}
        "Renderer and kind -> views of a full batch."

    def offer(self, wanted: Wanted, now: float, here: str | None = None) -> list[Action]:
        """A frame is to be rendered. `here`: the device whose thread asks, if it is free."""
        gone = self._health.gone(now)
        if gone is not None:
            return [Ended(wanted, _nobody(gone))]
        tried = self._retry(now)
        works = self._health.works
        self._sharing.offer(wanted, len(works))
        send = [Send(device, wanted) for device in (*works, *tried)]
        return [*send, *(Try(device, wanted) for device in tried), *self._wakes(here)]

    def new_to(self, device: str) -> list[Wanted]:
        """A frame of each kind that waits and of which `device` has not said how many views are a full batch."""
        waiting = {wanted.kind: wanted for wanted in self._sharing.waiting}
        return [wanted for kind, wanted in waiting.items() if (device, kind) not in self._full]

    def learn(self, device: str, kind: Hashable, full: int | None) -> None:
        """`full`: views of a full batch of `kind` on `device`; None where batches are not filled up."""
        self._full[device, kind] = full

    def take(self, device: str, now: float) -> list[Action]:
        """The thread of `device` has come to a wake-up: it renders what is next in the line."""
        self._woken[device] -= 1
        if not self._may_take(device):
            return []
        batch = self._sharing.take(lambda kind: self._full.get((device, kind)))
        if batch is None:
            return []
        self._begin(device, batch, now)
        return [*self._wakes(), Render(device, batch)]

    def trial(self, device: str, wanted: Wanted, now: float) -> list[Action]:
        """The thread of `device` has come to a trial: a share of `wanted`, for nothing but to see whether that goes well."""
        batch = Batch(wanted.kind, (Part(wanted, range(min(wanted.share, wanted.views))),))
        self._trials.add(batch)
        self._begin(device, batch, now)
        return [Render(device, batch)]

    def finished(self, device: str, batch: Batch, now: float) -> list[Action]:
        was_up, trial = device in self._health.up, self._end_trial(batch)
        counts = self._health.ended(device, batch, now)
        actions: list[Action] = []
        if counts and not was_up:
            actions.append(Say("warning", f"renderer {device} is up again"))
        if counts and not trial:
            actions += [Keep(part) for part in batch.parts if self._sharing.holds(part.wanted)]
            actions += map(Ended, self._sharing.finished(batch))
        return [*actions, *self._wakes()]

    def failed(self, device: str, batch: Batch, error: Exception, now: float) -> list[Action]:
        """What failed goes to another renderer. What fails everywhere, or at ENOUGH of them, is lost."""
        reason, trial = f"{type(error).__name__}: {error}", self._end_trial(batch)
        if not self._health.awaits(device, batch):
            self._health.failed(device, batch, reason, now)
            return []
        blamed = self._blamed(device, batch)
        others = [other for busy, other in self._health.under_way if busy == device and other is not batch]
        dropped = self._health.failed(device, batch, reason, now, blameless=blamed is not None)
        lost: list[Ended] = []
        if not trial:
            self._sharing.returned(batch)
            lost = self._lose(blamed, error, now) if blamed is not None else []
            for part in batch.parts:
                part.wanted.raised_on.add(device)
        said = []
        if dropped:
            self._give_back(others)
            said = [self._say_dropped(device, reason)]
        return [*said, *lost, *self._lost_if_gone(now), *self._wakes()]

    def check(self, now: float, undriven: Collection[Wanted] = ()) -> list[Action]:
        """Drop whoever does not answer, so that others do its work. `undriven`: frames whose state is not there yet, for which
        renderers wait and are not to blame."""
        for device, batch in self._health.under_way:
            if any(part.wanted in undriven for part in _parts(batch)):
                self._health.postpone(device, batch, now)
        late = self._health.overdue(now)
        said = [self._drop(device, f"has not answered for {seconds:.1f} s", now) for device, seconds in late.items()]
        return [*said, *self._lost_if_gone(now), *self._wakes()]

    @property
    def rendering(self) -> set[Wanted]:
        """The frames of which renderers have taken views."""
        return {part.wanted for _, batch in self._health.under_way for part in _parts(batch)}

    @property
    def shares_waiting(self) -> int:
        """How many renderers could take something now."""
        return self._sharing.shares_waiting

    @property
    def batches_under_way(self) -> int:
        """Taken by a renderer, and not done."""
        return len(self._health.under_way)

    @property
    def hanging(self) -> dict[str, float]:
        """Devices whose threads are still busy with what they were dropped for -> when they were."""
        return self._health.hanging

    def reports(self, now: float) -> list[DeviceReport]:
        return self._health.report(now)

    def _wakes(self, here: str | None = None) -> list[Wake | Take]:
        """Have every renderer that has room look for what waits; at once `here`, if it is one of them."""
        if not self._sharing.waiting:
            return []
        room = {one: self._ahead[one] - self._health.busy(one) - self._woken[one] for one in self._health.works}
        woken = [one for one, times in room.items() for _ in range(times)]
        self._woken.update(woken)
        if here not in woken:
            return [Wake(device) for device in woken]
        woken.remove(here)
        return [*(Wake(device) for device in woken), Take(here)]

    def _may_take(self, device: str) -> bool:
        """Whether it has room, and what waits is not for another who has nothing to do and was woken."""
        busy = {one: self._health.busy(one) for one in self._health.works}
        if device not in busy or busy[device] >= self._ahead[device]:
            return False
        return not busy[device] or not any(not busy[one] and self._woken[one] for one in busy)

    def _begin(self, device: str, batch: Batch, now: float) -> None:
        self._health.begin(device, batch, batch.kind, batch.sizes, now)

    def _end_trial(self, batch: Batch) -> bool:
        """Whether it was one."""
        trial = batch in self._trials
        self._trials.discard(batch)
        return trial

    def _blamed(self, device: str, batch: Batch) -> Wanted | None:
        """The frame that is to blame for what `device` raised, if it is one: others raised too, or nobody is left to ask."""
        frame = batch.parts[0].wanted
        if len(batch.parts) > 1:
            return None
        tried = len(frame.raised_on - {device}) + 1
        alone = not [other for other in self._health.up if other != device]
        return frame if alone or tried >= ENOUGH else None

    def _lose(self, frame: Wanted, error: Exception, now: float) -> list[Ended]:
        """`frame` is to blame, or nobody can be asked instead: whoever was dropped for it comes back."""
        if not self._sharing.holds(frame):
            return []
        for device in frame.raised_on:
            self._health.pardon(device, now)
        return [Ended(frame, error), *map(Ended, self._sharing.lost(frame))]

    def _drop(self, device: str, reason: str, now: float) -> Say:
        self._give_back(self._health.drop(device, reason, now))
        return self._say_dropped(device, reason)

    def _give_back(self, batches: Iterable[Hashable]) -> None:
        """Their renderer was dropped: what comes of them does not count."""
        for batch in batches:
            assert isinstance(batch, Batch), batch
            if batch not in self._trials:
                self._sharing.returned(batch)

    def _say_dropped(self, device: str, reason: str) -> Say:
        left = ", ".join(self._health.up) or "nobody"
        return Say(
            "error", f"renderer {device} is dropped: {reason}. Its views go to {left}, and it will be tried again"
        )

    def _lost_if_gone(self, now: float) -> list[Ended]:
        gone = self._health.gone(now)
        if gone is not None:
            return [Ended(wanted, _nobody(gone)) for wanted in self._sharing.all_lost()]
        if self._sharing.waiting and not self._health.works:
            self._retry(now)  # nobody else may come to ask: callers wait for the frames that wait here
        return []

    def _retry(self, now: float) -> list[str]:
        """Renderers that are given a trial beside the others; with no others up, the one that is due does the work instead."""
        tried = []
        for device in self._health.due(now):
            self._health.retry(device, now)
            if self._health.up:
                tried.append(device)
        return tried


def _nobody(gone: str) -> DeviceGone:
    return DeviceGone(f"no renderer is left ({gone})")


def _parts(batch: Hashable) -> tuple[Part, ...]:
    assert isinstance(batch, Batch), batch
    return batch.parts
