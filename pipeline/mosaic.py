"""Mosaic: the newest pictures of all seats in one canvas, and when it is due. Told the time; no thread, no clock.

The newest wins: a seat's picture that was never shown is lost, and counted. A seat that stalls stays as it was, dimmed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from statistics import median

import cv2
import numpy as np

from display.colour import Layout, planes
from display.screen import Screen
from display.seating import SEAT_HEIGHT, SEAT_WIDTH, Place, Seating
from pipeline.stages import Picture

REPLACED = "replaced by a newer picture"
TOGETHER = 0.008
"Seconds that a picture waits for those of others: cameras that stand still beside each other come at their own times."
EARLY = 0.9
"Of the time between two pictures at the highest rate, after which one more may come."
STALLED = 2.5
"Seconds without a picture after which a seat is dimmed."
DIM = 0.4
"Of its light and colour."


class Mosaic:
    """Not for several threads at once."""

    def __init__(self, rate: float, layout: Layout) -> None:
        """`rate`: pictures a second at most."""
        self._apart, self._layout = 1 / rate, layout
        self.seating: Seating | None = None
        self.screen: Screen | None = None
        self.lost: Counter[str] = Counter()
        self._canvas = np.empty((0, 0), np.uint8)
        self._newest: dict[int, Picture] = {}
        self._came: dict[int, float] = {}
        "When each seat's newest came."
        self._fresh: dict[int, float] = {}
        "Seats whose newest has not been shown, and since when it waits."
        self._dimmed: set[int] = set()
        self._slot = float("-inf")
        "When the last picture was to come, so that early ones make no rate higher than it may be."
        self._captured = float("-inf")

    def seat(self, seating: Seating, now: float) -> None:
        """Let everybody sit so; whoever is still there keeps the picture until there is one as it is wanted now."""
        self.seating, self.screen = seating, seating.screen()
        there = {place.seat for place in seating.places}
        self._newest = {seat: one for seat, one in self._newest.items() if seat in there}
        self._canvas = _black(self.screen)
        self._fresh = dict.fromkeys(self._newest, now)
        self._came = {seat: self._came.get(seat, now) for seat in there}
        self._dimmed &= there

    def offer(self, seat: int, picture: Picture, now: float) -> None:
        """Take in what a seat shows."""
        if seat not in self._came:
            return  # it has just left
        self.lost[REPLACED] += seat in self._fresh
        self._newest[seat], self._came[seat] = picture, now
        self._fresh[seat] = now
        self._dimmed.discard(seat)

    def due(self, now: float) -> float | None:
        """When a picture is to be made, as far as is known; None while nothing new is there."""
        stalls = [at + STALLED for seat, at in self._came.items() if seat in self._newest and seat not in self._dimmed]
        if not self._fresh:
            return min(stalls, default=None)
        waits = 0.0 if self._moving(now) <= self._fresh.keys() else TOGETHER
        return max(min(self._fresh.values()) + waits, self._slot + EARLY * self._apart)

    def compose(self, now: float) -> tuple[Picture, dict[int, float]]:
        """The table as it is now, and the capture times of the seats that are new in it. Its own is that of the middle one of these."""
        assert self.seating is not None
        assert self.screen is not None
        stalled = {seat for seat, at in self._came.items() if now - at >= STALLED} & self._newest.keys()
        fresh = {seat: self._newest[seat].captured for seat in self._fresh if seat in self._newest}
        changed = fresh.keys() | (stalled - self._dimmed)
        self._dimmed = stalled
        self._fresh.clear()  # before anything is painted: what fails is not tried again at once
        self._take_slot(now)
        for place in self.seating.places:
            if place.seat in changed:
                dim = place.seat in stalled
                _put(self._newest[place.seat], self.seating, place, self._canvas, self.screen, self._layout, dim)
        self._captured = max(median(fresh.values()) if fresh else now, self._captured + 1e-3)
        picture = Picture(self.screen, self._canvas.copy(), self._layout, 0, self._captured)
        return picture, fresh

    def _take_slot(self, now: float) -> None:
        self._slot = max(self._slot + self._apart, now - (1 - EARLY) * self._apart)

    def _moving(self, now: float) -> set[int]:
        """Seats whose next picture is expected soon."""
        return {seat for seat, at in self._came.items() if now - at < 4 * self._apart}


def _black(screen: Screen) -> np.ndarray:
    canvas = np.full((screen.quilt_height * 3 // 2, screen.quilt_width), 128, np.uint8)
    canvas[: screen.quilt_height] = 16
    return canvas


def _put(
    picture: Picture, seating: Seating, place: Place, canvas: np.ndarray, screen: Screen, layout: Layout, dim: bool
) -> None:
    """Copy what a seat shows into every view of the table's `canvas` [3/2 H, W]."""
    rows, width = picture.yuv.shape
    seen = seating.seat(place)
    across, down = width // seen.columns, rows * 2 // 3 // seen.rows
    zeros = (16, 128, 128)
    for step, source, target, zero in zip(
        (1, 2, 2), planes(picture.yuv, picture.layout), planes(canvas, layout), zeros, strict=True
    ):
        wide, high = SEAT_WIDTH // step, SEAT_HEIGHT // step
        for view in range(screen.views):
            left, top = _corner(seen.columns, seen.rows, view, across // step, down // step)
            tile = source[top : top + down // step, left : left + across // step]
            if tile.shape != (high, wide):  # a busy machine makes less detail of it
                tile = cv2.resize(np.ascontiguousarray(tile), (wide, high), interpolation=cv2.INTER_LINEAR)
            if dim:
                tile = np.uint8(zero) + np.round(DIM * (tile.astype(np.float32) - zero)).astype(np.int16)
            x, y = (at // step for at in screen.tile_origin(view))
            x, y = x + place.left // step, y + place.top // step
            target[y : y + high, x : x + wide] = tile


def _corner(columns: int, rows: int, view: int, across: int, down: int) -> tuple[int, int]:
    """(left, top) of a view's tile of `across` x `down` samples: view 0 is bottom-left, then rightwards, then upwards."""
    row, column = divmod(view, columns)
    return column * across, (rows - 1 - row) * down


def form_of(picture: Picture, form: Screen, whole: Screen) -> Picture:
    """A table's `picture` as `form`, which is a form of `whole` as the table was planned: some of its views, or smaller ones."""
    there = picture.screen
    columns, rows = (there.columns, there.rows) if form.views == whole.views else (form.columns, form.rows)
    places = {yaw: view for view, yaw in enumerate(whole.yaws_degrees)}
    views = [places[yaw] for yaw in form.yaws_degrees]
    yuv = np.empty((rows * there.tile_height * 3 // 2, columns * there.tile_width), np.uint8)
    for step, source, target in zip(
        (1, 2, 2), planes(picture.yuv, picture.layout), planes(yuv, picture.layout), strict=True
    ):
        across, down = there.tile_width // step, there.tile_height // step
        for place, view in enumerate(views):
            x, y = _corner(there.columns, there.rows, view, across, down)
            left, top = _corner(columns, rows, place, across, down)
            target[top : top + down, left : left + across] = source[y : y + down, x : x + across]
    scale = form.tile_height / whole.tile_height
    if scale != 1.0:
        yuv = _scaled(yuv, picture.layout, columns, rows, scale)
    return replace(picture, screen=form, yuv=yuv)


def _scaled(yuv: np.ndarray, layout: Layout, columns: int, rows: int, scale: float) -> np.ndarray:
    height, width = yuv.shape[0] * 2 // 3, yuv.shape[1]
    size = [2 * round(scale * side / many / 2) * many for side, many in ((width, columns), (height, rows))]
    small = np.empty((size[1] * 3 // 2, size[0]), np.uint8)
    for source, target in zip(planes(yuv, layout), planes(small, layout), strict=True):
        target[...] = cv2.resize(np.ascontiguousarray(source), target.shape[::-1], interpolation=cv2.INTER_AREA)
    return small
