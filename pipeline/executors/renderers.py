"""Renderers: the devices that share out views. What is decided in sharing.py and health.py, done with threads and a clock."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pipeline.executors import DeviceGone, Failure, FanOut, Rendered
from pipeline.executors.fair_queue import Batch, Part, Sharing, Wanted
from pipeline.executors.health import DeviceReport, Health
from pipeline.executors.lane import Lane

_log = logging.getLogger(__name__)

ENOUGH = 3
"Renderers that have to fail on a frame until it is the frame that is to blame."

Ended = Callable[[Failure | None, str | None], None]
"Told of a failure, and of the device on whose thread it is called, if that is free to go on."


@dataclass(eq=False)
class _Asked:
    """Who waits for the views of one frame."""

    fan_out: FanOut
    ended: Ended
    raised_on: set[str] = field(default_factory=set)


class Renderers:
    def __init__(self, lanes: Mapping[str, Lane], now: Callable[[], float]) -> None:
        self._lanes, self._now = lanes, now
        self._handing_on = threading.RLock()
        "Held while frames are handed on, so that they go in the order in which they became complete."
        self._lock = threading.Lock()
        "Held for what follows, and never while anything is run."
        self._sharing, self._health = Sharing(), Health(list(lanes), now())
        self._called: Counter[str] = Counter()
        "Device -> calls to take a batch that its lane has not come to."
        self._trials: set[Batch] = set()
        self._full: dict[tuple[str, Hashable], int | None] = {}

    def offer(self, fan_out: FanOut, ended: Ended, here: str | None) -> None:
        """Render `fan_out`, and say so when all of it is there. `here`: the device whose thread this is, if it is free."""
        wanted, now = Wanted(fan_out.caller, fan_out.kind, fan_out.views, _Asked(fan_out, ended)), self._now()
        working: list[str] = []
        tried: list[str] = []
        with self._lock:
            gone = self._health.gone(now)
            if gone is None:
                tried = self._try_again(now)
                working = self._health.works
                self._sharing.offer(wanted, len(working))
        if gone is not None:
            ended(Failure(fan_out.stage, DeviceGone(f"no renderer is left ({gone})")), here)
            return
        for device in (*working, *tried):
            self._send(fan_out, device)
        for device in tried:
            self._lanes[device].put(partial(self._try, device, wanted))
        self._call(here)

    @property
    def shares_waiting(self) -> int:
        """How many renderers could take something now."""
        with self._lock:
            return self._sharing.shares_waiting

    @property
    def batches_under_way(self) -> int:
        """Taken by a renderer, and not done."""
        with self._lock:
            return sum(map(self._health.busy, self._lanes))

    def check(self) -> None:
        """Drop whoever does not answer, so that others do its work. To be called several times a second."""
        now = self._now()
        with self._handing_on:
            with self._lock:
                for device, seconds in self._health.overdue(now).items():
                    self._drop(device, f"has not answered for {seconds:.1f} s", now)
                lost = self._lost_if_gone(now)
            _hand_on(lost)
        self._call(None)

    def reports(self) -> list[DeviceReport]:
        with self._lock:
            return self._health.report(self._now())

    def hanging(self) -> dict[str, float]:
        """Devices whose threads are still busy with what they were dropped for -> when they were."""
        with self._lock:
            return self._health.hanging

    def _call(self, here: str | None) -> None:
        """Have every renderer that has room look for what waits; this thread at once, if it is one of them."""
        called: list[str] = []
        with self._lock:
            if self._sharing.waiting:
                for device in self._health.works:
                    room = self._lanes[device].stream.ahead - self._health.busy(device) - self._called[device]
                    called += [device] * room
                self._called.update(called)
        at_once = here in called
        if here is not None and at_once:
            called.remove(here)
        for device in called:
            self._lanes[device].put(partial(self._take, device))
        if here is not None and at_once:
            self._take(here)

    def _take(self, device: str) -> None:
        """On `device`'s thread: render what is next in the line, unless that is for another who has nothing to do."""
        self._learn_full_batches(device)
        with self._lock:
            self._called[device] -= 1
            busy = {one: self._health.busy(one) for one in self._health.works}
            able = device in busy and busy[device] < self._lanes[device].stream.ahead
            if able and busy[device] and any(not busy[one] and self._called[one] for one in busy):
                able = False
            batch = self._sharing.take(lambda kind: self._full.get((device, kind))) if able else None
            if batch is None:
                return
            self._health.begin(device, batch, batch.kind, batch.sizes, self._now())
            more = bool(self._sharing.waiting)
        if more:
            self._call(None)
        self._render(device, batch)

    def _learn_full_batches(self, device: str) -> None:
        """Ask engines that are new to `device` for the size of its full batches. They may load themselves for that."""
        with self._lock:
            new = [w for w in self._sharing.waiting if (device, w.kind) not in self._full]
        for wanted in new:
            try:
                self._full[device, wanted.kind] = wanted.item.fan_out.at_once()
            except Exception as error:  # rendering will meet it again, and there it counts
                _log.warning("%s cannot say how many views it takes at once: %s", device, error)

    def _render(self, device: str, batch: Batch) -> None:
        parts = [(part.wanted.item.fan_out.frame, part.views) for part in batch.parts]
        try:
            self._lanes[device].check()
            rendered = batch.parts[0].wanted.item.fan_out.run(device, parts)
        except Exception as error:
            self._failed(device, batch, error)
            return

        def arrived(error: Exception | None) -> None:
            if error is None:
                self._finished(device, batch, rendered)
            else:
                self._failed(device, batch, error)

        self._lanes[device].arrive(rendered.fence, arrived)

    def _finished(self, device: str, batch: Batch, rendered: Rendered) -> None:
        with self._handing_on:
            with self._lock:
                was_up = device in self._health.up
                counts = self._health.ended(device, batch, self._now())
                trial = batch in self._trials
                self._trials.discard(batch)
                complete: list[Wanted] = []
                if counts and not trial:
                    for part, made in zip(batch.parts, rendered.parts, strict=True):
                        part.wanted.item.fan_out.keep(part.views, made)
                    complete = self._sharing.finished(batch)
            if counts and not was_up:
                _log.warning("renderer %s is up again", device)
            for wanted in complete:
                wanted.item.ended(None, None)
        self._call(None)

    def _failed(self, device: str, batch: Batch, error: Exception) -> None:
        """What failed goes to another renderer. What fails everywhere, or at ENOUGH of them, is lost."""
        now, reason = self._now(), f"{type(error).__name__}: {error}"
        frames = [part.wanted for part in batch.parts]
        alone = frames[0] if len(frames) == 1 else None
        lost: list[tuple[Wanted, Exception | None]] = []
        with self._handing_on:
            with self._lock:
                if not self._health.awaits(device, batch):
                    self._health.failed(device, batch, reason, now)
                    self._trials.discard(batch)
                    return
                others = [other for other in self._health.up if other != device]
                tried = 0 if alone is None else len(alone.item.raised_on - {device}) + 1
                blameless = tried >= ENOUGH or (tried > 0 and not others)
                dropped = self._health.failed(device, batch, reason, now, blameless)
                if batch in self._trials:
                    self._trials.discard(batch)
                else:
                    self._sharing.returned(batch)
                    if alone is not None and blameless:
                        lost = self._lose(alone, error, now)
                    for wanted in frames:
                        wanted.item.raised_on.add(device)
                if dropped:
                    self._say_dropped(device, reason)
                lost += self._lost_if_gone(now)
            _hand_on(lost)
        self._call(None)

    def _lose(self, frame: Wanted, error: Exception, now: float) -> list[tuple[Wanted, Exception | None]]:
        """`frame` is to blame, or nobody can be asked instead: whoever was dropped for it comes back."""
        if not self._sharing.holds(frame):
            return []
        for device in frame.item.raised_on:
            self._health.pardon(device, now)
        return [(frame, error), *((next_one, None) for next_one in self._sharing.lost(frame))]

    def _drop(self, device: str, reason: str, now: float) -> None:
        for batch in self._health.drop(device, reason, now):
            assert isinstance(batch, Batch), batch
            if batch not in self._trials:
                self._sharing.returned(batch)
        self._say_dropped(device, reason)

    def _say_dropped(self, device: str, reason: str) -> None:
        left = ", ".join(self._health.up) or "nobody"
        _log.error("renderer %s is dropped: %s. Its views go to %s, and it will be tried again", device, reason, left)

    def _lost_if_gone(self, now: float) -> list[tuple[Wanted, Exception | None]]:
        gone = self._health.gone(now)
        if gone is None:
            return []
        return [(wanted, DeviceGone(f"no renderer is left ({gone})")) for wanted in self._sharing.all_lost()]

    def _send(self, fan_out: FanOut, device: str) -> None:
        try:
            fan_out.send(device)
        except Exception as error:  # rendering there will meet it again, and there it counts
            _log.warning("nothing can be sent to %s: %s", device, error)

    def _try_again(self, now: float) -> list[str]:
        """Renderers that are given a trial beside the others; with no others up, the one that is due does the work instead."""
        tried = []
        for device in self._health.due(now):
            self._health.retry(device, now)
            if self._health.up:
                tried.append(device)
        return tried

    def _try(self, device: str, wanted: Wanted) -> None:
        """On `device`'s thread: render a share of `wanted` for nothing but to see whether that goes well."""
        batch = Batch(wanted.kind, (Part(wanted, range(min(wanted.share, wanted.views))),))
        with self._lock:
            self._trials.add(batch)
            self._health.begin(device, batch, batch.kind, batch.sizes, self._now())
        self._render(device, batch)


def _hand_on(lost: list[tuple[Wanted, Exception | None]]) -> None:
    for wanted, error in lost:
        wanted.item.ended(Failure(wanted.item.fan_out.stage, error) if error else None, None)
