"""A bench for renderers: an executor whose devices do as the test says, on real threads, with clocks made up where one decides."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.devices.placement import Placement
from pipeline.executors import Failure, FanOut, Rendered, Task
from pipeline.executors.pool import Pool

FOUR = Placement("four", "cpu:0", "cpu:0", ("cpu:1", "cpu:2", "cpu:3", "cpu:4"), "cpu:5")
ONE = Placement("one", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2")


class Clock:
    """Time as the test makes it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Frame:
    """One caller's frame: which views were kept, who rendered them, what was told in the end."""

    caller: str
    number: int
    views: int = 24
    kept: list[int] = field(default_factory=list)
    by: Counter[str] = field(default_factory=Counter)
    told: list[Failure | None] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def whole(self) -> bool:
        return sorted(self.kept) == list(range(self.views)) and self.told == [None]


Behaviour = Callable[[Sequence[tuple[Frame, range]]], object]


class Bench:
    """An executor whose renderers do as the test says, and the frames that went through it."""

    def __init__(self, placement: Placement, at_once: int | None = None, **more: Any) -> None:
        self.executor, self.placement, self.at_once = Pool(placement, **more), placement, at_once
        self.behaviour: dict[str, Behaviour] = {}
        self.batches: list[tuple[str, list[tuple[str, int]]]] = []
        "(Device, [(caller, views)]) of every batch begun."
        self.sent: list[tuple[str, int]] = []
        self.composed: list[Frame] = []
        self.lock = threading.Lock()

    def run(self, device: str, parts: Sequence[tuple[Frame, range]]) -> Rendered:
        with self.lock:
            self.batches.append((device, [(frame.caller, len(views)) for frame, views in parts]))
        if device in self.behaviour:
            self.behaviour[device](parts)
        return Rendered([device] * len(parts), None)

    def submit(self, frame: Frame) -> Frame:
        def keep(views: range, device: str) -> None:
            frame.kept += views
            frame.by[device] += len(views)

        def done(failure: Failure | None) -> None:
            frame.told.append(failure)
            frame.ended.set()

        spread = FanOut(
            "render",
            self.placement.render,
            caller=frame.caller,
            kind="engine",
            views=frame.views,
            at_once=lambda: self.at_once,
            send=lambda device: self.sent.append((device, frame.number)),
            frame=frame,
            run=self.run,
            keep=keep,
        )
        drive = Task("drive", self.placement.drive, lambda: None)
        compose = Task("compose", self.placement.compose, lambda: self.composed.append(frame))
        self.executor.submit([drive, spread, compose], done)
        return frame

    def finished(self, caller: str = "a", number: int = 0, views: int = 24) -> Frame:
        frame = self.submit(Frame(caller, number, views))
        assert frame.ended.wait(10), "the frame never ended"
        return frame

    def warm(self) -> None:
        """Every renderer renders its share of one frame, so that it is known what is usual."""
        meet = threading.Barrier(len(self.placement.render), timeout=10)
        self.behaviour = dict.fromkeys(self.placement.render, lambda parts: meet.wait() and None)
        assert set(self.finished("warm").by) == set(self.placement.render)
        self.behaviour.clear()
        self.batches.clear()

    def meets(self, device: str, behaviour: Behaviour) -> None:
        """From the next batch of `device` on it behaves so; the others wait until it has come to that one."""
        come = threading.Event()

        def behave(parts: Sequence[tuple[Frame, range]]) -> object:
            come.set()
            return behaviour(parts)

        others = dict.fromkeys(self.placement.render, lambda parts: come.wait(10) and None)
        self.behaviour = {**others, device: behave}

    def up(self) -> list[str]:
        return [one.device for one in self.executor.devices() if one.renders and one.up]


def held(gate: threading.Event, then: Callable[[], None]) -> None:
    assert gate.wait(10)
    then()


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def fail(parts: Sequence[tuple[Frame, range]]) -> None:
    raise RuntimeError("CUDA out of memory")
