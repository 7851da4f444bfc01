"""Desktops: X servers of a test's own, with monitors of any size, drawn in software. Skipped where they are not installed."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import ImageGrab

NAMES = ("DUMMY0", "DUMMY1")
"Of the two monitors: the names that X.Org's dummy driver gives."
DUMMY_DRIVER = Path("/usr/lib/xorg/modules/drivers/dummy_drv.so")
TWO_MONITORS = """
Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AutoAddGPU" "false"
EndSection
Section "Device"
  Identifier "card"
  Driver "dummy"
EndSection
Section "Screen"
  Identifier "screen"
  Device "card"
EndSection
"""


@contextmanager
def one_monitor(width: int, height: int) -> Iterator[dict[str, str]]:
    """The environment of a desktop whose only monitor, "screen", has that size."""
    # without -noreset it begins anew once its last client has gone, and for a moment nobody can connect
    command = [_tool("Xvfb", "xvfb"), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp", "-noreset"]
    with _server(command) as environment:
        yield environment


@contextmanager
def two_monitors(panel: tuple[int, int], main: tuple[int, int] = (640, 480)) -> Iterator[dict[str, str]]:
    """The environment of a desktop with a main monitor DUMMY0 and, to its right, DUMMY1 of the size of `panel`."""
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "xorg.conf"
        configuration.write_text(TWO_MONITORS)
        log = ["-logfile", f"{folder}/log", "-config", str(configuration)]
        command = [_tool("Xorg", "xserver-xorg-core"), *log, "-nolisten", "tcp", "-noreset", "-novtswitch", "-sharevts"]
        if not DUMMY_DRIVER.exists():
            _lacking(f"no {DUMMY_DRIVER} found: apt-get install xserver-xorg-video-dummy")
        with _server(command) as environment:
            for name, size, x in ((NAMES[0], main, 0), (NAMES[1], panel, main[0])):
                _set_mode(environment, name, size, x)
            xrandr(environment, "--query")  # makes the server look at its outputs again: the second counts as connected
            yield environment


def picture(environment: dict[str, str]) -> np.ndarray:
    """[H, W, 3] uint8: everything that the desktop shows."""
    return np.asarray(ImageGrab.grab(xdisplay=environment["DISPLAY"]).convert("RGB"))


def press(environment: dict[str, str], *keys: str) -> None:
    subprocess.run([_tool("xdotool", "xdotool"), "key", *keys], env=environment, check=True, timeout=30)


def point(environment: dict[str, str], x: int, y: int) -> None:
    """Move the pointer there."""
    command = [_tool("xdotool", "xdotool"), "mousemove", "--sync", str(x), str(y)]
    subprocess.run(command, env=environment, check=True, timeout=30)


def xrandr(environment: dict[str, str], *words: object) -> None:
    tool = _tool("xrandr", "x11-xserver-utils")
    subprocess.run([tool, *map(str, words)], env=environment, check=True, timeout=30, stdout=subprocess.DEVNULL)


def _set_mode(environment: dict[str, str], output: str, size: tuple[int, int], x: int) -> None:
    width, height = size
    timings = (width, width + 8, width + 16, width + 32, height, height + 2, height + 4, height + 8)
    name = f"{output}-{width}x{height}"
    xrandr(environment, "--newmode", name, (width + 32) * (height + 8) * 60 / 1e6, *timings)
    xrandr(environment, "--addmode", output, name)
    xrandr(environment, "--output", output, "--mode", name, "--pos", f"{x}x0")


@contextmanager
def _server(command: list[str]) -> Iterator[dict[str, str]]:
    """Start an X server on a display that nobody else will choose, and end it.

    Left to itself it takes the first free one, and a server that is just being ended takes its successor's socket along.
    """
    reading, writing = os.pipe()
    words = [command[0], f":{secrets.randbelow(50_000) + 1000}", *command[1:], "-displayfd", str(writing)]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(words, pass_fds=(writing,), stderr=complaints)
        os.close(writing)
        try:
            with os.fdopen(reading) as pipe:
                number = pipe.readline().strip()  # comes once it is ready; nothing where it ended
            if not number:
                complaints.seek(0)
                pytest.fail(f"{command[0]} did not start: {complaints.read().decode(errors='replace')[-500:]}")
            software = {"LIBGL_ALWAYS_SOFTWARE": "1", "XDG_SESSION_TYPE": "x11"}
            environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
            yield environment | software | {"DISPLAY": f":{number}", "XSERVER": str(process.pid)}
        finally:
            process.terminate()
            process.wait(10)


def _tool(name: str, package: str) -> str:
    """Where a program is. Without it the test is skipped, or fails where a desktop is required."""
    found = shutil.which(name)
    if found is None:
        _lacking(f"no {name} found: apt-get install {package}")
    return found


def _lacking(reason: str) -> NoReturn:
    if os.environ.get("TELEQUILT_REQUIRE_DESKTOP") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
