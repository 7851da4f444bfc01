"""The default executor: what becomes of frames on a device that hangs, fails, comes back. Real threads, with a made-up clock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from pipeline.devices.placement import Placement
from pipeline.executors import DeviceGone, Failure, Step, Task
from pipeline.executors import chain as chain_module
from pipeline.executors.chain import Chain, chains
from pipeline.executors.health import LAST_PATIENCE, MOST_IN_A_ROW, able
from tests.renderer_bench import FOUR, ONE, Clock, until


class Watched:
    """A chain and what was told of its frames."""

    def __init__(self) -> None:
        self.clock, self.told = Clock(), list[Failure | None]()
        self.executor = Chain(ONE, self.clock)

    def submit(self, *tasks: tuple[str, str, Callable[[], object]]) -> None:
        def does(run: Callable[[], object]) -> Callable[[], None]:
            def doing() -> None:
                run()

            return doing

        steps: list[Step] = [Task(stage, device, does(run)) for stage, device, run in tasks]
        self.executor.submit(steps, self.told.append)

    def frame(self, render: Callable[[], object] = lambda: None) -> Failure | None:
        before = len(self.told)
        self.submit(("drive", "cpu:0", lambda: None), ("render", "cpu:1", render), ("compose", "cpu:2", lambda: None))
        until(lambda: len(self.told) > before)
        return self.told[-1]

    def down(self) -> list[str]:
        return [one.device for one in self.executor.devices() if not one.up]


@pytest.fixture
def chain() -> Iterator[Watched]:
    made = Watched()
    yield made
    made.executor.close()


def broken() -> None:
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(("stage", "device"), [("drive", "cpu:0"), ("render", "cpu:1"), ("encode", "cpu:2")])
def test_a_thread_that_hangs_ends_its_frames_and_comes_back(chain: Watched, stage: str, device: str):
    release, stuck = threading.Event(), threading.Event()
    chain.submit((stage, device, lambda: None))
    until(lambda: chain.told == [None])  # what is usual is known
    chain.submit((stage, device, lambda: stuck.set() or release.wait(30)))
    assert stuck.wait(10)
    chain.submit(("behind", device, lambda: None))
    chain.clock.now += LAST_PATIENCE - 1
    chain.executor.check()
    assert chain.told == [None]
    chain.clock.now += 2
    until(lambda: len(chain.told) == 3)
    assert all(failure is not None and isinstance(failure.error, DeviceGone) for failure in chain.told[1:])
    assert f"{device}: has not answered for" in str(chain.told[1])
    assert chain.down() == [device]
    assert not able(chain.executor.devices())
    release.set()
    until(lambda: not any(one.hangs for one in chain.executor.devices()))
    chain.clock.now += 1.01
    assert able(chain.executor.devices()), "somebody has to be let in for it to be tried"
    assert chain.frame() is None
    assert chain.down() == []


def test_a_renderer_that_always_fails_is_given_up_and_tried_again_after_a_pause(chain: Watched):
    for _ in range(MOST_IN_A_ROW):
        failure = chain.frame(broken)
        assert failure is not None
        assert not isinstance(failure.error, DeviceGone)
    failure = chain.frame()
    assert failure is not None
    assert isinstance(failure.error, DeviceGone)
    assert "out of memory" in str(failure.error)
    chain.clock.now += 1.01
    assert chain.frame() is None
    assert chain.down() == []


def test_one_frame_that_renders_between_proves_the_renderer(chain: Watched):
    for _ in range(3):
        for _ in range(MOST_IN_A_ROW - 1):
            chain.frame(broken)
        assert chain.frame() is None
    assert chain.down() == []


def test_a_caller_whose_face_cannot_be_found_takes_nobody_elses_device_away(chain: Watched):
    for number in range(2 * MOST_IN_A_ROW):
        chain.submit(("preprocess", "cpu:0", broken))
        until(lambda number=number: len(chain.told) == number + 1)
    assert all(failure is not None and failure.stage == "preprocess" for failure in chain.told)
    assert chain.frame() is None


def test_who_is_told_may_raise_and_the_next_frame_is_told_all_the_same(chain: Watched):
    def raising(_: Failure | None) -> None:
        raise RuntimeError("a client's mistake")

    chain.executor.submit([Task("drive", "cpu:0", lambda: None)], raising)
    assert chain.frame() is None


def test_closing_ends_what_no_thread_will_come_to(monkeypatch: pytest.MonkeyPatch):
    """As at a stop in the middle of a frame that takes minutes: its session waits for its end, and the process for that."""
    monkeypatch.setattr(chain_module, "CLOSING_PATIENCE", 0.1)
    monkeypatch.setattr(chain_module, "LEAVING_PATIENCE", 0.1)
    chain, begun, go_on, after = Watched(), threading.Event(), threading.Event(), threading.Event()
    chain.submit(("drive", "cpu:0", lambda: begun.set() or go_on.wait(30)), ("render", "cpu:1", after.set))
    chain.submit(("drive", "cpu:0", lambda: None))
    assert begun.wait(10)
    chain.executor.close()
    assert [failure and str(failure.error) for failure in chain.told] == ["its devices were let go before it ended"] * 2
    go_on.set()
    assert not after.wait(0.3)
    assert len(chain.told) == 2, "each was told once"


def test_it_is_for_one_renderer_on_the_processor():
    assert chains(ONE)
    assert not chains(FOUR)
    assert not chains(Placement("gpu", "cpu:0", "cuda:0", ("cuda:0",), "cuda:0"))
