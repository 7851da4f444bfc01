"""Seating: who sits where at a table, in each of its views: rectangles, and the angles from which each seat is seen. Pure numbers.

Seats are multiples of 16 pixels, and so are their places, so that no macroblock of a video shows two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

from display.screen import Screen, fan_yaws

VIEWS = 8
SEAT_WIDTH, SEAT_HEIGHT = 144, 192
"Pixels of a seat in a view: a head and shoulders, without the dark at both sides of them."
BLOCK = 16
"Pixels of a macroblock's sides."
MOST = 8
"Seats at one table."
TURN_DEGREES = 6.0
"By which those at the sides are turned towards the middle, so that people look at each other."
GRIDS = {1: (1, 1), 2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (3, 2), 6: (3, 2), 7: (4, 2), 8: (4, 2)}
"Seats -> across and down."


@dataclass(frozen=True)
class Place:
    """Of one seat in every view, pixels from its top left."""

    seat: int
    left: int
    top: int
    turn: float
    "Degrees by which its cameras go round it."


@dataclass(frozen=True)
class Seating:
    """Everybody's place at a table."""

    places: tuple[Place, ...]
    width: int
    "Pixels of one view."
    height: int

    def screen(self, views: int = VIEWS) -> Screen:
        """The table's quilt: as near to a square as its views allow."""
        fits = [columns for columns in range(1, views + 1) if views % columns == 0]
        columns = min(fits, key=lambda one: abs(log(one * self.width * one / (views * self.height))))
        rows = views // columns
        size = columns * self.width, rows * self.height
        return Screen("table", columns, rows, *size, self.width / self.height, fan_yaws(views))

    def seat(self, place: Place, views: int = VIEWS) -> Screen:
        """What is rendered of one seat: a narrow tile for each view."""
        yaws = tuple(round(yaw + place.turn, 6) for yaw in fan_yaws(views))
        columns = max(one for one in range(1, views + 1) if views % one == 0 and one * one <= 2 * views)
        size = columns * SEAT_WIDTH, views // columns * SEAT_HEIGHT
        return Screen(f"seat/{place.turn:g}", columns, views // columns, *size, SEAT_WIDTH / SEAT_HEIGHT, yaws)


def seated(seats: Sequence[int]) -> Seating:
    """Places for `seats`, at least one, in their order: one to three in a row, four in a square, more in two rows."""
    assert 0 < len(seats) <= MOST, seats
    across, down = GRIDS[len(seats)]
    width, height = across * SEAT_WIDTH, down * SEAT_HEIGHT
    places = []
    for number, seat in enumerate(seats):
        row, column = divmod(number, across)
        beside = len(seats) - row * across  # the last row may be shorter, and stands in the middle
        indent = max(0, across - beside) * SEAT_WIDTH // 2 // BLOCK * BLOCK
        left = indent + column * SEAT_WIDTH
        places.append(Place(seat, left, row * SEAT_HEIGHT, _turn(left + SEAT_WIDTH / 2, width)))
    return Seating(tuple(places), width, height)


def _turn(middle: float, width: int) -> float:
    """Who sits left of the middle is seen from further left, so that the face looks right."""
    away = middle - width / 2
    return 0.0 if abs(away) <= BLOCK else TURN_DEGREES * (1 if away > 0 else -1)


def largest(seats: int) -> Screen:
    """The quilt of a table of so many, which may have fewer at it: what it is called, and what is planned for it."""
    return replace(seated(range(1, max(1, min(seats, MOST)) + 1)).screen(), name="table")
