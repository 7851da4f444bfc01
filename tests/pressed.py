"""Pressed: machines that are too slow for all detail: an engine that takes its time, or numbers that say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import pytest

from display.optics import Cameras
from display.screen import PRODUCT, screen
from display.views import ViewSet
from server.channels import ladder
from server.channels.ladder import Ladder, Seen
from server.channels.link import Link
from tests.painted import PaintedEngine, PaintedState

SCREEN = screen(PRODUCT)
ROOM = 3
"Times as old as elsewhere pictures may be here, and a camera slower: what others do on this machine meanwhile is no pressure."
TOO_MUCH = 0.480
"Seconds for a whole quilt: two pictures a second, and old ones. The lowest rung has a thirtieth of it to draw."
FITS = 4
"The rung that a machine has time for which is Told to be slow."


class SlowEngine(PaintedEngine):
    """As on a machine where a whole quilt takes `seconds` to render, and a part of its pixels as much less."""

    name: ClassVar[str] = "slow"
    seconds = 0.0

    def render(self, state: PaintedState, cameras: Cameras) -> ViewSet:
        whole = SCREEN.views * SCREEN.tile_width * SCREEN.tile_height
        time.sleep(SlowEngine.seconds * len(cameras) * cameras.width * cameras.height / whole)
        return super().render(state, cameras)


class Slow:
    """A machine that is slow in earnest, by SlowEngine. Whoever else works on it counts, too."""

    def press(self, on: bool) -> None:
        SlowEngine.seconds = TOO_MUCH if on else 0.0


class Told:
    """What a ladder sees of a channel, made up: nobody else who works on this machine is part of it. For one channel."""

    def __init__(self) -> None:
        self._pressed, self._before = False, 0.0
        self._arrived = self._made = 0.0

    def press(self, on: bool) -> None:
        self._pressed = on

    def seen(self, rung: int, seen: Seen, now: float) -> Seen:
        lasted, self._before = min(1.0, now - self._before), now
        fits = not self._pressed or rung >= FITS
        self._arrived += 25.0 * lasted
        self._made += (25.0 if fits else 5.0) * lasted
        calm, busy = ladder.CALM / 2, (ladder.CALM + ladder.OURS) / 2
        age = (busy if self._pressed else calm) if fits else 3 * ladder.OURS
        return replace(seen, arrived=round(self._arrived), made=round(self._made), age=age)


@contextmanager
def impatient(machine: Slow | Told) -> Iterator[None]:
    """Ladders that wait a second for calm, and links that leave detail to them (those are tests/test_narrow_links.py's)."""
    look = Ladder.look
    with pytest.MonkeyPatch.context() as quicker:
        quicker.setattr(ladder, "PATIENCE", 1.0)
        quicker.setattr(Link, "look", lambda *_: False)
        if isinstance(machine, Told):
            quicker.setattr(Ladder, "look", lambda one, seen, now: look(one, machine.seen(one.rung, seen, now), now))
        else:
            for seconds in ("OURS", "AIM", "CALM"):
                quicker.setattr(ladder, seconds, ROOM * getattr(ladder, seconds))
        yield
        machine.press(False)
