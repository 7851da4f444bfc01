"""Sharing decides whose views are rendered next: laws that hold for any callers, screens, renderers and failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.executors.fair_queue import MOST_AT_ONCE, Batch, Sharing, Wanted, share_of

ENGINE = "engine"


def alone(kind: Hashable) -> None:
    """An engine that renders one frame at a time."""


def eight(kind: Hashable) -> int:
    return 8


def wanted(caller: str, views: int = 24, item: int = 0, kind: str = ENGINE) -> Wanted:
    return Wanted(caller, kind, views, item)


def taken(batch: Batch | None) -> list[tuple[Hashable, range]]:
    return [(part.wanted.caller, part.views) for part in batch.parts] if batch else []


def count(served: Counter[Hashable], batch: Batch) -> None:
    for part in batch.parts:
        served[part.wanted.caller] += len(part.views)


def test_a_frame_is_shared_out_evenly():
    assert [share_of(24, renderers) for renderers in (1, 2, 3, 4, 5, 6, 24, 30)] == [24, 12, 8, 6, 5, 4, 1, 1]
    assert share_of(100, 1) == 25  # not 100: somebody with a small screen may be waiting
    sharing = Sharing()
    sharing.offer(wanted("a"), renderers=5)
    sizes = [len(batch) for batch in iter(lambda: sharing.take(alone), None)]
    assert sizes == [5, 5, 5, 5, 4]


@given(st.integers(1, 300), st.integers(1, 20))
def test_shares_are_as_few_as_can_be_and_bounded(views: int, renderers: int):
    share = share_of(views, renderers)
    rounds = -(-views // (renderers * share))
    assert 1 <= share <= MOST_AT_ONCE
    assert rounds == -(-views // (renderers * MOST_AT_ONCE))  # no renderer is asked more often than it must be
    assert (share - 1) * renderers * rounds < views  # and none holds more than its even part, rounded up


def test_who_came_first_goes_first_where_nobody_is_due_before_the_other():
    sharing = Sharing()
    sharing.offer(wanted("a"), 1)
    sharing.take(alone)
    sharing.offer(wanted("b"), 1)
    sharing.offer(wanted("a"), 1)
    assert [caller for _ in range(2) for caller, _ in taken(sharing.take(alone))] == ["b", "a"]


def test_frames_of_a_caller_come_out_in_order_even_where_the_newer_is_ready_first():
    sharing = Sharing()
    sharing.offer(wanted("a", 2, item=1), renderers=2)
    first, second = sharing.take(alone), sharing.take(alone)
    sharing.offer(wanted("a", 2, item=2), renderers=2)
    newer = [sharing.take(alone), sharing.take(alone)]
    assert first
    assert second
    assert sharing.finished(first) == []
    assert [sharing.finished(batch) for batch in newer if batch] == [[], []]
    assert [frame.item for frame in sharing.finished(second)] == [1, 2]


def test_views_of_a_failed_renderer_go_first_and_come_alone():
    sharing = Sharing()
    sharing.offer(wanted("a", 4), 1)
    sharing.offer(wanted("b", 4), 1)
    both = sharing.take(eight)
    assert both
    assert taken(both) == [("a", range(4)), ("b", range(4))]
    sharing.offer(wanted("c", 1), 1)
    sharing.returned(both)
    assert [taken(sharing.take(eight)) for _ in range(3)] == [[("a", range(4))], [("b", range(4))], [("c", range(1))]]


def test_batches_are_filled_up_with_other_callers_of_the_same_engine_only():
    sharing = Sharing()
    sharing.offer(wanted("a", 5), 1)
    sharing.offer(wanted("b", 5, kind="another"), 1)
    sharing.offer(wanted("c", 5), 1)
    assert taken(sharing.take(eight)) == [("a", range(5)), ("c", range(3))]
    assert taken(sharing.take(eight)) == [("b", range(5))]
    assert taken(sharing.take(eight)) == [("c", range(3, 5))]


def test_who_wants_little_gets_it_at_once_and_the_rest_is_for_who_wants_much():
    sharing, served = Sharing(), Counter[Hashable]()
    for _ in range(200):
        for caller, views in (("large", 100), ("small", 3)):
            if not any(frame.waiting for frame in sharing._callers.get(caller, [])):
                sharing.offer(wanted(caller, views), 1)
        batch = sharing.take(eight)
        assert batch
        count(served, batch)
        sharing.finished(batch)
    assert served == {"small": 600, "large": 1000}


@dataclass
class World:
    """Any run of offering, taking, finishing and failing, with what must hold after each step."""

    callers: list[int]
    "Views of each caller's screen."
    renderers: int
    at_once: Callable[[Hashable], int | None]
    sharing: Sharing = field(default_factory=Sharing)
    offered: Counter[Hashable] = field(default_factory=Counter)
    ended: dict[Hashable, list[int]] = field(default_factory=dict)
    rendered: Counter[tuple[Hashable, int, int]] = field(default_factory=Counter)
    out: list[Batch] = field(default_factory=list)

    def offer(self, caller: int) -> None:
        caller %= len(self.callers)
        frame = Wanted(caller, ENGINE, self.callers[caller], self.offered[caller])
        self.offered[caller] += 1
        self.sharing.offer(frame, self.renderers)

    def take(self, _: int) -> None:
        if len(self.out) < self.renderers and (batch := self.sharing.take(self.at_once)) is not None:
            full = self.at_once(ENGINE)
            assert 0 < len(batch) <= MOST_AT_ONCE
            assert all(len(part.views) < part.wanted.share + (full or 1) for part in batch.parts)
            assert full is not None or len(batch.parts) == 1
            assert len(batch.parts) == 1 or not any(part.wanted.alone for part in batch.parts)
            self.out.append(batch)

    def finish(self, which: int) -> None:
        if self.out:
            batch = self.out.pop(which % len(self.out))
            for part in batch.parts:
                self.rendered.update((part.wanted.caller, part.wanted.item, view) for view in part.views)
            self._end(self.sharing.finished(batch))

    def fail(self, which: int) -> None:
        if self.out:
            self.sharing.returned(self.out.pop(which % len(self.out)))

    def lose(self, which: int) -> None:
        if self.out:
            batch = self.out.pop(which % len(self.out))
            self.sharing.returned(batch)
            frame = batch.parts[0].wanted
            if self.sharing.holds(frame):
                self.ended.setdefault(frame.caller, []).append(frame.item)
                self._end(self.sharing.lost(frame))

    def _end(self, frames: list[Wanted]) -> None:
        for frame in frames:
            self.ended.setdefault(frame.caller, []).append(frame.item)
            done = [self.rendered[frame.caller, frame.item, view] for view in range(frame.views)]
            assert done == [1] * frame.views, "every view is rendered once"

    def run_out(self) -> None:
        while self.out or self.sharing.shares_waiting:
            self.take(0)
            self.finish(0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["offer", "take", "finish", "fail", "lose"]), st.integers(0, 9)), max_size=80
)


@given(STEPS, st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 6), st.sampled_from([alone, eight]))
@settings(deadline=None)
def test_every_frame_ends_once_and_in_order_with_every_view_rendered_once(steps, callers, renderers, at_once):
    world = World(callers, renderers, at_once)
    for step, number in steps:
        getattr(world, step)(number)
    world.run_out()
    for caller, count in world.offered.items():
        assert sorted(world.ended[caller]) == list(range(count))
    assert world.sharing.shares_waiting == 0
    assert not world.sharing._callers  # nothing is remembered of callers who have gone


@given(st.lists(st.integers(8, 100), min_size=2, max_size=5), st.integers(1, 4), st.sampled_from([alone, eight]))
@settings(deadline=None)
def test_callers_who_always_want_more_get_the_same_number_of_views(callers, renderers, at_once):
    """Golestani's bound: two busy callers differ by no more than a frame of each, however long it goes on.

    Busy is who can fill a batch: one with fewer views is served whole each time it comes to the front.
    """
    world, served = World(callers, renderers, at_once), Counter[Hashable]()
    for _ in range(150):
        for caller, views in enumerate(callers):
            frames = world.sharing._callers.get(caller, [])
            if not any(sum(map(len, frame.waiting)) == views for frame in frames):
                world.offer(caller)
        world.take(0)
        count(served, world.out[-1])
        if len(world.out) == renderers:
            world.finish(0)
        for a in range(len(callers)):
            for b in range(a):
                assert abs(served[a] - served[b]) <= callers[a] + callers[b]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 16))
def test_no_batch_is_left_half_full_while_somebody_waits(callers, renderers, full):
    world = World(callers, renderers, lambda kind: full)
    for caller in range(len(callers)):
        world.offer(caller)
    while (batch := world.sharing.take(world.at_once)) is not None:
        assert len(batch) % full == 0 or world.sharing.shares_waiting == 0
        world.sharing.finished(batch)


def test_batches_of_a_fixed_size_are_filled_before_another_renderer_is_asked():
    sharing = Sharing()
    sharing.offer(wanted("a"), renderers=5)
    sizes = [len(batch) for batch in iter(lambda: sharing.take(eight), None)]
    assert sizes == [8, 8, 8]
