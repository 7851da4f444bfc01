"""Which monitor is the Looking Glass, and whether it may be drawn on: decided without any monitor."""

from dataclasses import replace

import pytest

from display.calibration import Calibration
from display.monitors import Monitor, MonitorRefused, for_hologram, for_preview, outputs

PANEL = Calibration(pitch=50, slope=-7, center=0.1, dpi=324, width=1536, height=2048, serial="LKG-P00042")
DESK = Monitor("DP-1", 0, 0, 2560, 1440, 60, model="DELL U2717D")
GLASS = Monitor("HDMI-1", 2560, 0, 1536, 2048, 60, model="LKG-P00042")
NAMELESS = replace(GLASS, model="")


def test_it_is_known_by_what_it_calls_itself():
    assert for_hologram([DESK, GLASS], PANEL) is GLASS
    other = replace(GLASS, name="HDMI-2", x=4096, model="LKG-P00007")
    assert for_hologram([DESK, other, GLASS], PANEL) is GLASS  # the serial number decides between two of a kind
    assert (
        for_hologram([DESK, replace(other, width=3840, height=2160), replace(GLASS, model="LKG")], PANEL).name
        == "HDMI-1"
    )


def test_it_is_known_by_its_size_where_it_has_no_name():
    assert for_hologram([DESK, NAMELESS], PANEL) is NAMELESS


def test_where_bridge_sees_it_comes_before_names_and_sizes():
    twin = replace(NAMELESS, name="HDMI-2", x=4096)
    assert for_hologram([DESK, NAMELESS, twin], PANEL, corner=(4096, 0)) is twin


def test_what_the_user_names_comes_first():
    twin = replace(NAMELESS, name="HDMI-2", x=4096)
    assert for_hologram([DESK, NAMELESS, twin], PANEL, "HDMI-2", corner=(2560, 0)) is twin
    assert for_hologram([DESK, GLASS], PANEL, "lkg") is GLASS
    longer = replace(twin, name="HDMI-10")
    assert for_hologram([NAMELESS, longer], PANEL, "HDMI-1") is NAMELESS  # a whole name before a part of one


@pytest.mark.parametrize(
    ("monitors", "name", "said"),
    [
        ([], None, "No monitor is connected"),
        ([DESK], None, "no monitor has the 1536x2048 pixels.*--preview.*DP-1"),
        ([NAMELESS, replace(NAMELESS, name="HDMI-2")], None, "several monitors.*--monitor.*HDMI-1.*HDMI-2"),
        ([DESK, GLASS], "HDMI-9", "no monitor is called 'HDMI-9'.*HDMI-1"),
        ([DESK, GLASS], "D", "several monitors are called 'D'"),
        ([replace(GLASS, width=2048, height=1536)], None, "turned.*xrandr --output HDMI-1 --rotate normal"),
        ([replace(GLASS, width=1920, height=1080)], None, "not at its native 1536x2048.*--mode 1536x2048"),
        ([DESK, GLASS], "DP-1", "not at its native"),
        ([replace(GLASS, scale=2.0)], None, "scaled by 2.*100 %"),
    ],
)
def test_refusals_name_the_fault_and_the_remedy(monitors, name, said):
    with pytest.raises(MonitorRefused, match=f"(?s){said}"):
        for_hologram(monitors, PANEL, name)


def test_a_preview_takes_any_monitor_but_rather_not_the_glass():
    assert for_preview([GLASS, DESK]) is DESK
    assert for_preview([GLASS]) is GLASS
    assert for_preview([DESK, GLASS], "hdmi") is GLASS
    with pytest.raises(MonitorRefused, match="no monitor is connected"):
        for_preview([])


def edid(name: str) -> bytes:
    """128 bytes with the fixed header, a serial descriptor and, third, the monitor's name (VESA E-EDID 1.4, 3.10.3)."""
    block = bytearray(128)
    block[:8] = b"\x00\xff\xff\xff\xff\xff\xff\x00"
    block[72:90] = b"\x00\x00\x00\xff\x00" + b"12345\n".ljust(13)
    block[90:108] = b"\x00\x00\x00\xfc\x00" + f"{name}\n".encode().ljust(13)[:13]
    return bytes(block)


def rows(block: bytes) -> str:
    return "".join(f"\t\t{block[at : at + 16].hex()}\n" for at in range(0, len(block), 16))


XRANDR = f"""Screen 0: minimum 320 x 200, current 4096 x 2048, maximum 16384 x 16384
DP-1 connected primary 2560x1440+0+0 (normal left inverted right x axis y axis) 597mm x 336mm
\tGAMMA_LUT_SIZE: 4096
\tHDR:
{rows(bytes(16))}\tEDID:
{rows(edid("DELL U2717D"))}\tscaling mode: Full aspect
\t\tsupported: Full, Center, Full aspect
   2560x1440     59.95*+
HDMI-1 connected 3072x4096+2560+0 (normal left inverted right x axis y axis) 120mm x 160mm
\tEDID:
{rows(edid("LKG-P00042") + bytes(128))}\tBroadcast RGB: Automatic
   1536x2048     60.00*+
DP-2 disconnected (normal left inverted right x axis y axis)
\tEDID:
{rows(edid("a ghost"))}VGA-1 connected (normal left inverted right x axis y axis)
"""


def test_names_and_scales_are_read_from_what_xrandr_prints():
    found = outputs(XRANDR)
    assert set(found) == {"DP-1", "HDMI-1"}
    assert found["DP-1"].model == "DELL U2717D"
    assert (found["HDMI-1"].model, found["HDMI-1"].width, found["HDMI-1"].height) == ("LKG-P00042", 3072, 4096)


def test_what_is_no_edid_names_nothing():
    assert outputs("DP-1 connected 800x600+0+0\n\tEDID: \n" + rows(bytes(128)))["DP-1"].model == ""
    assert outputs("DP-1 connected 800x600+0+0\n\tEDID: \n" + rows(edid("LKG")[:64]))["DP-1"].model == ""
    assert outputs("Can't open display :9\n") == {}
