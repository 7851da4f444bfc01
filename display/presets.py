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


@cache
def serials(name: str) -> tuple[str, ...]:
    """How the serials of that kind of display begin; nothing for a name that is none."""
    found = next((kind["serialPrefix"] or "" for kind in devices() if kind["id"] == name), "")
    return tuple(prefix for prefix in found.split(" / ") if prefix)


def device(serial: str, width: int, height: int) -> dict[str, Any] | None:
    """The kind of display whose serial starts so. Serials of digits alone (generation 1) go by the panel's pixels."""
    for kind in devices():
        if serial.startswith(serials(kind["id"])):
            return kind
    if serial.startswith("LKG-"):
        return None
    return next((kind for kind in devices() if kind["screen"] == [width, height]), None)
