"""Attached: a local display sink: the display of the serving machine. It watches a channel, and takes quilts before they are encoded."""

from __future__ import annotations

import threading

from display.lenticular import Tiling
from display.quilt import Quilt
from display.screen import Screen
from pipeline.session import Session
from server.displays.glass import Canvas


class Attached:
    """Everything but take() runs in the event loop."""

    def __init__(self, screen: Screen, only: str | None, canvas: Canvas) -> None:
        """`screen` is what viewers get as well: rendered once for all. `only` is the one channel to show; any if None."""
        self._screen, self._only, self._canvas = screen, only, canvas
        self._lock = threading.Lock()
        self.channel: str | None = None
        "Which one is shown."
        self._tiling = Tiling.of(screen)
        self._wait()

    def wants(self, channel: str) -> bool:
        return self._only in (None, channel)

    def watch(self, channel: str, session: Session, parallel: bool) -> None:
        """Show `channel` until leave(). `parallel`: its views are parallel projections."""
        assert self.channel is None, self.channel
        with self._lock:
            self.channel, self._tiling = channel, Tiling.of(self._screen, parallel)
        session.watch(self._screen)

    def leave(self) -> None:
        """Its session ends, and is watched no more with that."""
        with self._lock:  # no quilt still under way comes after the dark
            self.channel = None
            self._wait()

    def take(self, channel: str, screen: Screen, quilt: Quilt) -> None:
        """Show a quilt that has just been composed, in that thread; those of other channels and screens are not for us."""
        with self._lock:
            if channel == self.channel and screen == self._screen:
                self._canvas.show(quilt.pixels, self._tiling.sized(quilt.screen.quilt_width, quilt.screen.quilt_height))

    def _wait(self) -> None:
        self._canvas.clear(f"waiting for {self._only or 'a caller'}")
