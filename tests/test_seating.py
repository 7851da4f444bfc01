"""Who sits where at a table, and the mosaic that shows it: no two seats touch, nothing bleeds, the newest wins and losses are counted."""

from __future__ import annotations

import queue
import time
from contextlib import closing
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from display.colour import Layout, planes
from display.screen import Screen
from display.seating import BLOCK, SEAT_HEIGHT, SEAT_WIDTH, TURN_DEGREES, Seating, largest, seated
from pipeline.mosaic import DIM, REPLACED, STALLED, TOGETHER, Mosaic, form_of
from pipeline.stages import Picture
from pipeline.table import Table

RATE = 25.0


@pytest.mark.parametrize("count", range(1, 9))
def test_seats_lie_on_macroblocks_within_the_view_and_apart(count: int):
    seating = seated(range(1, count + 1))
    for place in seating.places:
        assert place.left % BLOCK == 0 == place.top % BLOCK
        assert 0 <= place.left <= seating.width - SEAT_WIDTH
        assert 0 <= place.top <= seating.height - SEAT_HEIGHT
    for one, other in combinations(seating.places, 2):
        assert abs(one.left - other.left) >= SEAT_WIDTH or abs(one.top - other.top) >= SEAT_HEIGHT
    screen = seating.screen()
    assert (screen.tile_width, screen.tile_height) == (seating.width, seating.height)
    assert screen.columns * screen.rows == screen.views == 8
    assert screen.tile_width % BLOCK == 0 == screen.tile_height % BLOCK


@pytest.mark.parametrize("count", range(1, 9))
def test_people_look_at_each_other(count: int):
    seating = seated(range(1, count + 1))
    for place in seating.places:
        middle = place.left + SEAT_WIDTH / 2 - seating.width / 2
        assert place.turn == (0 if abs(middle) <= BLOCK else TURN_DEGREES * np.sign(middle))
        seat = seating.seat(place)
        assert sum(seat.yaws_degrees) / seat.views == pytest.approx(place.turn, abs=1e-3)
        assert (seat.tile_width, seat.tile_height) == (SEAT_WIDTH, SEAT_HEIGHT)
        assert seat.aspect == SEAT_WIDTH / SEAT_HEIGHT


def test_the_largest_table_is_what_h264_takes_easily():
    assert (largest(8).quilt_width, largest(8).quilt_height) == (1152, 1536)
    assert (largest(3).quilt_width, largest(3).quilt_height) == (864, 768)


def shown(screen: Screen, seat: int, captured: float, layout: Layout = Layout.I420) -> Picture:
    """Flat tiles: luma tells seat and view, chroma the seat."""
    yuv = np.empty((screen.quilt_height * 3 // 2, screen.quilt_width), np.uint8)
    y, u, v = planes(yuv, layout)
    for view in range(screen.views):
        left, top = screen.tile_origin(view)
        y[top : top + screen.tile_height, left : left + screen.tile_width] = 20 * seat + view
    u[...], v[...] = 100 + seat, 150 + seat
    return Picture(screen, yuv, layout, 0, captured)


def sit(mosaic: Mosaic, seats: list[int], now: float = 0.0, scale: float = 1.0) -> Seating:
    seating = seated(seats)
    mosaic.seat(seating, now)
    for place in seating.places:
        mosaic.offer(place.seat, shown(seating.seat(place).scaled(scale), place.seat, now, mosaic._layout), now)
    return seating


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("scale", [1.0, 0.75])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_every_seat_is_in_every_view_with_its_own_pixels(count: int, layout: Layout, scale: float):
    mosaic = Mosaic(RATE, layout)
    seating = sit(mosaic, list(range(1, count + 1)), scale=scale)
    picture, ages = mosaic.compose(0.0)
    assert set(ages) == set(range(1, count + 1))
    y, u, v = planes(picture.yuv, layout)
    covered = np.zeros(y.shape, bool)
    for place in seating.places:
        for view in range(8):
            left, top = (
                at + more for at, more in zip(picture.screen.tile_origin(view), (place.left, place.top), strict=True)
            )
            here = np.s_[top : top + SEAT_HEIGHT, left : left + SEAT_WIDTH]
            half = np.s_[top // 2 : (top + SEAT_HEIGHT) // 2, left // 2 : (left + SEAT_WIDTH) // 2]
            assert (y[here] == 20 * place.seat + view).all()
            assert (u[half] == 100 + place.seat).all()
            assert (v[half] == 150 + place.seat).all()
            assert not covered[here].any()
            covered[here] = True
    assert (y[~covered] == 16).all(), "where nobody sits it is black"


def test_a_form_of_a_table_has_its_views():
    mosaic = Mosaic(RATE, Layout.I420)
    sit(mosaic, [1, 2, 3])
    picture, _ = mosaic.compose(0.0)
    whole = largest(8)  # planned for eight; three are there
    one = form_of(picture, whole.thinned(1), whole)
    assert one.yuv.shape == (192 * 3 // 2, 432)
    assert one.yuv[0, 0] == 24, "the middle view, as it is"
    small = form_of(picture, whole.scaled(0.5), whole)
    assert small.yuv.shape == (384 * 3 // 2, 432)
    four = form_of(picture, whole.thinned(4), whole)
    assert four.yuv.shape[1] // 432 * (four.yuv.shape[0] * 2 // 3 // 192) == 4


def test_the_newest_wins_and_losses_are_counted():
    mosaic = Mosaic(RATE, Layout.I420)
    seating = sit(mosaic, [1, 2])
    mosaic.offer(1, shown(seating.seat(seating.places[0]), 9, 0.02), 0.02)
    assert mosaic.lost == {REPLACED: 1}
    picture, ages = mosaic.compose(0.03)
    assert picture.yuv[-1, 0] != 0
    assert ages[1] == 0.02
    mosaic.offer(7, shown(seating.seat(seating.places[0]), 7, 0.04), 0.04)
    assert mosaic.due(0.05) == pytest.approx(2.5, abs=0.03), "who does not sit here is not shown"


@given(st.lists(st.floats(8, 60), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_it_is_as_quick_as_the_fastest_and_never_quicker_than_it_may(rates: list[float]):
    mosaic = Mosaic(RATE, Layout.I420)
    seats = list(range(1, len(rates) + 1))
    seating = sit(mosaic, seats)
    screens = {place.seat: seating.seat(place) for place in seating.places}
    small = {seat: shown(screen.scaled(0.1), seat, 0.0) for seat, screen in screens.items()}
    arrivals = sorted(
        (n / rate + 0.003 * seat, seat) for seat, rate in enumerate(rates, 1) for n in range(int(3 * rate))
    )
    made: list[float] = []
    for at, seat in arrivals:
        while (due := mosaic.due(made[-1] if made else 0.0)) is not None and due <= at and mosaic._fresh:
            mosaic._fresh.clear()
            mosaic._take_slot(due)
            made.append(due)
        mosaic.offer(seat, small[seat], at)
    fps = len([one for one in made if one > 1]) / 2
    assert fps <= 1.02 * RATE + 1
    assert fps >= 0.8 * min(max(rates), RATE) - 1
    assert TOGETHER < 1 / RATE


def test_who_stalls_stays_dimmed_and_comes_back():
    mosaic = Mosaic(RATE, Layout.I420)
    seating = sit(mosaic, [1, 2])
    picture, ages = mosaic.compose(0.0)
    for now in np.arange(0.04, 3.0, 0.04):
        mosaic.offer(2, shown(seating.seat(seating.places[1]), 2, float(now)), float(now))
        picture, ages = mosaic.compose(float(now))
    assert set(ages) == {2}
    left, top = picture.screen.tile_origin(0)
    assert picture.yuv[top + 5, left + 5] == round(16 + DIM * (20 - 16))
    assert picture.yuv[top + 5, left + SEAT_WIDTH + 5] == 40, "the other is as bright as ever"
    mosaic.offer(1, shown(seating.seat(seating.places[0]), 1, 3.0), 3.0)
    picture, ages = mosaic.compose(3.0)
    assert picture.yuv[top + 5, left + 5] == 20
    assert set(ages) == {1}, "of the other there is nothing new"
    assert STALLED < 3.0


def test_nothing_is_due_while_nothing_is_new():
    mosaic = Mosaic(RATE, Layout.I420)
    assert mosaic.due(0.0) is None
    sit(mosaic, [1])
    assert mosaic.due(0.0) == 0.0
    mosaic.compose(0.0)
    assert mosaic.due(0.1) == STALLED, "but that somebody stalls is shown"


def test_a_picture_that_cannot_be_shown_is_counted_and_the_table_goes_on():
    sent: queue.Queue[Picture] = queue.Queue()

    def send(picture: Picture) -> None:
        sent.put(picture)
        if sent.qsize() == 1:
            raise OSError("no encoder")

    seating = seated([1])
    good = shown(seating.seat(seating.places[0]), 1, 0.0)
    with closing(Table(largest(1), send, Layout.I420)) as table:
        table.seat([1])
        table.watch(largest(1))
        table.offer(1, replace(good, yuv=good.yuv[:0]))
        while "failed in compose" not in table.report().drops:
            time.sleep(0.01)
        table.offer(1, good)
        while (drops := table.report().drops).get("failed in encode") != 1:
            time.sleep(0.01)
        table.offer(1, good)
        first, second = (sent.get(timeout=30) for _ in range(2))
        assert drops["failed in compose"] == 1
        assert first.yuv.shape == second.yuv.shape
