"""A device that cannot be opened, or never is: whoever wants it is told, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from engines.contract import AnyEngine
from pipeline.devices.planner import Planned
from pipeline.executors import DeviceGone, Failure, Task
from pipeline.executors.deployments import Deployments
from pipeline.executors.health import OPENING_PATIENCE
from pipeline.executors.lane import HostStream
from pipeline.executors.pool import Pool
from tests.painted import PaintedEngine
from tests.renderer_bench import FOUR, Bench, Clock, Frame, until


class Opening(HostStream):
    def __init__(self, open: Callable[[], object]) -> None:
        self._open = open

    def open(self) -> None:
        self._open()


def lost() -> None:
    raise RuntimeError("CUDA error: device is lost")


def streams(device: str, open: Callable[[], object]) -> Callable[[str], HostStream]:
    return lambda name: Opening(open) if name == device else HostStream()


def test_a_task_on_a_device_that_cannot_be_opened_fails_with_the_reason():
    executor, told = Pool(FOUR, streams("cpu:0", lost)), list[Failure | None]()
    executor.submit([Task("drive", "cpu:0", lambda: None)], told.append)
    until(lambda: told)
    failure = told[0]
    assert failure is not None
    assert isinstance(failure.error, DeviceGone)
    assert "cpu:0 cannot be opened: CUDA error: device is lost" in str(failure.error)
    executor.close()


def test_a_renderer_that_cannot_be_opened_is_stood_in_for(bench: Callable[..., Bench]):
    four = bench(streams=streams("cpu:2", lost))
    until(lambda: [four.finished("a", number) for number in range(4)] and len(four.up()) == 3)
    assert four.finished("a", 9).whole
    assert "cpu:2" not in four.up()


def test_a_device_that_is_never_opened_is_silent_after_a_while(bench: Callable[..., Bench]):
    clock, gate = Clock(), threading.Event()
    four = bench(streams=streams("cpu:0", lambda: gate.wait(30)), now=clock)
    frame = four.submit(Frame("a", 1))
    clock.now += OPENING_PATIENCE - 1
    assert not frame.ended.wait(0.3)
    clock.now += 2
    assert frame.ended.wait(10)
    failure = frame.told[0]
    assert failure is not None
    assert isinstance(failure.error, DeviceGone)
    gate.set()


def test_warming_up_ends_where_a_gpu_cannot_be_opened():
    def plan(engine: AnyEngine) -> Planned:
        from pipeline.devices.placement import Placement

        return Planned(Placement("gpu", "cpu:0", "cuda:0", ("cuda:0",), "cuda:0", "cpu:1"), ())

    deployed = Deployments(plan, lambda placement: Pool(placement, streams("cuda:0", lost)))
    with pytest.raises(DeviceGone, match="cuda:0 cannot be opened"):
        deployed.warm_up(PaintedEngine())
    deployed.close()
