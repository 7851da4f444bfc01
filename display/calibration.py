"""Calibration: the optics of one display, as measured in its factory. Reads `visual.json`; knows nothing of quilts.

The same record comes as a file on the display's USB volume and, as text, from Looking Glass Bridge. Every number is either
bare or wrapped as {"value": x}.
"""

from __future__ import annotations

import json
import math
import os
import string
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from display.presets import device

FOLDER, FILE = "LKG_calibration", "visual.json"
LARGEST_FILE = 1 << 20
"Bytes. Real ones have about a thousand."
WHERE = f"A display's calibration is {FOLDER}/{FILE} on the USB volume that it mounts; Looking Glass Bridge sends the same record"
Cell = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"(x, y) of the red, green and blue subpixel from the pixel's centre, in pixels; y up."


class CalibrationRejected(ValueError):
    """What a display reports of itself cannot be used; the message names the field and says where to get another."""


@dataclass(frozen=True)
class Calibration:
    """One display. Checked by parse(): every number is finite and within reason."""

    pitch: float
    "Lenses per inch across them."
    slope: float
    "Run over rise of the lenses' slant; the sign is its direction."
    center: float
    "Phase, in lenses."
    dpi: float
    width: int
    "Panel pixels."
    height: int
    serial: str = ""
    view_cone_degrees: float = 40.0
    "The angle over which the panel sends its views."
    invert_views: bool = True
    "Views run right to left under a lens."
    flip_image_x: bool = False
    flip_image_y: bool = False
    "Read and kept; no known shader uses it."
    flip_subpixels: bool = False
    "The stripes run blue, green, red."
    cell_mode: int = 0
    "Layout of the cells, 0..4; see lenticular.CellTable."
    cells: tuple[Cell, ...] = ()
    "Where subpixels lie in panels that are not striped (generation 3); empty for stripes."

    @property
    def lens_pitch(self) -> float:
        """Lenses along one row of the whole panel."""
        return self.pitch * self.width / self.dpi * math.cos(math.atan(1 / self.slope))

    @property
    def tilt(self) -> float:
        """Panel widths that a lens moves sideways over the panel's height; y up."""
        return self._mirror * self.height / (self.width * self.slope)

    @property
    def subpixel(self) -> float:
        """Distance of two stripes in panel widths, negative in a mirrored panel."""
        return self._mirror / (3 * self.width)

    @property
    def stripes(self) -> tuple[int, int, int]:
        """Place of red, green and blue in a striped pixel, counted in subpixels."""
        return (2, 1, 0) if self.flip_subpixels else (0, 1, 2)

    @property
    def aspect(self) -> float:
        """Width over height of the panel."""
        return self.width / self.height

    @property
    def hardware(self) -> str:
        """Name of the kind of display as presets.json has it, e.g. "portrait"; empty for one that it does not know."""
        kind = device(self.serial, self.width, self.height)
        return kind["id"] if kind else ""

    @property
    def _mirror(self) -> int:
        return -1 if self.flip_image_x else 1


def parse(record: str | bytes | Mapping[str, Any], source: str = "calibration") -> Calibration:
    """The calibration that `record` holds. `source` says in errors where it came from. Raises CalibrationRejected."""
    fields = Fields.of(record, source)
    calibration = Calibration(
        pitch=fields.number("pitch", 1, 1000),
        slope=fields.number("slope", -1000, 1000),
        center=fields.number("center", -1000, 1000),
        dpi=fields.number("DPI", 10, 5000),
        width=fields.whole("screenW", 16, 16384),
        height=fields.whole("screenH", 16, 16384),
        serial=fields.text("serial"),
        view_cone_degrees=fields.number("viewCone", 1, 180, default=40.0),
        invert_views=fields.flag("invView", default=True),
        flip_image_x=fields.flag("flipImageX"),
        flip_image_y=fields.flag("flipImageY"),
        flip_subpixels=fields.flag("flipSubp"),
        cell_mode=fields.whole("cellPatternMode" if "cellPatternMode" in fields.values else "CellPatternMode", 0, 4, 0),
        cells=_cells(fields),
    )
    if abs(calibration.slope) < 0.01:
        raise fields.rejected("slope", "a number from 0.01 to 1000, or its negative")
    if calibration.lens_pitch > calibration.width:
        raise fields.rejected("pitch", f"possible at {calibration.dpi:g} DPI: lenses would be narrower than a pixel")
    return calibration


def _cells(fields: Fields) -> tuple[Cell, ...]:
    found = fields.values.get("subpixelCells") or []
    if not isinstance(found, list):
        raise fields.rejected("subpixelCells", "a list")
    cells = []
    for index, cell in enumerate(found):
        one = Fields.of(cell, f"{fields.source}: subpixelCells[{index}]")
        red, green, blue = (
            (one.number(f"{colour}OffsetX", -16, 16), one.number(f"{colour}OffsetY", -16, 16)) for colour in "RGB"
        )
        cells.append((red, green, blue))
    return tuple(cells)


@dataclass(frozen=True)
class Fields:
    """A JSON record from outside: every value is checked as it is taken, and the refusal names it."""

    values: Mapping[str, Any]
    source: str

    @classmethod
    def of(cls, record: object, source: str) -> Fields:
        """`record`, a JSON text or what one holds; `source` says in errors where it came from. Raises CalibrationRejected."""
        if isinstance(record, str | bytes):
            if not record.strip():
                raise CalibrationRejected(f"{source} is empty. {WHERE}")
            try:
                text = record if isinstance(record, str) else record.decode("utf-8-sig")
                record = json.loads(text.removeprefix("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise CalibrationRejected(f"{source} is not JSON: {str(error)[:120]}. {WHERE}") from None
        if not isinstance(record, Mapping):
            raise CalibrationRejected(f"{source} is not a JSON object of named fields. {WHERE}")
        return cls(record, source)

    def rejected(self, name: str, wanted: str) -> CalibrationRejected:
        """The error for the field `name`, which is missing or not `wanted`. To be raised."""
        if name not in self.values:
            return CalibrationRejected(f"{self.source}: {name} is missing. {WHERE}")
        return CalibrationRejected(f"{self.source}: {name} is {_short(self.values[name])}, not {wanted}. {WHERE}")

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """The field `name`, from `low` to `high`, both included; `default` where it is missing. Raises CalibrationRejected."""
        value = self._bare(name)
        if value is None and default is not None:
            return default
        wanted = f"a number from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # also NaN
            raise self.rejected(name, wanted)
        return float(value)

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """As `number`, of a value without a fraction."""
        value = self.number(name, low, high, default)
        if value != int(value):
            raise self.rejected(name, f"a whole number from {low} to {high}")
        return int(value)

    def flag(self, name: str, default: bool = False) -> bool:
        """0 or 1, as a number or a truth value."""
        value = self._bare(name)
        return value if isinstance(value, bool) else self.number(name, 0, 1, float(default)) >= 0.5

    def text(self, name: str) -> str:
        """Empty where there is none."""
        value = self._bare(name)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > 200:
            raise self.rejected(name, "a short text")
        return value

    def _bare(self, name: str) -> Any:
        value = self.values.get(name)
        return value.get("value") if isinstance(value, Mapping) else value


def _short(value: object) -> str:
    shown = json.dumps(value, default=repr)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def read(path: Path) -> Calibration:
    """The calibration in a file. Raises CalibrationRejected, also where it cannot be read."""
    try:
        with path.open("rb") as file:
            record = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CalibrationRejected(f"{path} cannot be read ({error.strerror}). {WHERE}") from None
    if len(record) > LARGEST_FILE:
        raise CalibrationRejected(f"{path} is larger than {LARGEST_FILE} bytes, so it is no calibration. {WHERE}")
    return parse(record, str(path))


def volumes(roots: Iterable[Path] | None = None) -> list[Path]:
    """Calibration files of the displays whose USB volumes are mounted. `roots` are looked at in place of all volumes."""
    found = []
    for root in dict.fromkeys(_mounted() if roots is None else roots):
        path = root / FOLDER / FILE
        try:
            if path.is_file():
                found.append(path)
        except OSError:
            continue  # not ours to read, or being unplugged
    return found


def from_volume(roots: Iterable[Path] | None = None) -> Calibration:
    """The calibration of the one display that is plugged in. Raises CalibrationRejected where there is none, or several."""
    found = volumes(roots)
    if not found:
        raise CalibrationRejected(
            f"no mounted volume holds {FOLDER}/{FILE}: plug in the display's USB cable and mount its volume"
        )
    if len(found) > 1:
        raise CalibrationRejected(f"several displays are plugged in; name one file: {', '.join(map(str, found))}")
    return read(found[0])


def _mounted() -> list[Path]:
    """Where USB volumes can be. Network mounts are left out: asking a server that is gone would never return."""
    if sys.platform == "win32":
        return [Path(f"{letter}:\\") for letter in string.ascii_uppercase]
    if sys.platform == "darwin":
        return _inside(Path("/Volumes"))
    return mount_points(_text(Path("/proc/mounts")))


def mount_points(table: str) -> list[Path]:
    """The places in the text of /proc/mounts where a block device is mounted."""
    rows = (line.split(" ") for line in table.splitlines())
    return [Path(_unescaped(row[1])) for row in rows if len(row) > 1 and row[0].startswith("/dev/")]


def _unescaped(place: str) -> str:
    """/proc/mounts writes blanks, tabs, line ends and backslashes as octal numbers."""
    for code in ("040", "011", "012", "134"):
        place = place.replace(f"\\{code}", chr(int(code, 8)))
    return place


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
