"""Forms: how what is sent in a call is tiled, in the words of the message `form`."""

from __future__ import annotations

from typing import Any

from display.screen import Screen
from display.seating import SEAT_HEIGHT, SEAT_WIDTH, VIEWS, Seating


def seat_form(screen: Screen | None) -> dict[str, Any]:
    """Of a seat's own channel, sent as `screen`; None: nothing but sound."""
    return {"as": "seat", **_tiling(screen)}


def sent_form(screen: Screen | None, whole: dict[str, Any]) -> dict[str, Any]:
    """Of the table, whose form is `whole`, where it is sent as `screen` to one viewer. Places in a view are shares of it, so they stay,
    and so does the tiling where all views come, smaller or more rarely."""
    return whole if screen is not None and screen.views == VIEWS else whole | _tiling(screen)


def table_form(seating: Seating) -> dict[str, Any]:
    """Of the table where people sit so: places as shares of a view, from its top left."""
    across, down = seating.width, seating.height
    places = [
        {
            "seat": place.seat,
            "left": place.left / across,
            "top": place.top / down,
            "width": SEAT_WIDTH / across,
            "height": SEAT_HEIGHT / down,
        }
        for place in seating.places
    ]
    return {"as": "table", **_tiling(seating.screen()), "aspect": across / down, "seats": places}


def _tiling(screen: Screen | None) -> dict[str, Any]:
    if screen is None:
        return {"columns": 0, "rows": 0, "views": 0, "width": 0, "height": 0}
    return {
        "columns": screen.columns,
        "rows": screen.rows,
        "views": screen.views,
        "width": screen.quilt_width,
        "height": screen.quilt_height,
    }
