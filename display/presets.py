"""Presets: what tables say about each kind of display, from presets.json. What a display itself reports comes first."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def devices() -> tuple[dict[str, Any], ...]:
    """Every known kind of display, in the order in which serial prefixes are tried."""
    return tuple(json.loads(files("display").joinpath("presets.json").read_text())["devices"])


def device(serial: str, width: int, height: int) -> dict[str, Any] | None:
    """The kind of display whose serial starts so. Serials of digits alone (generation 1) go by the panel's pixels."""
    for kind in devices():
        for prefix in (kind["serialPrefix"] or "").split(" / "):
            if prefix and serial.startswith(prefix):
                return kind
    if serial.startswith("LKG-"):
        return None
    return next((kind for kind in devices() if kind["screen"] == [width, height]), None)
