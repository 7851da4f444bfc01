"""Connection: that this process outlives the X server of its window. Left to itself Xlib calls exit() beneath running threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_Exit = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_silent = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda display: 0)
"In place of Xlib's own words, which end with exit() in libX11 1.8 as well. Never let go: it is the whole process's."


def outlive(glfw: Any, lost: Callable[[], None]) -> object:
    """Have `lost` called, in the middle of whichever call finds it out, when the X server that `glfw` has opened ends.

    What comes back is to be kept until GLFW is terminated. Does nothing on other window systems, which never call exit(),
    and with a libX11 before 1.7, which always does.
    """
    if glfw.get_platform() != glfw.PLATFORM_X11:
        return None
    xlib = ctypes.CDLL("libX11.so.6")
    if not hasattr(xlib, "XSetIOErrorExitHandler"):
        return None
    xlib.XSetIOErrorHandler(_silent)
    handler = _Exit(lambda display, ours: lost())
    xlib.XSetIOErrorExitHandler(ctypes.c_void_p(glfw.get_x11_display()), handler, None)
    return handler
