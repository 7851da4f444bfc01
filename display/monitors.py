"""Monitors: which one is the Looking Glass, and whether it is set as a hologram needs. Decides only; opens nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from display.calibration import Calibration

LOOKING_GLASS = "LKG"
"In the name that every Looking Glass tells its computer (EDID)."
UNSCALED = 0.01
"How far from 1 a scale may lie that is none: systems give it as a rounded share."


class MonitorRefused(RuntimeError):
    """No monitor can show the hologram as things are; the message says which there are and what to do."""


@dataclass(frozen=True)
class Monitor:
    """One monitor, as the window system has it set now."""

    name: str
    "As the system calls its output, for instance DP-3."
    x: int
    "Of its top left corner on the desktop."
    y: int
    width: int
    "Pixels of its present mode, as turned."
    height: int
    refresh: int = 0
    "Hz; 0 where unknown."
    scale: float = 1.0
    "Desktop units for each of its pixels, or their inverse: anything but 1 resamples, which destroys a hologram."
    model: str = ""
    "What the monitor calls itself; empty where it does not tell."

    @property
    def is_looking_glass(self) -> bool:
        """Whether its name or its model says so."""
        return LOOKING_GLASS in f"{self.name} {self.model}".upper()

    def __str__(self) -> str:
        named = f"{self.name} ({self.model})" if self.model else self.name
        scaled = "" if abs(self.scale - 1) < UNSCALED else f", scaled by {self.scale:.4g}"
        return f"{named}: {self.width}x{self.height} at {self.x},{self.y}{scaled}"


def for_hologram(
    monitors: Sequence[Monitor],
    calibration: Calibration,
    name: str | None = None,
    corner: tuple[int, int] | None = None,
) -> Monitor:
    """The monitor that is the panel of `calibration`, ready to show it pixel by pixel. Raises MonitorRefused.

    In this order: the one that was named; the one at `corner`, where Looking Glass Bridge sees the display; the one that calls
    itself by the display's serial number; the one that calls itself a Looking Glass; the one of the panel's size.
    """
    if name is not None:
        return _checked(called(monitors, name), calibration)
    panel = (calibration.width, calibration.height)
    signs = (
        lambda one: (one.x, one.y) == corner,
        lambda one: bool(calibration.serial) and calibration.serial.upper() in f"{one.name} {one.model}".upper(),
        lambda one: one.is_looking_glass,
        lambda one: (one.width, one.height) == panel,
    )
    for sign in signs:
        found = [one for one in monitors if sign(one)]
        right = [one for one in found if (one.width, one.height) == panel] or found
        if len(right) > 1:
            raise MonitorRefused(
                f"several monitors could be the Looking Glass; choose with --monitor. {_list(monitors)}"
            )
        if right:
            return _checked(right[0], calibration)
    raise MonitorRefused(
        f"no monitor has the {panel[0]}x{panel[1]} pixels of this Looking Glass: connect it, set its native resolution, or name "
        f"it with --monitor; --preview shows on any monitor. {_list(monitors)}"
    )


def for_preview(monitors: Sequence[Monitor], name: str | None = None) -> Monitor:
    """Any monitor will do: the one that was named, else the first that is no Looking Glass. Raises MonitorRefused."""
    if name is not None:
        return called(monitors, name)
    if not monitors:
        raise MonitorRefused("no monitor is connected")
    return next((one for one in monitors if not one.is_looking_glass), monitors[0])


def called(monitors: Sequence[Monitor], name: str) -> Monitor:
    """The monitor of that name, or the only one with `name` in its name or model. Raises MonitorRefused."""
    exactly = [one for one in monitors if name == one.name]
    found = exactly or [one for one in monitors if name.lower() in f"{one.name} {one.model}".lower()]
    if len(found) == 1:
        return found[0]
    raise MonitorRefused(f"{'several monitors are' if found else 'no monitor is'} called {name!r}. {_list(monitors)}")


def _checked(monitor: Monitor, calibration: Calibration) -> Monitor:
    wanted, has = (calibration.width, calibration.height), (monitor.width, monitor.height)
    if has == wanted[::-1] != wanted:
        raise MonitorRefused(
            f"{monitor} is turned: the panel is {wanted[0]}x{wanted[1]}. Set its orientation to landscape, "
            f"unturned (X11: xrandr --output {monitor.name} --rotate normal)"
        )
    if has != wanted:
        raise MonitorRefused(
            f"{monitor} is not at its native {wanted[0]}x{wanted[1]}, and any resampling destroys a hologram. Set that "
            f"resolution (X11: xrandr --output {monitor.name} --mode {wanted[0]}x{wanted[1]}), or look with --preview"
        )
    if abs(monitor.scale - 1) >= UNSCALED:
        raise MonitorRefused(
            f"{monitor}: any resampling destroys a hologram. Set its scale to 100 % (X11: xrandr --output {monitor.name} "
            "--scale 1x1), or look with --preview"
        )
    return monitor


def _list(monitors: Sequence[Monitor]) -> str:
    return f"Monitors: {'; '.join(map(str, monitors))}" if monitors else "No monitor is connected"


@dataclass(frozen=True)
class Output:
    """What X11's RandR says of one output beyond what GLFW tells."""

    width: int
    "Desktop pixels that it shows: more or fewer than its mode has where it is scaled."
    height: int
    model: str
    "Out of its EDID; empty where there is none."


_HEADING = re.compile(r"^(\S+) connected (?:primary )?(\d+)x(\d+)\+\d+\+\d+")
_HEX = re.compile(r"^\t\t([0-9a-f]{32})$")


def outputs(text: str) -> dict[str, Output]:
    """The active outputs in what `xrandr --prop` prints, by name."""
    found: dict[str, Output] = {}
    name, edid = "", None
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            name, edid = heading[1], None
            found[name] = Output(int(heading[2]), int(heading[3]), "")
        elif not line.startswith(("\t", " ")):
            name = ""
        elif name and line.startswith("\tEDID:"):
            edid = ""
        elif name and edid is not None and (hexadecimal := _HEX.match(line)):
            edid += hexadecimal[1]
            found[name] = replace(found[name], model=model(bytes.fromhex(edid)))
        else:
            edid = None
    return found


def model(edid: bytes) -> str:
    """The monitor's name in its EDID 1.x: the descriptor with tag 0xFC, 13 bytes that end in a line feed."""
    if edid[:8] != b"\x00\xff\xff\xff\xff\xff\xff\x00":
        return ""
    for start in (54, 72, 90, 108):
        descriptor = edid[start : start + 18]
        if descriptor[:5] == b"\x00\x00\x00\xfc\x00":
            return descriptor[5:].split(b"\n")[0].decode("ascii", "replace").strip()
    return ""
