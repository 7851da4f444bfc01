"""Attached: a local display sink: the display of the serving machine. It watches a channel: draws its avatar itself where that has
geometry, so that nothing is rendered for it, and elsewhere takes quilts before they are encoded."""

from __future__ import annotations

import threading
from collections.abc import Callable

from display.lenticular import Tiling
from display.quilt import Quilt
from display.screen import Screen
from engines.geometry.motion import Motion
from pipeline.session import Session
from server.displays.drawn import Figure
from server.displays.glass import Canvas, Easel


class Attached:
    """Everything but take() runs in the event loop."""

    def __init__(self, screen: Screen, only: str | None, canvas: Canvas) -> None:
        """`screen` is what viewers get as well: rendered once for all. `only` is the one channel to show; any if None."""
        self._screen, self._only, self._canvas = screen, only, canvas
        self._lock = threading.Lock()
        self.channel: str | None = None
        "Which one is shown."
        self._figure: Callable[[], Figure] | None = None
        self._made: Figure | None = None
        "What is drawn, once it has been made."
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

    @property
    def draws(self) -> bool:
        """Whether it can draw avatars itself."""
        return isinstance(self._canvas, Easel)

    def follow(self, channel: str, session: Session, figure: Callable[[], Figure]) -> None:
        """Draw `channel`'s avatar until leave(); `figure` makes it, in the thread that drives."""
        assert self.channel is None, self.channel
        with self._lock:
            self.channel, self._figure, self._made = channel, figure, None
        session.follow()

    def move(self, channel: str, how: Motion) -> None:
        """Draw `channel`'s avatar so, in the thread that drove it; those of other channels are not for us."""
        with self._lock:
            if channel != self.channel or self._figure is None:
                return
            self._made = self._made or self._figure()
            assert isinstance(self._canvas, Easel)
            self._canvas.draw(self._made.moved(how))

    def leave(self) -> None:
        """Its session ends, and is watched no more with that."""
        with self._lock:  # no quilt still under way comes after the dark
            self.channel = self._figure = self._made = None
            self._wait()

    def take(self, channel: str, screen: Screen, quilt: Quilt) -> None:
        """Show a quilt that has just been composed, in that thread; those of other channels and screens are not for us."""
        with self._lock:
            if channel == self.channel and screen == self._screen:
                self._canvas.show(quilt.pixels, self._tiling.sized(quilt.screen.quilt_width, quilt.screen.quilt_height))

    def _wait(self) -> None:
        self._canvas.clear(f"waiting for {self._only or 'a caller'}")
