"""Window: the quilts that are given to it, as a hologram for the lenses in front of it or as an ordinary preview.

Rule 1: everything but show(), clear() and report() runs in the thread that made it. Rule 2: one waiting place; the newest
quilt wins, losses are counted. Rule 3: nothing is resampled; a window that is not the panel's size says so and ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
import torch

from display.calibration import Calibration
from display.figure import Figure, FigurePainter, Pose
from display.lenticular import CellTable, Filter, Tiling, fragment_source, uniforms, vertex_source
from display.monitors import MonitorRefused
from display.screen import PRODUCT, Screen, preset
from display.screen import screen as named
from display.texture import QuiltTexture

DIALECT = "330 core"
TITLE = "Telequilt"
LOOK = 0.1
"Seconds between two looks at whether to go on, while nothing happens."
ESCAPE = 256
"GLFW's number of the key."


@dataclass(frozen=True)
class Hologram:
    """How a panel is interlaced; see lenticular.interlace(). Never with overscan, which could cut off the AI mark."""

    calibration: Calibration
    cells: CellTable = CellTable.BRIDGE
    focus: float = 0.0
    depth: float = 1.0

    def screen(self, width: int, height: int) -> Screen:
        """What is drawn for it here: the panel's own views at their own size."""
        return preset(self.calibration) or named(PRODUCT)

    def uniforms(self, tiling: Tiling, width: int, height: int) -> dict[str, Any]:
        """For a window of that size. Raises MonitorRefused where it is not the panel's."""
        panel = self.calibration
        if (width, height) != (panel.width, panel.height):
            raise MonitorRefused(
                f"the monitor shows {width}x{height} pixels of the panel's {panel.width}x{panel.height}: it was disconnected, "
                "turned or scaled. Set it to its native resolution at 100 % and start again"
            )
        return uniforms(tiling, panel, cells=self.cells, focus=self.focus, depth=self.depth)


@dataclass(frozen=True)
class Preview:
    """What an ordinary monitor shows: one view, or the quilt as it is."""

    across: float = 0.5
    "Which view, 0 the leftmost, 1 the rightmost."
    whole: bool = False
    "All views, as the quilt has them."

    def screen(self, width: int, height: int) -> Screen:
        """What is drawn for a window of that size here: the view from where the pointer is, as large as fits; or all of a quilt."""
        product = named(PRODUCT)
        if self.whole:
            return product
        side, yaws = max(min(width, height), 1), product.yaws_degrees
        yaw = yaws[0] + self.across * (yaws[-1] - yaws[0])
        return Screen("preview", 1, 1, side, side, 1.0, (yaw,))

    def uniforms(self, tiling: Tiling, width: int, height: int) -> dict[str, Any]:
        """As if the window were a panel all of whose lenses send the same view."""
        if self.whole:
            shape = tiling.columns * tiling.aspect / tiling.rows
            tiling = Tiling(1, 1, 1, tiling.width, tiling.height, shape)
        flat = Calibration(pitch=1, slope=1, center=0, dpi=width, width=width, height=height)
        return uniforms(tiling, flat, filter=Filter.NEAREST) | {"sweep": (self.across, 0.0)}


@dataclass(frozen=True)
class WindowReport:
    """How a window is doing."""

    offered: int
    "Quilts given to show()."
    shown: int
    lost: int
    "Quilts that a newer one replaced before they were drawn."
    way: str
    'How quilts come into the texture: "host", "cuda", "drawn" here; or empty before the first.'


@dataclass(frozen=True)
class Drawn:
    """A figure at one moment, to be drawn here."""

    figure: Callable[[Screen], Figure]
    "It, as a screen wants it; the same function for the same figure."
    pose: Pose


@dataclass(frozen=True)
class _Given:
    pixels: np.ndarray | torch.Tensor | Drawn | None
    "None goes black."
    tiling: Tiling | None
    written: torch.cuda.Event | None
    "After which the pixels are there; None for those in the host's memory."


class Window:
    """One open window. Made by a Desktop."""

    def __init__(self, glfw: Any, handle: Any, gl: Any, drawing: Hologram | Preview) -> None:
        """`handle` is GLFW's window, whose OpenGL context is current, `gl` its moderngl.Context."""
        self._glfw, self._handle, self._gl, self._drawing = glfw, handle, gl, drawing
        self._lock = threading.Lock()
        self._waiting: _Given | None = None
        self._words: str | None = TITLE
        "What the title bar should say from the next step on; None while it says it."
        self._offered = self._shown = self._lost = 0
        self._closed = self._lost_desktop = False
        self._stale = True
        "Whether the monitor does not show what it should."
        self._program = gl.program(vertex_source(DIALECT), fragment_source(DIALECT))
        self._corners = gl.vertex_array(self._program, [])
        self._texture = QuiltTexture(gl)
        self._drawn: Drawn | None = None
        self._painter: FigurePainter | None = None
        self._painted: Callable[[Screen], Figure] | None = None
        "Which figure the painter has."
        self._tiling: Tiling | None = None
        "Of the quilt in the texture; None while nothing is shown."
        self._listen()

    def show(self, pixels: np.ndarray | torch.Tensor, tiling: Tiling) -> None:
        """Show `pixels` [H, W, 3 or 4] uint8, top row first, in place of any that still wait. From any thread; never waits.

        They are not copied: whoever gives them does not write to them again.
        """
        assert pixels.shape[:2] == (tiling.height, tiling.width), (pixels.shape, tiling)
        written = None
        if isinstance(pixels, torch.Tensor) and pixels.is_cuda:
            written = torch.cuda.Event()
            written.record(torch.cuda.current_stream(pixels.device))
        with self._lock:
            if not self._closed:
                self._offered += 1
                self._replace(_Given(pixels, tiling, written), TITLE)

    def draw(self, drawn: Drawn) -> None:
        """Show a figure, drawn here at the panel's own tiling, in place of anything that still waits. From any thread; never waits."""
        with self._lock:
            if not self._closed:
                self._offered += 1
                self._replace(_Given(drawn, None, None), TITLE)

    def clear(self, why: str) -> None:
        """Go black, with `why` in the title bar of a preview. From any thread; never waits."""
        with self._lock:
            if not self._closed:
                self._replace(_Given(None, None, None), f"{TITLE}: {why}")

    def _replace(self, given: _Given, words: str) -> None:
        self._lost += self._waiting is not None and self._waiting.pixels is not None
        self._waiting, self._words = given, words
        self._glfw.post_empty_event()

    def report(self) -> WindowReport:
        """How it is doing, from any thread."""
        with self._lock:
            way = "drawn" if self._drawn is not None else self._texture.way
            return WindowReport(self._offered, self._shown, self._lost, way)

    def run(self, going_on: Callable[[], bool] = lambda: True) -> None:
        """Show what comes until the window is closed or `going_on` says no. Raises MonitorRefused where the monitor changes."""
        while self.step(LOOK) and going_on():
            pass

    def lose(self) -> None:
        """The desktop has ended. May be told in the middle of anything else, so it is only noted."""
        self._lost_desktop = True

    def step(self, seconds: float = 0.0) -> bool:
        """Wait up to `seconds` for something to do, and do it; whether the window is still open.

        Raises MonitorRefused where there is no right monitor for it any more.
        """
        glfw = self._glfw
        if self._stale or self._waiting is not None:
            glfw.poll_events()
        else:
            glfw.wait_events_timeout(max(seconds, 1e-4))
        if self._lost_desktop:
            raise MonitorRefused("the desktop of this window has ended; start again on the one that is there now")
        self._take()
        if self._stale and not glfw.window_should_close(self._handle):
            self._stale = False
            self._paint()
            glfw.swap_buffers(self._handle)
        return not glfw.window_should_close(self._handle)

    def read_back(self) -> np.ndarray:
        """[H, W, 3] uint8, top row first: what the window shows, drawn anew and read from the graphics card."""
        width, height = self._paint()
        pixels = self._gl.screen.read(viewport=(0, 0, width, height), components=3, alignment=1)
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)[::-1]

    def close(self) -> None:
        """Take no more and give everything back; a second time does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._waiting = True, None
        self._texture.close()
        if self._painter is not None:
            self._painter.close()
        self._corners.release()
        self._program.release()
        self._gl.release()
        self._glfw.destroy_window(self._handle)

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self) -> None:
        with self._lock:
            (given, self._waiting), (words, self._words) = (self._waiting, None), (self._words, None)
        if words is not None:
            self._glfw.set_window_title(self._handle, words)
        if given is not None:
            self._tiling, self._stale = given.tiling, True
            self._drawn = given.pixels if isinstance(given.pixels, Drawn) else None
            self._shown += self._drawn is not None
            if given.pixels is not None and self._drawn is None:
                assert not isinstance(given.pixels, Drawn)
                self._texture.write(given.pixels, given.written)
                self._shown += 1

    def _paint(self) -> tuple[int, int]:
        """Draw into the back buffer; its (width, height)."""
        width, height = self._glfw.get_framebuffer_size(self._handle)
        quilt = self._texture
        if self._drawn is not None:
            quilt, self._tiling = self._draw(self._drawn, self._drawing.screen(width, height))
        self._gl.screen.use()
        self._gl.viewport = (0, 0, width, height)
        if self._tiling is None:
            self._gl.clear()
            return width, height
        for name, value in self._drawing.uniforms(self._tiling, width, height).items():
            if name in self._program:  # a driver may have found one that changes nothing
                self._program[name].value = value
        quilt.use()
        self._corners.render(vertices=3)
        return width, height

    def _draw(self, drawn: Drawn, screen: Screen) -> tuple[Any, Tiling]:
        """The texture that holds the figure as a quilt of `screen`, and how it is tiled."""
        if self._painter is None or drawn.figure != self._painted or not self._painter.fits(screen):
            if self._painter is not None:
                self._painter.close()
            self._painter, self._painted = FigurePainter(self._gl, drawn.figure(screen)), drawn.figure
        self._painter.paint(drawn.pose, screen)
        return self._painter.quilt, Tiling.of(screen, self._painter.parallel)

    def _listen(self) -> None:
        glfw, handle = self._glfw, self._handle
        glfw.set_key_callback(handle, lambda _, key, *more: self._leave() if key == ESCAPE else None)
        glfw.set_char_callback(handle, lambda _, letter: self._typed(chr(letter)))
        glfw.set_window_refresh_callback(handle, lambda _: self._change())
        glfw.set_framebuffer_size_callback(handle, lambda *_: self._change())
        if isinstance(self._drawing, Preview):
            glfw.set_cursor_pos_callback(handle, lambda _, x, y: self._pointed(x))
            glfw.set_cursor_enter_callback(handle, lambda _, inside: None if inside else self._change(across=0.5))

    def _leave(self) -> None:
        self._glfw.set_window_should_close(self._handle, True)

    def _typed(self, letter: str) -> None:
        if letter in "qQ":
            self._leave()
        elif letter == " " and isinstance(self._drawing, Preview):
            self._change(whole=not self._drawing.whole)

    def _pointed(self, x: float) -> None:
        width, _ = self._glfw.get_window_size(self._handle)
        self._change(across=min(max(x / max(width, 1), 0.0), 1.0))

    def _change(self, **preview: Any) -> None:
        if isinstance(self._drawing, Preview):
            self._drawing = replace(self._drawing, **preview)
        self._stale = True
