"""Every executor keeps the same contract."""

import threading
from collections.abc import Callable

import pytest

from pipeline.devices.placement import Placement, preset
from pipeline.executors import Executor, Failure, Task
from pipeline.executors.inline import Inline
from pipeline.executors.threads import Threads

PLACE = Placement("test", "cpu:0", "cpu:0", ("cpu:1", "cpu:2", "cpu:3"), "cpu:4")


@pytest.fixture(params=[Inline, lambda: Threads(PLACE)], ids=["inline", "threads"])
def executor(request: pytest.FixtureRequest):
    made: Executor = request.param()
    yield made
    made.close()


def run(executor: Executor, steps: list[list[Task]]) -> Failure | None:
    ended, result = threading.Event(), []

    def done(failure: Failure | None) -> None:
        result.append(failure)
        ended.set()

    executor.submit(steps, done)
    assert ended.wait(10)
    assert len(result) == 1
    return result[0]


def tasks(log: list[str], *names: str) -> list[Task]:
    return [Task(name, f"cpu:{i}", lambda name=name: log.append(name)) for i, name in enumerate(names)]


def test_steps_run_in_order_and_tasks_of_a_step_all_run(executor: Executor):
    log: list[str] = []
    assert run(executor, [tasks(log, "a"), tasks(log, "b1", "b2", "b3"), tasks(log, "c"), tasks(log, "d")]) is None
    assert log[0] == "a"
    assert set(log[1:4]) == {"b1", "b2", "b3"}
    assert log[4:] == ["c", "d"]


def test_a_failure_is_told_once_and_stops_the_frame(executor: Executor):
    log: list[str] = []

    def fail() -> None:
        raise RuntimeError("a renderer broke")

    failure = run(executor, [tasks(log, "a"), [Task("render", "cpu:1", fail)], tasks(log, "c")])
    assert failure is not None
    assert failure.stage == "render"
    assert "a renderer broke" in str(failure.error)
    assert log == ["a"]
    assert run(executor, [tasks(log, "next")]) is None


def test_no_steps_are_done_at_once(executor: Executor):
    assert run(executor, []) is None


def test_frames_submitted_in_order_stay_in_order(executor: Executor):
    ended: list[int] = []
    all_ended = threading.Event()

    def submit(number: int) -> None:
        def done(_: Failure | None) -> None:
            ended.append(number)
            if len(ended) == 50:
                all_ended.set()

        log: list[str] = []
        executor.submit([tasks(log, "a"), tasks(log, "x", "r1", "r2", "r3"), tasks(log, "c")], done)

    for number in range(50):
        submit(number)
    assert all_ended.wait(10)
    assert ended == list(range(50))


def test_each_device_is_one_thread_and_renderers_run_side_by_side():
    executor = Threads(PLACE)
    together = threading.Barrier(3, timeout=10)
    where: dict[str, set[int]] = {}

    def on(device: str, meet: bool) -> Callable[[], None]:
        def task() -> None:
            where.setdefault(device, set()).add(threading.get_ident())
            if meet:
                together.wait()

        return task

    for _ in range(3):
        renders = [Task("render", device, on(device, True)) for device in PLACE.render]
        assert run(executor, [[Task("preprocess", "cpu:0", on("cpu:0", False))], renders]) is None
    executor.close()
    assert all(len(threads) == 1 for threads in where.values())
    assert len(set.union(*where.values())) == 4


def test_closing_leaves_no_thread_behind():
    before = set(threading.enumerate())
    executor = Threads(preset("paper").on_cpu())
    made = {thread.name for thread in threading.enumerate() if thread not in before}
    assert made == {"stage-watch"} | {f"stage-{device}" for device in preset("paper").on_cpu().devices}
    executor.close()
    assert set(threading.enumerate()) == before
