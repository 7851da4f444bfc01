"""The session with painted views: every view in its place, newest wins, losses counted, on any placement."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from display.screen import screen
from engines.geometry.motion import Motion
from pipeline.devices.placement import Placement, preset
from pipeline.executors import Executor
from pipeline.executors.deployments import started
from pipeline.executors.inline import Inline
from pipeline.flow import REPLACED
from pipeline.frame import Frame
from pipeline.session import Session
from pipeline.stages import Picture
from tests.painted import PaintedEngine, StillObserver

QUILT = screen("telequilt")
PLACEMENTS = [preset("cpu"), preset("paper").on_cpu(), Placement("one", "cpu:0", "cpu:0", ("cpu:0",), "cpu:0")]


class Shown:
    """Collects pictures; `hold` keeps the display stage busy until released."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.hold = threading.Event()
        self.hold.set()
        self.arrived = threading.Semaphore(0)

    def __call__(self, picture: Picture) -> None:
        self.pictures.append(picture)
        self.arrived.release()
        assert self.hold.wait(10)


def frame(number: int) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), captured=number / 25, sequence=number)


def make(shown: Shown, placement: Placement, executor: Executor, engine: PaintedEngine | None = None) -> Session:
    engine = engine or PaintedEngine()
    return Session(engine, "avatar", StillObserver(), placement, executor, shown, marked=False, now=lambda: 0.0)


@pytest.mark.parametrize("placement", PLACEMENTS, ids=lambda p: p.name)
def test_every_view_lands_in_its_tile_on_any_placement(placement: Placement):
    executor, shown = started(placement), Shown()
    session = make(shown, placement, executor)
    session.watch(QUILT)
    session.offer(frame(60))
    assert shown.arrived.acquire(timeout=10)
    session.close()
    executor.close()
    luma = shown.pictures[0].yuv[:1024]
    means = [luma[top : top + 256, left : left + 256] for left, top in map(QUILT.tile_origin, range(24))]
    assert all(tile.std() == 0 for tile in means)
    assert (np.diff([float(tile[0, 0]) for tile in means]) > 0).all()


def test_a_source_that_stands_still_is_shown_again_where_somebody_watches():
    shown = Shown()
    now = [10.0]
    inline, place = Inline(), preset("cpu")
    session = Session(PaintedEngine(), "a", StillObserver(), place, inline, shown, marked=False, now=lambda: now[0])
    session.watch(QUILT)
    session.repeat(0.5)
    assert shown.pictures == [], "there is nothing to show yet"
    session.offer(replace(frame(7), captured=10.0))
    now[0] = 10.4
    session.repeat(0.5)
    assert len(shown.pictures) == 1, "the next one may be on its way"
    now[0] = 10.6
    session.repeat(0.5)
    session.repeat(0.5)
    assert [(picture.sequence, picture.captured) for picture in shown.pictures] == [(7, 10.0), (7, 10.6)]
    session.unwatch(QUILT)
    now[0] = 12.0
    session.repeat(0.5)
    assert session.report().frames == 2
    session.close()
    session.repeat(0.0)
    assert len(shown.pictures) == 2


def test_placements_agree_to_the_last_bit():
    results = []
    for placement in PLACEMENTS:
        executor, shown = started(placement), Shown()
        session = make(shown, placement, executor)
        session.watch(QUILT)
        session.offer(frame(7))
        session.close()
        executor.close()
        results.append(shown.pictures[0].yuv)
    assert all((result == results[0]).all() for result in results[1:])


def test_only_what_is_watched_is_rendered_and_a_single_view_is_its_own_picture():
    shown = Shown()
    session = make(shown, preset("cpu"), Inline())
    session.offer(frame(0))
    assert shown.pictures == []
    session.watch(QUILT)
    session.watch(QUILT)
    session.watch(QUILT.only(5))
    session.offer(frame(1))
    assert {p.screen.name: p.yuv.shape for p in shown.pictures} == {
        "telequilt": (1536, 1536),
        "telequilt/view5": (768, 512),
    }
    session.unwatch(QUILT)
    session.unwatch(QUILT.only(5))
    shown.pictures.clear()
    session.offer(frame(2))
    assert [p.screen for p in shown.pictures] == [QUILT]
    assert session.report().frames == 3


def test_odd_quilts_are_padded_to_even_pictures():
    odd = screen("16_gen3_p")
    assert odd.quilt_width % 2
    shown = Shown()
    session = make(shown, preset("cpu"), Inline())
    session.watch(odd)
    session.offer(frame(0))
    assert shown.pictures[0].yuv.shape == (9000, 5996)


def test_frames_that_come_too_fast_are_replaced_and_counted():
    executor, shown = started(preset("cpu")), Shown()
    session = make(shown, preset("cpu"), executor)
    session.watch(QUILT)
    shown.hold.clear()
    session.offer(frame(0))
    assert shown.arrived.acquire(timeout=10)
    for number in range(1, 20):
        session.offer(frame(number))
    shown.hold.set()
    session.close()
    executor.close()
    sequences = [p.sequence for p in shown.pictures]
    report = session.report()
    assert sequences == sorted(sequences)
    assert report.drops[REPLACED] + report.drops.get("the caller left", 0) + report.frames == 20
    assert report.drops[REPLACED] >= 16


class BrokenOnce(PaintedEngine):
    broken = True

    def render(self, state, cameras):
        if self.broken:
            type(self).broken = False
            raise RuntimeError("out of memory")
        return super().render(state, cameras)


def test_a_broken_stage_loses_its_frame_and_not_the_session(caplog: pytest.LogCaptureFixture):
    shown = Shown()
    session = make(shown, preset("cpu"), Inline(), BrokenOnce())
    session.watch(QUILT)
    session.offer(frame(0))
    session.offer(frame(1))
    assert [p.sequence for p in shown.pictures] == [1]
    assert session.report().drops == {"failed in render": 1}
    assert "out of memory" in caplog.text


def test_closing_waits_for_work_and_lets_the_observer_go():
    executor, shown, observer = started(preset("cpu")), Shown(), StillObserver()
    session = Session(PaintedEngine(), "a", observer, preset("cpu"), executor, shown, now=lambda: 0.0)
    session.watch(QUILT)
    session.offer(frame(0))
    session.close()
    assert len(shown.pictures) == 1
    assert observer.closed
    executor.close()


def test_who_draws_himself_has_the_avatar_driven_and_nothing_rendered():
    class Moved(PaintedEngine):
        def motion(self, state: object) -> Motion:
            return Motion(np.zeros((0, 3, 4), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32))

    shown, moved = Shown(), []
    session = Session(
        Moved(), "a", StillObserver(), preset("cpu"), Inline(), shown, marked=False, now=lambda: 0.0,
        moved=lambda how, frame: moved.append(frame.sequence),
    )  # fmt: skip
    session.offer(frame(0))
    session.follow()
    assert session.drawn
    session.offer(frame(1))
    assert (moved, shown.pictures) == ([1], [])
    assert session.report().stages.keys() == {"preprocess", "drive"}
    assert session.cost().views == 0
    assert session.cost().frames == 1
    session.watch(QUILT)
    assert not session.drawn
    session.offer(frame(2))
    assert moved == [1, 2]
    assert [picture.sequence for picture in shown.pictures] == [2], "by the next frame"
    session.unwatch(QUILT)
    session.unfollow()
    session.offer(frame(3))
    assert moved == [1, 2]
    session.close()
