"""Forms: how what is sent in a call is tiled, in the words of the message `form`."""

from __future__ import annotations

from typing import Any

from display.screen import Screen


def seat_form(screen: Screen) -> dict[str, Any]:
    """Of a seat's own channel, sent as `screen`."""
    return {
        "as": "seat",
        "columns": screen.columns,
        "rows": screen.rows,
        "views": screen.views,
        "width": screen.quilt_width,
        "height": screen.quilt_height,
    }
