"""Desktop: the window system of this machine: its monitors, and windows on them.

Everything runs in one thread, the main one (macOS allows no other). glfw and moderngl are imported when it is opened.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from importlib import import_module
from types import TracebackType
from typing import Any

from display import connection
from display.monitors import Monitor, MonitorRefused, Output, outputs
from display.window import TITLE, Hologram, Preview, Window

INSTALL = 'pip install -c constraints.txt -e ".[display]"'
PREVIEW_SHARE = 0.7
"Of a monitor's height or width that a preview takes at most."


class DisplayMissing(RuntimeError):
    """No window can be opened on this machine as it is; the message says what to do."""


class Desktop:
    """The window system of this machine, open for as long as the context lasts."""

    def __enter__(self) -> Desktop:
        """Raises DisplayMissing."""
        try:
            import glfw
            import moderngl
        except ImportError as missing:
            raise DisplayMissing(f"a window needs {missing.name or 'glfw'}: {INSTALL}") from None
        self._glfw, self._moderngl = glfw, moderngl
        compilers_first()
        glfw.ERROR_REPORTING = {glfw.FEATURE_UNAVAILABLE: "ignore", None: "raise"}
        try:
            glfw.init()
        except glfw.GLFWError as failure:
            raise DisplayMissing(
                f"there is no desktop to open a window on ({_words(failure)}); run this in the desktop session of the machine "
                "that has the display, or name it: DISPLAY=:0"
            ) from None
        self._windows: list[Window] = []
        self._kept = connection.outlive(glfw, self._lost)  # Xlib holds its address until terminate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._glfw.terminate()

    def _lost(self) -> None:
        for window in self._windows:
            window.lose()

    def monitors(self) -> list[Monitor]:
        """Every connected monitor, the main one first."""
        known = _outputs()
        return [self._monitor(handle, known) for handle in self._glfw.get_monitors()]

    def hologram(self, monitor: Monitor, optics: Hologram) -> Window:
        """Full screen on `monitor`, pixel for pixel. Raises DisplayMissing, MonitorRefused."""
        glfw, handle = self._glfw, self._handle(monitor)
        mode = glfw.get_video_mode(handle)
        hints = {glfw.REFRESH_RATE: mode.refresh_rate, glfw.AUTO_ICONIFY: False, glfw.DECORATED: False}
        hints |= dict(zip((glfw.RED_BITS, glfw.GREEN_BITS, glfw.BLUE_BITS), mode.bits, strict=True))
        window = self._open(mode.size.width, mode.size.height, handle, hints)
        glfw.set_input_mode(window, glfw.CURSOR, glfw.CURSOR_HIDDEN)
        return self._window(window, optics)

    def preview(self, monitor: Monitor, aspect: float = 1.0) -> Window:
        """An ordinary window on `monitor`. Raises DisplayMissing."""
        glfw = self._glfw
        height = round(PREVIEW_SHARE * min(monitor.height, monitor.width / aspect))
        width = round(height * aspect)
        corner = {
            glfw.POSITION_X: monitor.x + (monitor.width - width) // 2,
            glfw.POSITION_Y: monitor.y + (monitor.height - height) // 2,
        }
        window = self._open(width, height, None, corner)
        return self._window(window, Preview())

    def _open(self, width: int, height: int, monitor: Any, hints: dict[int, int]) -> Any:
        glfw = self._glfw
        glfw.default_window_hints()
        core = {
            glfw.CONTEXT_VERSION_MAJOR: 3,
            glfw.CONTEXT_VERSION_MINOR: 3,
            glfw.OPENGL_PROFILE: glfw.OPENGL_CORE_PROFILE,
            glfw.OPENGL_FORWARD_COMPAT: True,  # macOS gives no other
            glfw.SCALE_TO_MONITOR: False,
        }
        for hint, value in (core | hints).items():
            glfw.window_hint(hint, value)
        try:
            return glfw.create_window(width, height, TITLE, monitor, None)
        except glfw.GLFWError as failure:
            raise DisplayMissing(
                f"this desktop opens no OpenGL 3.3 window ({_words(failure)}); install its graphics driver, or Mesa: "
                "apt-get install libgl1-mesa-dri"
            ) from None

    def _window(self, handle: Any, drawing: Hologram | Preview) -> Window:
        window = Window(self._glfw, handle, self._context(handle), drawing)
        self._windows.append(window)
        return window

    def _context(self, window: Any) -> Any:
        """The window's OpenGL, current in this thread; each picture waits for the monitor to be done with the one before."""
        self._glfw.make_context_current(window)
        self._glfw.swap_interval(1)
        return self._moderngl.create_context(require=330)

    def _handle(self, monitor: Monitor) -> Any:
        for handle in self._glfw.get_monitors():
            if (self._name(handle), *self._glfw.get_monitor_pos(handle)) == (monitor.name, monitor.x, monitor.y):
                return handle
        raise MonitorRefused(f"{monitor.name} was disconnected just now; connect it and start again")

    def _name(self, handle: Any) -> str:
        return self._glfw.get_monitor_name(handle).decode("utf-8", "replace")

    def _monitor(self, handle: Any, known: dict[str, Output]) -> Monitor:
        glfw, name = self._glfw, self._name(handle)
        mode, (x, y) = glfw.get_video_mode(handle), glfw.get_monitor_pos(handle)
        width, height = mode.size
        output = known.get(name)
        # X11's content scale is a wish about fonts; what an output really shows of the desktop, only RandR tells
        scale = output.width / width if output else glfw.get_monitor_content_scale(handle)[0]
        return Monitor(name, x, y, width, height, mode.refresh_rate, scale, output.model if output else "")


def compilers_first() -> None:
    """Load Triton, where it is, before an OpenGL driver.

    Mesa opens its LLVM's names to the whole process. Triton, loaded later, takes them for those of its own LLVM and the process
    ends with SIGSEGV, whenever an engine first asks for it (Mesa 22.3, Triton 3.7); loaded earlier it keeps to its own.
    """
    with suppress(ImportError):
        import_module("triton")


def _outputs() -> dict[str, Output]:
    """What RandR tells of X11's outputs; nothing where there is no X11 or no `xrandr`."""
    tool = shutil.which("xrandr")
    if tool is None:
        return {}
    done = subprocess.run([tool, "--prop"], capture_output=True, text=True, errors="replace", timeout=10)
    return outputs(done.stdout)


def _words(failure: Exception) -> str:
    """GLFW's words without the number in front."""
    return str(failure).partition(") ")[2].strip("b'\"") or str(failure)
