"""Renderers: the devices that share out views. What dispatch.py decides, carried out with threads and a clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipeline.executors import Failure, FanOut
from pipeline.executors.dispatch import Action, Dispatch, Ended, Keep, Render, Say, Send, Take, Try, Wake
from pipeline.executors.fair_queue import Batch, Part, Wanted
from pipeline.executors.health import DeviceReport
from pipeline.executors.lane import Lane

_log = logging.getLogger(__name__)

T = TypeVar("T")

Told = Callable[[Failure | None, str | None], None]
"Told of a failure, and of the device on whose thread it is called, if that is free to go on."


@dataclass(frozen=True, eq=False)
class _Asked:
    """Who waits for the views of one frame."""

    fan_out: FanOut
    ended: Told
    driven: Callable[[], bool]
    "Whether the device that makes its state has come to the end of that."


class Renderers:
    def __init__(self, lanes: Mapping[str, Lane], now: Callable[[], float]) -> None:
        self._lanes, self._now = lanes, now
        self._handing_on = threading.RLock()
        "Held while frames are handed on, so that they go in the order in which they became complete."
        self._lock = threading.Lock()
        "Held while something is decided, and never while anything is run."
        self._dispatch = Dispatch({device: lane.stream.ahead for device, lane in lanes.items()}, now())

    def offer(self, fan_out: FanOut, ended: Told, driven: Callable[[], bool], here: str | None) -> None:
        """Render `fan_out`, and say so when all of it is there. `here`: the device whose thread this is, if it is free."""
        wanted = Wanted(fan_out.caller, fan_out.kind, fan_out.views, _Asked(fan_out, ended, driven))
        self._carry_out(self._decided(lambda now: self._dispatch.offer(wanted, now, here)), here)

    def check(self) -> None:
        """Drop whoever does not answer, so that others do its work. To be called several times a second."""

        def decide(now: float) -> list[Action]:
            undriven = {wanted for wanted in self._dispatch.rendering if not wanted.item.driven()}
            return self._dispatch.check(now, undriven)

        self._settle(decide)

    @property
    def shares_waiting(self) -> int:
        return self._decided(lambda now: self._dispatch.shares_waiting)

    @property
    def batches_under_way(self) -> int:
        return self._decided(lambda now: self._dispatch.batches_under_way)

    def reports(self) -> list[DeviceReport]:
        return self._decided(self._dispatch.reports)

    def hanging(self) -> dict[str, float]:
        """Devices whose threads are still busy with what they were dropped for -> when they were."""
        return self._decided(lambda now: self._dispatch.hanging)

    def _decided(self, decide: Callable[[float], T]) -> T:
        with self._lock:
            return decide(self._now())

    def _settle(self, decide: Callable[[float], Iterable[Action]], made: Mapping[Part, object] | None = None) -> None:
        """Decide what may complete frames or lose them, and hand those on before anything else is decided of that sort."""
        with self._handing_on:
            self._carry_out(self._decided(decide), made=made)

    def _carry_out(
        self, actions: Iterable[Action], here: str | None = None, made: Mapping[Part, object] | None = None
    ) -> None:
        for action in actions:
            match action:
                case Send(device, wanted):
                    self._send(device, wanted.item.fan_out)
                case Wake(device):
                    self._lanes[device].put(partial(self._take, device))
                case Take(device):
                    self._take(device)
                case Try(device, wanted):
                    self._lanes[device].put(partial(self._try, device, wanted))
                case Render(device, batch):
                    self._render(device, batch)
                case Keep(part):
                    assert made is not None
                    part.wanted.item.fan_out.keep(part.views, made[part])
                case Ended(wanted, error):
                    self._end(wanted.item, error, here)
                case Say(level, text):
                    _log.log(logging.ERROR if level == "error" else logging.WARNING, text)

    def _take(self, device: str) -> None:
        """On `device`'s thread. Engines that are new to it say first what a full batch is, for which they may load themselves."""
        for wanted in self._decided(lambda now: self._dispatch.new_to(device)):
            try:
                full = wanted.item.fan_out.at_once()
            except Exception as error:  # rendering will meet it again, and there it counts
                _log.warning("%s cannot say how many views it takes at once: %s", device, error)
            else:
                with self._lock:
                    self._dispatch.learn(device, wanted.kind, full)
        self._carry_out(self._decided(lambda now: self._dispatch.take(device, now)))

    def _try(self, device: str, wanted: Wanted) -> None:
        self._carry_out(self._decided(lambda now: self._dispatch.trial(device, wanted, now)))

    def _render(self, device: str, batch: Batch) -> None:
        frames = [(part.wanted.item.fan_out.frame, part.views) for part in batch.parts]
        try:
            self._lanes[device].check()
            rendered = batch.parts[0].wanted.item.fan_out.run(device, frames)
            made = dict(zip(batch.parts, rendered.parts, strict=True))
        except Exception as error:
            self._failed(device, batch, error)
            return

        def arrived(error: Exception | None) -> None:
            if error is None:
                self._settle(lambda now: self._dispatch.finished(device, batch, now), made)
            else:
                self._failed(device, batch, error)

        self._lanes[device].arrive(rendered.fence, arrived)

    def _failed(self, device: str, batch: Batch, error: Exception) -> None:
        self._settle(lambda now: self._dispatch.failed(device, batch, error, now))

    @staticmethod
    def _send(device: str, fan_out: FanOut) -> None:
        try:
            fan_out.send(device)
        except Exception as error:  # rendering there will meet it again, and there it counts
            _log.warning("nothing can be sent to %s: %s", device, error)

    @staticmethod
    def _end(asked: _Asked, error: Exception | None, here: str | None) -> None:
        try:
            asked.ended(None if error is None else Failure(asked.fan_out.stage, error), here)
        except Exception:  # who is told may raise: the frames after it are handed on all the same
            _log.exception("a finished frame could not be settled")
