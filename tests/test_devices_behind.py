"""Devices that work behind the threads which tell them what to do, as GPUs do: with stand-ins that tests can hold up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from pipeline.devices.placement import Placement
from pipeline.executors import FanOut, Rendered, Step, Task
from pipeline.executors.health import LAST_PATIENCE
from pipeline.executors.pool import Pool
from tests.renderer_bench import FOUR, ONE, Clock, fail, held, until


class Behind:
    """A device that works behind the thread that tells it what to do, as a GPU does."""

    ahead = 2

    def __init__(self) -> None:
        self._told: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._error: Exception | None = None
        self._worker.start()

    def open(self) -> None:
        pass

    def tell(self, work: Callable[[], None]) -> None:
        self._told.put(work)

    def fence(self) -> Any:
        reached = threading.Event()
        self.tell(reached.set)
        return _Reached(self, reached)

    def stop(self) -> None:
        self._told.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (work := self._told.get()) is not None:
            try:
                work()
            except Exception as error:
                self._error = error


@dataclass
class _Reached:
    device: Behind
    event: threading.Event

    def wait(self) -> None:
        assert self.event.wait(20)
        if self.device._error is not None:
            error, self.device._error = self.device._error, None
            raise error


class Devices:
    """A Behind for each device."""

    def __init__(self) -> None:
        self.made: dict[str, Behind] = {}

    def __call__(self, device: str) -> Behind:
        return self.made.setdefault(device, Behind())

    def close(self) -> None:
        for one in self.made.values():
            one.stop()


@pytest.fixture
def devices():
    made = Devices()
    yield made
    made.close()


def spread_on(
    devices: Devices, placement: Placement, work: Callable[[Any], None], caller: object, views: int
) -> FanOut:
    def run(device: str, parts: Sequence[tuple[Any, range]]) -> Rendered:
        devices.made[device].tell(lambda: work(parts))
        return Rendered([None] * len(parts), devices.made[device].fence())

    return FanOut(
        "render",
        placement.render,
        caller,
        "e",
        views,
        lambda: None,
        lambda d: None,
        caller,
        run,
        lambda views, made: None,
    )


def test_a_device_that_works_behind_is_given_two_batches_ahead_and_no_more(devices: Devices):
    executor, gate, told = Pool(ONE, devices), threading.Event(), []
    begun = threading.Semaphore(0)

    def work(parts: object) -> None:
        begun.release()
        assert gate.wait(10)

    for caller in range(5):
        executor.submit([spread_on(devices, ONE, work, caller, 4)], told.append)
    assert begun.acquire(timeout=10)
    until(lambda: executor.shares_waiting == 3)
    time.sleep(0.05)
    assert executor.shares_waiting == 3, "what is not yet told can still be shared more fairly"
    gate.set()
    until(lambda: told == [None] * 5)
    executor.close()


def test_the_next_step_begins_when_the_device_is_done_and_not_when_it_was_told(devices: Devices):
    executor, gate, log, ended = Pool(FOUR, devices), threading.Event(), [], threading.Event()
    device = devices("cpu:0")
    drive = Task("drive", "cpu:0", lambda: device.tell(lambda: held(gate, lambda: log.append("driven"))))
    compose = Task("compose", "cpu:5", lambda: log.append("composed"))
    executor.submit([drive, compose], lambda _: ended.set())
    time.sleep(0.05)
    assert log == []
    gate.set()
    assert ended.wait(10)
    assert log == ["driven", "composed"]
    executor.close()


def test_renderers_are_told_before_the_state_is_there_since_their_copies_wait_for_it(devices: Devices):
    executor, gate, rendering, told = Pool(FOUR, devices), threading.Event(), threading.Event(), []
    device = devices("cpu:0")
    drive = Task("drive", "cpu:0", lambda: device.tell(lambda: held(gate, lambda: None)))
    spread = spread_on(devices, FOUR, lambda parts: rendering.set(), "a", 4)
    executor.submit([drive, spread], told.append)
    assert rendering.wait(10), "while driving is still under way on its device"
    gate.set()
    until(lambda: told == [None])
    executor.close()


def test_what_goes_wrong_behind_counts_like_what_is_raised(devices: Devices):
    executor, told, struck = Pool(FOUR, devices), [], threading.Event()

    def run(device: str, parts: Sequence[tuple[Any, range]]) -> Rendered:
        def work() -> None:
            if device == "cpu:2":
                struck.set()
                raise RuntimeError("an illegal memory access was encountered")
            assert struck.wait(10)

        devices.made[device].tell(work)
        return Rendered([None] * len(parts), devices.made[device].fence())

    def render(caller: int) -> FanOut:
        return FanOut(
            "render", FOUR.render, caller, "e", 24, lambda: None, lambda d: None, caller, run, lambda views, made: None
        )

    for caller in range(10):
        executor.submit([render(caller)], told.append)
        until(lambda caller=caller: len(told) == caller + 1)
    assert told == [None] * 10
    assert [one.device for one in executor.devices() if not one.up] == ["cpu:2"]
    device = devices("cpu:0")
    device.tell(lambda: fail([]))
    executor.submit([Task("drive", "cpu:0", lambda: None), Task("compose", "cpu:5", lambda: None)], told.append)
    until(lambda: len(told) == 11)
    assert told[-1].stage == "drive"
    executor.close()


def test_who_waits_for_a_state_that_never_comes_is_not_to_blame_but_the_device_that_was_to_drive_it(devices: Devices):
    clock, gate, rendering, told = Clock(), threading.Event(), threading.Semaphore(0), []
    executor = Pool(FOUR, devices, now=clock)

    def frame(wait: Callable[[], object]) -> list[Step]:
        """Driven and rendered, where the copies to renderers wait for the state as CUDA streams do."""
        state = threading.Event()

        def drive() -> None:
            wait()
            state.set()

        def render(parts: object) -> None:
            rendering.release()
            assert state.wait(20)

        driven = Task("drive", "cpu:0", lambda: devices.made["cpu:0"].tell(drive))
        return [driven, spread_on(devices, FOUR, render, "a", 24)]

    for number in range(3):
        executor.submit(frame(lambda: None), told.append)
        until(lambda number=number: len(told) == number + 1)
    assert told == [None] * 3
    for _ in range(12):
        assert rendering.acquire(timeout=10)
    executor.submit(frame(lambda: gate.wait(20)), told.append)
    for _ in FOUR.render:
        assert rendering.acquire(timeout=10), "all renderers are told, and wait"
    clock.now += LAST_PATIENCE + 1
    until(lambda: len(told) == 4)
    assert (told[3].stage, str(told[3].error)) == (
        "drive",
        f"cpu:0: has not answered for {LAST_PATIENCE + 1:.0f} s; only a restart frees its thread",
    )
    assert {one.device: one.up for one in executor.devices() if not one.up} == {"cpu:0": False}
    gate.set()
    until(lambda: all(one.up for one in executor.devices()))
    executor.submit(frame(lambda: None), told.append)
    until(lambda: len(told) == 5)
    assert told[4] is None
    executor.close()


def test_a_state_that_goes_wrong_behind_is_told_as_such_though_renderers_were_told_already(devices: Devices):
    executor, told, gate = Pool(FOUR, devices), [], threading.Event()
    device, rendering = devices("cpu:0"), threading.Event()
    drive = Task("drive", "cpu:0", lambda: device.tell(lambda: held(gate, lambda: fail([]))))

    def render(parts: object) -> None:
        rendering.set()
        until(lambda: told)

    executor.submit([drive, spread_on(devices, FOUR, render, "a", 24)], told.append)
    assert rendering.wait(10)
    gate.set()
    until(lambda: told)
    assert (told[0].stage, str(told[0].error)) == ("drive", "CUDA out of memory")
    executor.close()
    assert len(told) == 1
