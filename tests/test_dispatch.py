"""Dispatch decides with made-up times which renderer does what: no thread, no clock."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.executors import DeviceGone
from pipeline.executors.dispatch import ENOUGH, Action, Dispatch, Ended, Keep, Render, Say, Send, Take, Try, Wake
from pipeline.executors.fair_queue import Batch, Wanted
from pipeline.executors.health import FIRST_PATIENCE, LAST_PATIENCE, NEW_SIZE_PATIENCE

ENGINE = "engine"
BAD = ValueError("not a number")


def frame(caller: str = "a", number: int = 0, views: int = 24) -> Wanted:
    return Wanted(caller, ENGINE, views, item=number)


class Threads:
    """The threads of renderers as far as Dispatch can tell: each does in order what it was given, when the test says so."""

    def __init__(self, *devices: str, ahead: int = 1, full: int | None = None) -> None:
        self.dispatch, self.now, self.full = Dispatch(dict.fromkeys(devices, ahead), 0.0), 0.0, full
        self.jobs: dict[str, deque[Wake | Try]] = {device: deque() for device in devices}
        self.told: dict[str, deque[Batch]] = {device: deque() for device in devices}
        "What each renderer is busy with, be it that nobody waits for it any more."
        self.kept: dict[Wanted, Counter[int]] = {}
        self.ended: list[Ended] = []
        self.said: list[str] = []

    def offer(self, wanted: Wanted, here: str | None = None) -> Wanted:
        self.kept[wanted] = Counter()
        self.does(self.dispatch.offer(wanted, self.now, here))
        return wanted

    def does(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Wake(device) | Try(device, _):
                    self.jobs[device].append(action)
                case Take(device):
                    self.take(device)
                case Render(device, batch):
                    self.told[device].append(batch)
                case Keep(part):
                    self.kept[part.wanted].update(part.views)
                case Ended():
                    self.ended.append(action)
                case Say(_, text):
                    self.said.append(text)
                case Send():
                    pass

    def take(self, device: str) -> None:
        for wanted in self.dispatch.new_to(device):
            self.dispatch.learn(device, wanted.kind, self.full)
        self.does(self.dispatch.take(device, self.now))

    def come_to(self, device: str) -> None:
        """The thread of `device` comes to its next job."""
        job = self.jobs[device].popleft()
        if isinstance(job, Try):
            self.does(self.dispatch.trial(device, job.wanted, self.now))
        else:
            self.take(device)

    def begin(self) -> None:
        for device in self.jobs:
            while self.jobs[device]:
                self.come_to(device)

    def finish(self, device: str) -> None:
        self.does(self.dispatch.finished(device, self.told[device].popleft(), self.now))

    def fail(self, device: str, error: Exception = BAD) -> None:
        self.does(self.dispatch.failed(device, self.told[device].popleft(), error, self.now))

    def check(self, undriven: Iterable[Wanted] = ()) -> None:
        self.does(self.dispatch.check(self.now, set(undriven)))

    def drain(self) -> None:
        """Everything goes well from now on."""
        for _ in range(1000):
            if not any(self.jobs.values()) and not any(self.told.values()):
                return
            self.begin()
            for device in [device for device, told in self.told.items() if told]:
                self.finish(device)
        raise AssertionError("it never came to an end")

    def warm(self) -> None:
        """Each has rendered its share of one frame in no time, so that it is known what is usual."""
        self.offer(frame("warm"))
        self.begin()
        self.drain()
        self.ended.clear()

    def up(self) -> list[str]:
        return [one.device for one in self.dispatch.reports(self.now) if one.up]


def whole(threads: Threads, wanted: Wanted) -> bool:
    return threads.kept[wanted] == Counter(range(wanted.views)) and Ended(wanted) in threads.ended


def test_the_state_is_sent_to_everybody_and_then_everybody_is_called():
    dispatch, wanted = Dispatch({"x": 1, "y": 1}, 0.0), frame()
    assert dispatch.offer(wanted, 0.0) == [Send("x", wanted), Send("y", wanted), Wake("x"), Wake("y")]
    assert dispatch.offer(frame("b"), 0.0)[2:] == [], "nobody is called twice"


def test_whose_thread_it_is_takes_at_once_and_last():
    dispatch = Dispatch({"x": 2, "y": 1}, 0.0)
    assert dispatch.offer(frame(), 0.0, here="x")[2:] == [Wake("x"), Wake("y"), Take("x")]


def test_who_is_busy_leaves_what_waits_to_one_who_was_called_and_has_nothing_to_do():
    dispatch, wanted = Dispatch({"x": 2, "y": 2}, 0.0), frame()
    dispatch.offer(wanted, 0.0)
    (*_, first) = dispatch.take("x", 0.0)
    assert isinstance(first, Render)
    assert dispatch.take("x", 0.0) == []
    (*_, second) = dispatch.take("y", 0.0)
    assert isinstance(second, Render)
    assert [part.views for part in (*first.batch.parts, *second.batch.parts)] == [range(12), range(12, 24)]


def test_what_is_kept_comes_before_the_end_and_the_end_before_what_is_next():
    dispatch, wanted = Dispatch({"x": 1}, 0.0), frame()
    dispatch.offer(wanted, 0.0)
    (render,) = dispatch.take("x", 0.0)
    assert isinstance(render, Render)
    dispatch.offer(frame("b"), 0.0)
    assert dispatch.finished("x", render.batch, 0.1) == [Keep(render.batch.parts[0]), Ended(wanted), Wake("x")]


def test_what_a_renderer_raised_on_goes_to_another_one():
    threads = Threads("x", "y")
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    threads.fail("x", RuntimeError("out of memory"))
    threads.drain()
    assert whole(threads, wanted)
    assert threads.said == [
        "renderer x is dropped: RuntimeError: out of memory. Its views go to y, and it will be tried again"
    ]


def test_what_a_dropped_renderer_was_given_ahead_goes_to_another_one_too():
    threads = Threads("x", "y", ahead=2)
    threads.warm()
    frames = [threads.offer(frame(caller)) for caller in "ab"]
    threads.begin()
    threads.begin()
    assert len(threads.told["x"]) == 2
    threads.fail("x")
    threads.finish("x")
    threads.drain()
    assert all(whole(threads, wanted) for wanted in frames)


def test_a_frame_that_enough_renderers_fail_on_is_lost_and_they_come_back():
    threads = Threads("w", "x", "y", "z")
    threads.warm()
    wanted = threads.offer(frame(views=1))
    for _ in range(ENOUGH):
        threads.begin()
        (device,) = [device for device, told in threads.told.items() if told]
        threads.fail(device)
    assert threads.ended == [Ended(wanted, BAD)]
    assert threads.up() == ["w", "x", "y", "z"]


def test_a_late_answer_is_not_kept():
    threads = Threads("x", "y")
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    threads.finish("y")
    threads.now += 1.0
    threads.check()
    assert threads.dispatch.hanging == {"x": 1.0}
    threads.begin()
    threads.finish("x")
    assert threads.kept[wanted] == Counter(range(12, 24)), "its views are another's by now"
    assert threads.dispatch.hanging == {}
    threads.finish("y")
    assert whole(threads, wanted)


def test_a_trial_counts_for_nothing_but_its_renderer():
    threads = Threads("x", "y")
    threads.warm()
    threads.offer(frame())
    threads.begin()
    threads.fail("x")
    threads.drain()
    threads.now += 1.5
    wanted = threads.offer(frame())
    assert [type(job) for job in threads.jobs["x"]] == [Try]
    threads.drain()
    assert whole(threads, wanted)
    assert threads.up() == ["x", "y"]
    assert threads.said[-1] == "renderer x is up again"


def test_a_trial_that_hangs_leaves_its_frame_as_it_was():
    threads = Threads("x", "y")
    threads.warm()
    threads.offer(frame())
    threads.begin()
    threads.fail("x")
    threads.drain()
    threads.now += 1.5
    wanted = threads.offer(frame())
    threads.come_to("x")
    threads.now += NEW_SIZE_PATIENCE
    threads.begin()
    threads.now += 1
    threads.check()
    assert threads.dispatch.hanging.keys() == {"x"}
    threads.finish("y")
    assert whole(threads, wanted)


def test_what_comes_of_a_frame_that_is_lost_is_not_kept():
    threads = Threads("w", "x", "y", "z")
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    for device in "wxy":
        threads.fail(device)
    threads.finish("z")
    assert threads.ended == [Ended(wanted, BAD)]
    assert not threads.kept[wanted]


def test_when_nobody_is_left_everything_is_lost_and_what_comes_is_refused():
    threads = Threads("x")
    threads.warm()
    frames = [threads.offer(frame(caller)) for caller in "ab"]
    threads.begin()
    threads.now += LAST_PATIENCE + 1
    threads.check()
    frames.append(threads.offer(frame("c")))
    assert [one.wanted for one in threads.ended] == frames
    assert all(isinstance(one.error, DeviceGone) for one in threads.ended)


def test_with_the_last_one_gone_whoever_is_due_does_what_waits_though_nobody_offers_more():
    threads = Threads("x", "y")
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    threads.fail("x")
    threads.finish("y")
    threads.begin()
    threads.now += LAST_PATIENCE + 1
    threads.check()
    assert threads.said[-1].startswith("renderer y is dropped: has not answered for 11.0 s")
    threads.begin()
    threads.finish("x")
    assert whole(threads, wanted)
    assert threads.up() == ["x"]


def test_who_waited_for_a_frame_that_is_lost_comes_after_it():
    threads = Threads("x", "y")
    threads.warm()
    bad, good = threads.offer(frame(views=1)), threads.offer(frame(views=2))
    threads.begin()
    threads.finish("y")
    threads.begin()
    threads.finish("y")
    assert threads.ended == []
    threads.fail("x")
    threads.begin()
    threads.fail("y")
    assert threads.ended == [Ended(bad, BAD), Ended(good)]


def test_who_fails_late_on_a_frame_that_is_lost_is_not_to_blame_for_it():
    threads = Threads("w", "x", "y", "z")
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    for device in "wxyz":
        threads.fail(device)
    assert threads.ended == [Ended(wanted, BAD)]
    assert threads.up() == ["w", "x", "y", "z"]


def test_renderers_that_wait_for_a_state_are_not_suspected_and_have_their_time_from_when_it_is_there():
    threads = Threads("x", "y", ahead=2)
    threads.warm()
    wanted = threads.offer(frame())
    threads.begin()
    for _ in range(3):
        threads.now += FIRST_PATIENCE
        threads.check(undriven=[wanted])
    assert threads.up() == ["x", "y"]
    assert threads.dispatch.rendering == {wanted}
    threads.now += 0.4
    threads.check()
    assert threads.up() == ["x", "y"]
    threads.now += 0.2
    threads.check()
    assert threads.up() == []
    assert threads.said[0].startswith("renderer x is dropped: has not answered for 0.6 s")


def test_who_hangs_in_what_was_driven_is_suspected_while_others_wait_for_what_was_not():
    threads = Threads("x", "y", ahead=2)
    threads.warm()
    threads.offer(frame())
    threads.begin()
    threads.finish("y")
    undriven = threads.offer(frame("b"))
    threads.begin()
    threads.now += 1.0
    threads.check(undriven=[undriven])
    assert threads.up() == ["y"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["offer", "come", "come", "finish", "fail", "wait", "check"]), st.integers(0, 99)),
    min_size=30,
    max_size=150,
)


@settings(max_examples=60)
@given(steps=STEPS, ahead=st.integers(1, 2), full=st.sampled_from([None, 4]))
def test_whatever_happens_every_frame_ends_once_whole_and_in_order_or_lost(steps, ahead, full):
    threads, offered = Threads("x", "y", "z", ahead=ahead, full=full), []
    threads.warm()
    for step, pick in steps:
        device = "xyz"[pick % 3]
        if step == "offer":
            offered.append(threads.offer(frame("ab"[pick % 2], len(offered), 1 + pick % 30)))
        elif step == "come" and threads.jobs[device]:
            threads.come_to(device)
        elif step == "finish" and threads.told[device]:
            threads.finish(device)
        elif step == "fail" and threads.told[device]:
            threads.fail(device)
        elif step == "wait":
            threads.now += [0.1, 0.6, NEW_SIZE_PATIENCE][pick % 3]
        elif step == "check":
            threads.check(undriven=offered[pick:])
    threads.drain()
    threads.check()
    threads.drain()
    assert sorted(one.wanted.item for one in threads.ended) == list(range(len(offered))), "each frame, once"
    for caller in "ab":
        numbers = [one.wanted.item for one in threads.ended if one.wanted.caller == caller and one.error is None]
        assert numbers == sorted(numbers)
    for one in threads.ended:
        kept = threads.kept[one.wanted]
        assert not kept or max(kept.values()) == 1, "no view is kept twice"
        assert one.error is not None or sorted(kept) == list(range(one.wanted.views))
    assert threads.dispatch.shares_waiting == threads.dispatch.batches_under_way == 0
