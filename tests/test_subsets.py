"""Forms with fewer views: picked from views that are rendered already, without rendering anything twice."""

import time
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from display.detail import Detail
from display.screen import Screen, UnknownScreen, screen, screens
from display.subsets import picked, shrunk, subsets
from display.views import ViewSet
from pipeline.devices.placement import Placement, preset
from pipeline.executors.deployments import started
from pipeline.session import Session
from pipeline.stages import Picture
from tests.painted import PaintedEngine, StillObserver
from tests.test_session import frame

QUILT = screen("telequilt")
TWELVE, EIGHT = QUILT.thinned(12), QUILT.thinned(8)
SMALL = EIGHT.scaled(0.75)
SLOW = SMALL.slowed(2)
FORMS = (QUILT, TWELVE, EIGHT, SMALL, SLOW)


@pytest.mark.parametrize(
    ("one", "size"), [(TWELVE, (1024, 768)), (EIGHT, (1024, 512)), (SMALL, (768, 384)), (SLOW, (768, 384))]
)
def test_forms_have_the_sizes_that_are_planned_for(one: Screen, size: tuple[int, int]):
    assert (one.quilt_width, one.quilt_height) == size
    assert set(one.yaws_degrees) <= set(QUILT.yaws_degrees)


@pytest.mark.parametrize("whole", screens().values(), ids=lambda one: one.name)
@pytest.mark.parametrize("views", [1, 5, 8, 12])
def test_any_screen_can_be_thinned(whole: Screen, views: int):
    thin = whole.thinned(views)
    assert thin.views == views == thin.columns * thin.rows
    assert (thin.tile_width, thin.tile_height) == (whole.tile_width, whole.tile_height)
    assert list(thin.yaws_degrees) == sorted(thin.yaws_degrees)
    middle = sum(thin.yaws_degrees) / views
    step = 35 / (whole.views - 1)
    assert abs(middle) <= step / 2 + 1e-3, "it is seen from the middle"


def test_more_views_than_there_are_cannot_be_shown():
    with pytest.raises(UnknownScreen, match="has 24"):
        QUILT.thinned(25)


@pytest.mark.parametrize("order", permutations(FORMS[:4]))
def test_one_watched_quilt_renders_for_all_its_forms(order):
    found = subsets(order)
    assert list(found) == list(order)
    assert {subset.source for subset in found.values()} == {QUILT}
    assert found[EIGHT].views == tuple(range(1, 24, 3))


def test_what_no_other_holds_is_rendered():
    wide = replace(QUILT, name="wide", aspect=1.5)
    found = subsets([SMALL, SLOW, TWELVE, wide, QUILT.only(12)])
    assert [found[one].source for one in (SMALL, SLOW)] == [SMALL, SMALL], "twelve of 24 are other views than eight"
    assert found[TWELVE].source == TWELVE
    assert found[wide].source == wide
    assert found[QUILT.only(12)].source == QUILT.only(12), "it is larger than a tile"
    assert subsets([SLOW, EIGHT])[SLOW].source == EIGHT
    assert subsets([SLOW])[SLOW].source == SLOW


def test_what_is_shrunk_keeps_its_light():
    images = torch.zeros((2, 64, 64, 4), dtype=torch.uint8)
    images[0, ::2] = 200
    images[1, :, 16:] = 200
    small = shrunk(images, 32, 32).to(torch.int)
    assert (small[0, 1:-1] - 100).abs().max() <= 2
    assert small[1, :, 10:].min() >= 198
    assert small[1, :, :6].max() <= 2


def test_views_are_picked_wherever_they_lie():
    parts = [ViewSet(torch.full((n, 4, 4, 4), 10 * first, dtype=torch.uint8), first) for first, n in ((3, 2), (0, 3))]
    assert [one.first for one in picked(parts, (1, 4), 4, 4)] == [0, 1]
    assert [int(one.images[0, 0, 0, 0]) for one in picked(parts, (1, 4), 4, 4)] == [0, 30]


class Counting(PaintedEngine):
    def __init__(self) -> None:
        self.views = 0

    def render(self, state, cameras) -> ViewSet:
        self.views += len(cameras)
        return super().render(state, cameras)


def _shown(placement: Placement, detail: Detail = Detail()) -> tuple[list[Picture], int]:
    """What four frames come to where all forms are watched, and how many views were rendered for them."""
    engine, pictures = Counting(), []
    executor = started(placement)
    try:
        session = Session(
            engine, "an avatar", StillObserver(), placement, executor, pictures.append, marked=False, now=lambda: 0.0
        )
        session.make(detail)
        for form in FORMS:
            session.watch(form)
        for number in range(4):
            session.offer(frame(number))
            deadline = time.monotonic() + 30
            while session.report().frames <= number and time.monotonic() < deadline:
                time.sleep(0.002)
        session.close()
    finally:
        executor.close()
    return pictures, engine.views


@pytest.mark.parametrize("placement", [preset("cpu"), preset("paper").on_cpu()], ids=lambda one: one.name)
def test_a_session_renders_once_what_is_watched_in_five_forms(placement: Placement):
    pictures, views = _shown(placement)
    assert views == 4 * 24
    assert sum(one.screen == SLOW for one in pictures) == 2, "every second picture"
    for one in pictures:
        assert one.yuv.shape == (one.screen.quilt_height * 3 // 2, one.screen.quilt_width)
    luma = {one.screen: one.yuv for one in pictures}
    for form in (TWELVE, EIGHT, SMALL, SLOW):
        for view, yaw in enumerate(form.yaws_degrees):
            own, whole = _light(luma[form], form, view), _light(luma[QUILT], QUILT, QUILT.yaws_degrees.index(yaw))
            assert abs(own - whole) <= 1, (form.name, view)


def test_less_detail_is_less_of_every_form():
    pictures, views = _shown(preset("cpu"), Detail(0.5, 4))
    assert views == 4 * 6
    widths = {one.screen: one.yuv.shape[1] for one in pictures}
    assert widths[EIGHT] == 512
    assert widths[SMALL] == 384


def _light(yuv, form: Screen, view: int) -> float:
    left, top = form.tile_origin(view)
    return float(yuv[top + 4 : top + form.tile_height - 4, left + 4 : left + form.tile_width - 4].mean())
