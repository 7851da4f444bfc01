"""Bridge's displays: what `available_output_devices` says of each Looking Glass. Knows no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from display.bridge_wire import garbled, value_of, whole
from display.calibration import Calibration, parse
from display.screen import Screen, reported

DEVICES = "available_output_devices"
OTHER_MONITOR = "thirdparty"


@dataclass(frozen=True)
class Display:
    """One Looking Glass, as Bridge reports it."""

    index: int
    "Bridge's head index."
    hwid: str
    hardware: str
    "Kind of display in Bridge's words, e.g. `portrait`."
    state: str
    "`ok`, `hidden` or `nocalibration`."
    x: int
    "Where its monitor lies on the desktop, in pixels from the main monitor's top left corner."
    y: int
    calibration_text: str
    "The record as it came, JSON; empty where the display has not told it."
    quilt_text: str
    "Which quilt it likes best, as it came, JSON; `{}` where it has not told."
    problems: tuple[str, ...]
    "What is wrong with its monitor's settings, such as a scaled or turned desktop. Any of them spoils the hologram."

    @property
    def calibration(self) -> Calibration:
        """Raises CalibrationRejected."""
        return parse(self.calibration_text, f"the calibration that Bridge gives for {self.hwid or self.hardware}")

    @property
    def screen(self) -> Screen:
        """The quilt that it asks for; where it does not tell, what tables say. Raises CalibrationRejected."""
        return reported(self.quilt_text or "{}", self.calibration)


def looking_glasses(found: Mapping[str, Any]) -> list[Display]:
    """The displays in Bridge's answer, which lists every monitor of its PC. Raises BridgeGarbled."""
    entries = [_fields(f"display {key}", value_of(entry)) for key, entry in found.items()]
    return sorted((_display(entry) for entry in entries if _is_looking_glass(entry)), key=lambda one: one.index)


def _is_looking_glass(entry: Mapping[str, Any]) -> bool:
    hardware = entry.get("hardwareVersion")
    return "LKG" in str(entry.get("hwid") or "") or (bool(hardware) and hardware != OTHER_MONITOR)


def _display(entry: Mapping[str, Any]) -> Display:
    place = _fields("windowCoords", entry.get("windowCoords"))
    return Display(
        index=whole(DEVICES, "index", entry.get("index")),
        hwid=_text(entry, "hwid"),
        hardware=_text(entry, "hardwareVersion"),
        state=_text(entry, "state"),
        x=whole(DEVICES, "windowCoords.x", place.get("x")),
        y=whole(DEVICES, "windowCoords.y", place.get("y")),
        calibration_text=_text(entry, "calibration"),
        quilt_text=_text(entry, "defaultQuilt"),
        problems=tuple(_problems(entry.get("displayProblems"))),
    )


def _problems(found: object) -> Iterator[str]:
    """One line for each map that holds an `errorType`, however deep: published clients disagree on the nesting."""
    found = value_of(found)
    if not isinstance(found, Mapping):
        return
    if "errorType" in found:
        said = {name: str(value_of(value))[:40] for name, value in found.items()}
        wanted, seen = (
            " x ".join(said[name] for name in (f"{who}X", f"{who}Y") if name in said)
            for who in ("expected", "observered")
        )
        yield said["errorType"] + (f": {seen} where {wanted} is wanted" if wanted and seen else "")
    else:
        for value in found.values():
            yield from _problems(value)


def _fields(name: str, found: object) -> dict[str, Any]:
    if not isinstance(found, Mapping):
        raise garbled(DEVICES, name, found, "a map")
    return {key: value_of(variant) for key, variant in found.items()}


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name, "")
    if not isinstance(value, str):
        raise garbled(DEVICES, name, value, "a text")
    return value
