"""Every executor keeps the same contract."""

import threading
from collections.abc import Sequence

import pytest

from pipeline.devices.placement import Placement, preset
from pipeline.executors import Executor, Failure, FanOut, Rendered, Step, Task
from pipeline.executors.chain import Chain
from pipeline.executors.deployments import started
from pipeline.executors.inline import Inline
from pipeline.executors.pool import Pool

PLACE = Placement("test", "cpu:0", "cpu:0", ("cpu:1", "cpu:2", "cpu:3"), "cpu:4")
LONE = Placement("lone", "cpu:0", "cpu:0", ("cpu:1",), "cpu:2")


@pytest.fixture(params=[Inline, lambda: Chain(LONE), lambda: Pool(PLACE)], ids=["inline", "chain", "pool"])
def executor(request: pytest.FixtureRequest):
    made: Executor = request.param()
    yield made
    made.close()


def run(executor: Executor, steps: list[Step]) -> Failure | None:
    ended, result = threading.Event(), []

    def done(failure: Failure | None) -> None:
        result.append(failure)
        ended.set()

    executor.submit(steps, done)
    assert ended.wait(10)
    assert len(result) == 1
    return result[0]


def task(log: list[str], name: str, device: str = "cpu:0") -> Task:
    return Task(name, device, lambda: log.append(name))


def shared(log: list[str], devices: tuple[str, ...] = LONE.render, views: int = 24) -> FanOut[str, range]:
    """Rendering that writes down who kept which views."""

    def render(device: str, parts: Sequence[tuple[str, range]]) -> Rendered[range]:
        return Rendered([views for _, views in parts], None)

    def keep(views: range, made: range) -> None:
        assert views == made
        log.extend(f"view {view}" for view in views)

    return FanOut("render", devices, "caller", "engine", views, lambda: None, lambda _: None, "frame", render, keep)


def test_steps_run_in_order_and_every_view_is_rendered_between(executor: Executor):
    log: list[str] = []
    devices = PLACE.render if isinstance(executor, Pool) else LONE.render
    assert run(executor, [task(log, "a"), shared(log, devices), task(log, "b"), task(log, "c", "cpu:1")]) is None
    assert log[0] == "a"
    assert set(log[1:25]) == {f"view {view}" for view in range(24)}
    assert log[25:] == ["b", "c"]


def test_the_plain_way_gives_each_renderer_an_even_share_of_neighbours():
    log: list[str] = []
    tasks = shared(log, PLACE.render, 7).tasks()
    assert [one.device for one in tasks] == list(PLACE.render)
    counts = []
    for one in tasks:
        before = len(log)
        one.run()
        counts.append(len(log) - before)
    assert log == [f"view {view}" for view in range(7)]
    assert sorted(counts) == [2, 2, 3]
    assert len(shared(log, PLACE.render, 2).tasks()) == 2, "nobody is given nothing"


def test_a_failure_is_told_once_and_stops_the_frame(executor: Executor):
    log: list[str] = []

    def fail() -> None:
        raise RuntimeError("a stage broke")

    failure = run(executor, [task(log, "a"), Task("drive", "cpu:1", fail), task(log, "c")])
    assert failure is not None
    assert failure.stage == "drive"
    assert "a stage broke" in str(failure.error)
    assert log == ["a"]
    assert run(executor, [task(log, "next")]) is None


def test_no_steps_are_done_at_once(executor: Executor):
    assert run(executor, []) is None


def test_frames_submitted_in_order_stay_in_order(executor: Executor):
    ended: list[int] = []
    all_ended = threading.Event()
    devices = PLACE.render if isinstance(executor, Pool) else LONE.render

    def submit(number: int) -> None:
        def done(_: Failure | None) -> None:
            ended.append(number)
            if len(ended) == 50:
                all_ended.set()

        log: list[str] = []
        executor.submit([task(log, "a"), shared(log, devices), task(log, "c", "cpu:2")], done)

    for number in range(50):
        submit(number)
    assert all_ended.wait(10)
    assert ended == list(range(50))


def test_each_device_is_one_thread_and_renderers_run_side_by_side():
    executor = Pool(PLACE)
    together = threading.Barrier(3, timeout=10)
    where: dict[str, set[int]] = {}

    def render(device: str, parts: Sequence[tuple[str, range]]) -> Rendered[None]:
        where.setdefault(device, set()).add(threading.get_ident())
        together.wait()
        return Rendered([None] * len(parts), None)

    for _ in range(3):
        fan_out = FanOut(
            "render", PLACE.render, "a", "e", 3, lambda: None, lambda _: None, "f", render, lambda *_: None
        )
        assert run(executor, [task([], "preprocess"), fan_out]) is None
    executor.close()
    assert all(len(threads) == 1 for threads in where.values())
    assert len(set.union(*where.values())) == 3


def test_the_next_task_on_a_device_stays_on_its_thread():
    executor = Chain(LONE)
    where: list[str] = []
    steps: list[Step] = [
        Task(stage, device, lambda: where.append(threading.current_thread().name))
        for stage, device in [("preprocess", "cpu:0"), ("drive", "cpu:0"), ("compose", "cpu:2"), ("encode", "cpu:2")]
    ]
    assert run(executor, steps) is None
    executor.close()
    assert where == ["stage-cpu:0", "stage-cpu:0", "stage-cpu:2", "stage-cpu:2"]


@pytest.mark.parametrize("place", [preset("cpu"), preset("paper").on_cpu()], ids=lambda place: place.name)
def test_closing_leaves_no_thread_behind(place: Placement):
    before = set(threading.enumerate())
    executor = started(place)
    made = {thread.name for thread in threading.enumerate() if thread not in before}
    assert made == {"stage-watch"} | {f"stage-{device}" for device in place.devices}
    executor.close()
    assert set(threading.enumerate()) == before
