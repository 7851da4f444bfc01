"""Forms: how what is sent in a call is tiled, in the words of the message `form`."""

from __future__ import annotations

from typing import Any

from display.screen import Screen


def seat_form(screen: Screen | None) -> dict[str, Any]:
    """Of a seat's own channel, sent as `screen`; None: nothing but sound."""
    return {"as": "seat", **_tiling(screen)}


def sent_form(screen: Screen | None, whole: dict[str, Any]) -> dict[str, Any]:
    """Of the table, whose form is `whole`, where it is sent as `screen` to one viewer. Places in a view are shares of it, so they stay."""
    return whole | _tiling(screen)


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
