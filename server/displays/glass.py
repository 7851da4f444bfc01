"""Glass: the local Looking Glass display, attached to this machine: its optics, its monitor, and a window on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from rich.table import Table

from display import calibration
from display.bridge import Bridge
from display.bridge_displays import Display
from display.bridge_wire import ADDRESS, BridgeFailure
from display.calibration import Calibration
from display.desktop import Desktop
from display.lenticular import CellTable, Tiling
from display.monitors import Monitor, for_hologram, for_preview
from display.screen import Screen, reported
from display.window import Drawn, Hologram, Window

BRIDGE_PATIENCE = 3.0
"Seconds: Bridge answers at once where it runs."


class GlassMissing(RuntimeError):
    """No Looking Glass tells its optics to this machine; the message says the ways in which one can."""


class Canvas(Protocol):
    """A frame sink: what quilts are shown on, display.window.Window. From any thread, and without waiting."""

    def show(self, pixels: np.ndarray | torch.Tensor, tiling: Tiling) -> None: ...

    def clear(self, why: str) -> None: ...


@runtime_checkable
class Easel(Canvas, Protocol):
    """A canvas on which figures are drawn, too: display.window.Window."""

    def draw(self, drawn: Drawn) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What the user says of the display. Everything is found where nothing is said."""

    calibration: Path | None = None
    monitor: str | None = None
    preview: bool = False
    cells: CellTable = CellTable.BRIDGE
    focus: float = 0.0
    depth: float = 1.0
    bridge: str = ADDRESS


class Found(NamedTuple):
    calibration: Calibration
    source: str
    "Whence, in words."
    corner: tuple[int, int] | None = None
    "Where Bridge sees the display on the desktop."


def optics(file: Path | None, bridge: str = ADDRESS, roots: list[Path] | None = None) -> Found:
    """The display's calibration: from `file`; else from the USB volume it mounts; else from Looking Glass Bridge.

    The volume comes before Bridge, since it is the display's own word and needs no other program. `roots` are looked at
    in place of all volumes. Raises GlassMissing, CalibrationRejected.
    """
    if file is not None:
        return Found(calibration.read(file), str(file))
    if volumes := calibration.volumes(roots):
        return Found(calibration.from_volume(roots), f"{volumes[0]}, on the display's USB volume")
    only = _seen_by(bridge)
    problems = "".join(f"; it complains of {problem}" for problem in only.problems)
    return Found(only.calibration, f"Looking Glass Bridge, display {only.index}{problems}", (only.x, only.y))


def asked_for(bridge: str = ADDRESS, roots: list[Path] | None = None) -> Screen:
    """The quilt that the display attached here asks for.

    Bridge comes first, since it alone passes on the display's own word; with a volume only, tables speak for its kind.
    Raises GlassMissing, CalibrationRejected.
    """
    try:
        return _seen_by(bridge).screen
    except GlassMissing:
        if not calibration.volumes(roots):
            raise
        return reported({}, calibration.from_volume(roots))


def _seen_by(bridge: str) -> Display:
    """The only calibrated display that Bridge sees. Raises GlassMissing."""
    try:
        displays = Bridge(bridge, timeout=BRIDGE_PATIENCE).displays()
    except BridgeFailure as failure:
        raise _missing(f"Looking Glass Bridge does not help: {failure}") from None
    told = [one for one in displays if one.calibration_text]
    if not told:
        raise _missing("Looking Glass Bridge runs, but sees no Looking Glass")
    if len(told) > 1:
        which = ", ".join(one.hwid for one in told)
        raise GlassMissing(
            f"Looking Glass Bridge sees several displays ({which}): save the record of the right one with `python -m server "
            "bridge calibration --display INDEX --save visual.json` and name it with --calibration visual.json"
        )
    return told[0]


@contextmanager
def opened(wanted: Wanted, aspect: float, tell: Callable[[str], None]) -> Iterator[Window]:
    """A window as `wanted`, for quilts whose views have `aspect`. In the main thread.

    Raises DisplayMissing, MonitorRefused, GlassMissing, CalibrationRejected.
    """
    with Desktop() as desktop:
        if wanted.preview:
            monitor = for_preview(desktop.monitors(), wanted.monitor)
            window = desktop.preview(monitor, aspect)
            tell(f"Preview on {monitor.name}. The pointer chooses the view, space shows all of them, Esc or q ends it.")
        else:
            found = optics(wanted.calibration, wanted.bridge)
            tell(
                f"Calibration of {found.calibration.serial or 'a display without a serial number'} from {found.source}."
            )
            monitor = for_hologram(desktop.monitors(), found.calibration, wanted.monitor, found.corner)
            how = Hologram(found.calibration, wanted.cells, wanted.focus, wanted.depth)
            window = desktop.hologram(monitor, how)
            tell(f"Hologram on {monitor}. Esc or q ends it.")
        with window:
            yield window


def monitors() -> list[Monitor]:
    """Raises DisplayMissing."""
    with Desktop() as desktop:
        return desktop.monitors()


def table(found: list[Monitor]) -> Table:
    """The monitors as people read them."""
    rows = Table("monitor", "calls itself", "pixels", "at", "rate", "scale", "", box=None, pad_edge=False)
    for one in found:
        rows.add_row(
            one.name,
            one.model or "-",
            f"{one.width}x{one.height}",
            f"{one.x},{one.y}",
            f"{one.refresh} Hz" if one.refresh else "-",
            f"{one.scale:.0%}",
            "[bold]Looking Glass[/]" if one.is_looking_glass else "",
        )
    return rows


def _missing(last: str) -> GlassMissing:
    return GlassMissing(
        "no Looking Glass tells its optics to this machine. Plug in its USB cable and mount the volume, start Looking Glass "
        f"Bridge, name a file with --calibration visual.json, or look without one: --preview. ({last})"
    )
