"""Calibrations: both spellings, every refusal by name, and the USB volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from display.calibration import (
    FILE,
    FOLDER,
    Calibration,
    CalibrationRejected,
    from_volume,
    mount_points,
    parse,
    read,
    volumes,
)
from display.presets import devices
from tests.panels import CALIBRATIONS, case, cases

BARE: dict[str, Any] = {
    "configVersion": "3.0",
    "serial": "LKG-J00000",
    "pitch": 44.75,
    "slope": -6.87,
    "center": 0.17,
    "viewCone": 50.0,
    "invView": 1,
    "verticalAngle": 0,
    "DPI": 283,
    "screenW": 3840,
    "screenH": 2160,
    "flipImageX": 0,
    "flipImageY": 0,
    "flipSubp": 0,
    "CellPatternMode": 2,
    "subpixelCells": [
        {"ROffsetX": -0.3, "ROffsetY": 0.25, "GOffsetX": 0.3, "GOffsetY": 0.25, "BOffsetX": 0, "BOffsetY": -0.25},
        {"ROffsetX": -0.3, "ROffsetY": -0.25, "GOffsetX": 0.3, "GOffsetY": -0.25, "BOffsetX": 0, "BOffsetY": 0.25},
    ],
}
NUMBERS = [name for name, value in BARE.items() if not isinstance(value, str | list) and name != "verticalAngle"]
NEEDED = ["pitch", "slope", "center", "DPI", "screenW", "screenH"]


def wrapped(bare: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} if name in NUMBERS else value for name, value in bare.items()}


def changed(**fields: Any) -> dict[str, Any]:
    return BARE | fields


def test_both_spellings_are_the_same_display():
    found = parse(BARE)
    assert (
        found
        == parse(wrapped(BARE))
        == parse(json.dumps(wrapped(BARE)))
        == parse(b"\xef\xbb\xbf" + json.dumps(BARE).encode())
    )
    assert (found.width, found.height, found.view_cone_degrees, found.invert_views) == (3840, 2160, 50.0, True)
    assert found.cells[1] == ((-0.3, -0.25), (0.3, -0.25), (0.0, 0.25))


def test_the_cell_pattern_has_two_spellings():
    lower = {("cellPatternMode" if name == "CellPatternMode" else name): value for name, value in BARE.items()}
    assert parse(lower).cell_mode == parse(BARE).cell_mode == 2


def test_what_old_displays_leave_out_is_as_vendors_take_it():
    found = parse({name: BARE[name] for name in NEEDED})
    assert (found.serial, found.view_cone_degrees, found.invert_views, found.cells) == ("", 40.0, True, ())
    assert (found.flip_image_x, found.flip_image_y, found.flip_subpixels) == (False, False, False)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_field_is_named(name: str):
    with pytest.raises(CalibrationRejected, match=rf"cal: {name} is missing.*visual\.json.*Bridge"):
        parse({key: value for key, value in BARE.items() if key != name}, "cal")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 1e99, 10**400, "44", None, [], {}, {"value": "x"}, {"value": None}]
)
@pytest.mark.parametrize("name", NEEDED)
def test_no_field_that_is_needed_takes_nonsense(name: str, value: object):
    with pytest.raises(CalibrationRejected, match=f"{name} is "):
        parse(changed(**{name: value}))


@pytest.mark.parametrize("value", [float("nan"), -1e9, 10**400, "44", [1]])
@pytest.mark.parametrize("name", NUMBERS)
def test_nor_does_any_other(name: str, value: object):
    with pytest.raises(CalibrationRejected, match=f"{name} is "):
        parse(changed(**{name: value}))
    with pytest.raises(CalibrationRejected, match=f"{name} is "):
        parse(json.dumps(changed(**{name: {"value": value}})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pitch", 0), ("pitch", -50), ("pitch", True), ("slope", 0), ("slope", 1e-6), ("DPI", 0), ("screenW", 0),
        ("screenW", 3840.5), ("screenH", -2160), ("viewCone", 0), ("invView", 2), ("CellPatternMode", 5),
        ("CellPatternMode", 1.5), ("pitch", 900), ("serial", 7), ("serial", "x" * 300), ("subpixelCells", "none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(name: str, value: object):
    with pytest.raises(CalibrationRejected, match=f"^calibration: {name} is "):
        parse(changed(**{name: value}))


@pytest.mark.parametrize(
    ("cell", "culprit"),
    [
        ({}, r"subpixelCells\[0\]: ROffsetX is missing"),
        (BARE["subpixelCells"][0] | {"GOffsetY": float("nan")}, r"subpixelCells\[0\]: GOffsetY is NaN"),
        (BARE["subpixelCells"][0] | {"BOffsetX": 99}, r"subpixelCells\[0\]: BOffsetX is 99"),
        (7, r"subpixelCells\[0\] is not a JSON object"),
    ],
)
def test_a_bad_cell_is_named(cell: object, culprit: str):
    with pytest.raises(CalibrationRejected, match=culprit):
        parse(changed(subpixelCells=[cell]))


@pytest.mark.parametrize(
    "record", ["", "  ", "{", "[" * 100_000, "[]", "7", "null", b"\xff\xfe\x00", '{"pitch": 1' + "0" * 9999 + "}"]
)
def test_what_is_no_record_is_refused_with_its_origin(record: str | bytes):
    with pytest.raises(CalibrationRejected, match=r"^Bridge's answer.*visual\.json"):
        parse(record, "Bridge's answer")


def test_long_nonsense_is_not_repeated_at_length():
    with pytest.raises(CalibrationRejected) as caught:
        parse(changed(pitch="x" * 100_000))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", cases())
def test_derived_values_are_the_official_ones(name: str):
    one = case(name)
    derived, found = one.facts["derived"], one.calibration
    assert found.lens_pitch == pytest.approx(derived["pitch"], rel=1e-12)
    assert found.tilt == pytest.approx(derived["tilt"], rel=1e-12)
    assert found.subpixel == pytest.approx(derived["subp"], rel=1e-12)
    assert found.center == derived["center"]
    assert found.stripes == (derived["ri"], 1, derived["bi"])
    assert (len(found.cells), found.cell_mode) == (derived["cells"], derived["cell_mode"])


@pytest.mark.parametrize("path", sorted(CALIBRATIONS.glob("*.json")), ids=lambda path: path.stem)
def test_every_kind_of_display_is_known_by_its_serial_or_its_panel(path: Path):
    kind = path.stem.removesuffix("_bare").removesuffix("_rising")
    assert read(path).hardware == ("" if kind.startswith("small") else kind)


def test_there_is_a_calibration_of_every_kind_that_a_serial_tells():
    told = {kind["id"] for kind in devices() if kind["serialPrefix"]} - {"proto"}
    assert told <= {path.stem for path in CALIBRATIONS.glob("*.json")}


def test_a_serial_that_no_table_knows_is_no_other_display():
    assert parse(changed(serial="LKG-Z1")).hardware == ""
    assert parse(changed(serial="")).hardware == "large"  # the first kind with such a panel


def volume(root: Path, record: object = BARE) -> Path:
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / FILE).write_text(json.dumps(record))
    return root


def test_the_display_is_found_on_its_volume(tmp_path: Path):
    empty, plugged = tmp_path / "stick", volume(tmp_path / "LKG 1")
    empty.mkdir()
    roots = [empty, plugged, tmp_path / "gone", plugged]
    assert volumes(roots) == [plugged / FOLDER / FILE]
    assert from_volume(roots) == parse(BARE)


def test_no_display_and_too_many_are_told_apart(tmp_path: Path):
    with pytest.raises(CalibrationRejected, match="plug in the display's USB cable"):
        from_volume([tmp_path])
    with pytest.raises(CalibrationRejected, match=r"several displays.*LKG1.*LKG2"):
        from_volume([volume(tmp_path / "LKG1"), volume(tmp_path / "LKG2")])


def test_this_machines_volumes_can_be_looked_through():
    assert all(path.name == FILE for path in volumes())


def test_files_that_cannot_be_read_are_refused_with_their_name(tmp_path: Path):
    with pytest.raises(CalibrationRejected, match=r"gone\.json cannot be read"):
        read(tmp_path / "gone.json")
    with pytest.raises(CalibrationRejected, match="cannot be read"):
        read(tmp_path)
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(CalibrationRejected, match="larger than"):
        read(large)
    assert isinstance(read(volume(tmp_path / "LKG") / FOLDER / FILE), Calibration)


def test_mounts_are_block_devices_with_any_name():
    table = (
        "proc /proc proc rw 0 0\n/dev/sda1 / ext4 rw 0 0\nnas:/x /mnt/nas nfs rw 0 0\n"
        "/dev/sdb1 /media/me/LKG\\040a\\134b vfat rw 0 0\n\n"
    )
    assert mount_points(table) == [Path("/"), Path("/media/me/LKG a\\b")]
