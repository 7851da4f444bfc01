"""Interlacing by its laws, and against what the official shaders make of the same quilts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from display import offaxis
from display.calibration import Calibration
from display.lenticular import CellTable, Filter, Window, cell_numbers, interlace, places
from display.optics import fan
from display.screen import PRODUCT, Screen, fan_yaws, screen
from display.tiling import OFF_AXIS, Tiling, named
from tests.looking_glass import definition
from tests.panels import CELLS, FLIPPED, PANELS, STRIPES, case, cases, noisy, numbered, tile
from tests.traced import through, traced

TWENTY_FOUR = Tiling(6, 4, 24, 6 * 16, 4 * 16, 1.0)
AMBIGUOUS = 0.001
"Views from a border between two of them; there rounding decides."


def everywhere(panel: Calibration, channel: int, cells: CellTable = CellTable.BRIDGE) -> np.ndarray:
    """[H, W] places of all subpixels of one colour, top row first."""
    y, x = np.mgrid[panel.height - 1 : -1 : -1, 0 : panel.width]
    return places(x, y, panel, channel, cells)


def decided(place: np.ndarray) -> np.ndarray:
    """[h, w, 3] bool of places in views: where no rounding can choose another view."""
    return np.abs(place - np.round(place)) >= AMBIGUOUS


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("filter", Filter)
def test_golden_panels(name: str, filter: Filter):
    one = case(name)
    for wanted in one.wanted():
        shown = interlace(one.quilt, one.tiling, one.calibration, filter=filter, window=wanted.window, **one.options)
        right = wanted.nearest if filter is Filter.NEAREST else wanted.blended
        wrong = np.abs(shown.astype(int) - right)
        assert wrong[decided(wanted.place)].max() <= 1
        assert (wrong > 1).mean() <= 0.003


@pytest.mark.parametrize("name", cases())
def test_golden_views(name: str):
    one = case(name)
    for wanted in one.wanted():
        left, top, width, height = wanted.window
        y, x = np.mgrid[
            one.calibration.height - 1 - top : one.calibration.height - 1 - top - height : -1, left : left + width
        ]
        found = np.stack([places(x, y, one.calibration, c, one.options["cells"]) for c in range(3)], axis=-1)
        assert np.abs(found * one.tiling.views - wanted.place).max() < 1e-4
        agree = np.floor(found * one.tiling.views) == wanted.view
        assert agree[decided(wanted.place)].all()


@pytest.mark.parametrize("name", cases("full_frame_view_histogram_rgb"))
def test_golden_share_of_each_view_on_the_whole_panel(name: str):
    one = case(name)
    for channel, wanted in enumerate(one.facts["full_frame_view_histogram_rgb"]):
        view = np.floor(everywhere(one.calibration, channel, one.options["cells"]) * one.tiling.views).astype(int)
        share = np.bincount(view.ravel(), minlength=one.tiling.views)
        assert np.abs(share - wanted).sum() <= 0.001 * view.size


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_the_tile_with_the_number_k_is_where_view_k_is_sent(panel: Calibration):
    shown = interlace(numbered(TWENTY_FOUR), TWENTY_FOUR, panel, filter=Filter.NEAREST, overscan=True)
    for channel in range(3):
        assert (shown[..., channel] == np.floor(everywhere(panel, channel) * 24)).all()
    assert np.unique(shown).tolist() == list(range(24))


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_blended_views_rise_evenly_and_the_last_one_never_meets_the_first(panel: Calibration):
    shown = interlace(10 * numbered(TWENTY_FOUR), TWENTY_FOUR, panel, overscan=True)
    for channel in range(3):
        even = np.minimum(everywhere(panel, channel) * 24, 23) * 10
        assert np.abs(shown[..., channel] - even).max() <= 0.5 + 1e-6


@settings(deadline=None)
@given(st.integers(0, 90), st.integers(0, 50), st.sampled_from(list(PANELS)), st.integers(0, 2), st.integers(1, 3))
def test_a_lens_sends_one_place_along_its_whole_length(x: int, y: int, name: str, channel: int, steps: int):
    panel = replace(PANELS[name], slope=-5.0, cell_mode=0, flip_image_x=False)
    # a run of one pixel over a rise of five
    here, there = (places(np.array(x + i), np.array(y + 5 * i), panel, channel, CellTable.BRIDGE) for i in (0, steps))
    assert abs(here - there) < 1e-9 or abs(here - there) > 1 - 2e-5


@pytest.mark.parametrize("panel", [STRIPES, FLIPPED], ids=["stripes", "flipped"])
def test_three_stripes_make_a_pixel(panel: Calibration):
    order = sorted(range(3), key=lambda channel: panel.stripes[channel])
    one, other = (everywhere(panel, channel) for channel in (order[0], order[1]))
    step = (other - one) % 1
    expected = panel.subpixel * panel.lens_pitch * (-1 if panel.invert_views else 1)
    assert np.allclose(step, expected % 1, atol=2.1e-5)  # places keep 1e-5 off the ends


def test_inverted_views_run_the_other_way():
    one, other = (everywhere(replace(STRIPES, invert_views=invert), 1) for invert in (True, False))
    assert np.allclose(one + other, 1, atol=2e-5)


def test_cells_by_both_tables():
    y, x = np.mgrid[0:8, 0:8]
    four = replace(CELLS, cells=CELLS.cells * 2)
    by_hand = {
        (CellTable.BRIDGE, 0): 0 * x, (CellTable.FORK, 0): 0 * x,
        (CellTable.BRIDGE, 1): (x + y) % 2, (CellTable.FORK, 1): (x + y) % 2,
        (CellTable.BRIDGE, 2): x % 2, (CellTable.FORK, 2): y % 4,
        (CellTable.BRIDGE, 3): (y + 2 * (x % 2)) % 4, (CellTable.FORK, 3): (y + 2 * (x % 2)) % 4,
        (CellTable.BRIDGE, 4): y % 2, (CellTable.FORK, 4): x % 2,
    }  # fmt: skip
    for (table, mode), wanted in by_hand.items():
        assert (cell_numbers(x, y, replace(four, cell_mode=mode), table) == wanted).all()
        assert (cell_numbers(x, y, replace(CELLS, cell_mode=mode), table) == wanted % 2).all()


def test_no_tile_bleeds_into_another_nor_does_padding():
    padded = Tiling(5, 3, 13, 5 * 7 + 3, 3 * 9 + 2, STRIPES.aspect)
    quilt = np.full((padded.height, padded.width, 3), 255, np.uint8)
    for view in range(padded.views):
        tile(quilt, padded, view)[...] = 100 if view == 6 else 10
    shown = interlace(quilt, padded, STRIPES, filter=Filter.NEAREST)
    for channel in range(3):
        sixth = np.floor(everywhere(STRIPES, channel) * 13) == 6
        assert (shown[..., channel] == np.where(sixth, 100, 10)).all()


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6, 2.5])
def test_a_picture_of_another_shape_is_shown_whole_or_fills_the_panel(aspect: float):
    tiling = replace(TWENTY_FOUR, aspect=aspect)
    bright = np.full((tiling.height, tiling.width, 4), 200, np.uint8)
    whole = interlace(bright, tiling, STRIPES) > 0
    height, width = whole.any(axis=(1, 2)).sum(), whole.any(axis=(0, 2)).sum()
    assert (height == STRIPES.height) or (width == STRIPES.width)
    assert width / height == pytest.approx(aspect, rel=0.04)
    assert (interlace(bright, tiling, STRIPES, overscan=True) == 200).all()


@pytest.mark.parametrize("window", [(0, 0, 90, 54), (0, 0, 1, 1), (89, 53, 1, 1), (13, 7, 31, 20), (60, 0, 30, 54)])
def test_a_window_is_a_part_of_the_whole(window: Window):
    quilt, (left, top, width, height) = noisy(TWENTY_FOUR), window
    whole = interlace(quilt, TWENTY_FOUR, CELLS)
    part = interlace(quilt, TWENTY_FOUR, CELLS, window=window)
    assert (part == whole[top : top + height, left : left + width]).all()


def test_working_in_bands_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    quilt = noisy(TWENTY_FOUR)
    at_once = interlace(quilt, TWENTY_FOUR, STRIPES)
    monkeypatch.setattr("display.lenticular.BAND_PIXELS", 7 * STRIPES.width + 1)
    assert (interlace(quilt, TWENTY_FOUR, STRIPES) == at_once).all()


def test_depth_uses_the_middle_of_the_fan():
    shown = interlace(numbered(TWENTY_FOUR), TWENTY_FOUR, STRIPES, filter=Filter.NEAREST, overscan=True, depth=0.5)
    assert np.unique(shown).tolist() == list(range(6, 18))
    flat = interlace(numbered(TWENTY_FOUR), TWENTY_FOUR, STRIPES, filter=Filter.NEAREST, overscan=True, depth=0)
    assert np.unique(flat).tolist() == [12]


def test_focus_slides_the_outer_views_apart():
    ramp = np.zeros((64, 24 * 100, 3), np.uint8)
    tiling = Tiling(24, 1, 24, 24 * 100, 64, STRIPES.aspect)
    for view in range(24):
        tile(ramp, tiling, view)[...] = np.arange(50, 150)[None, :, None]
    still, slid = (
        interlace(ramp, tiling, STRIPES, filter=Filter.NEAREST, focus=focus).astype(int) for focus in (0, 0.1)
    )
    inner = slice(15, -15)
    for channel in range(3):
        wanted = (2 * everywhere(STRIPES, channel) - 1) * 0.1 * 100
        assert np.abs((slid - still)[:, inner, channel] - wanted[:, inner]).max() <= 1.1


def test_orbit_views_are_straightened_while_they_are_sampled():
    """Measured: on average 0.35 of 255 off the same panel made of off-axis views; unstraightened it is 6.9."""
    target = Screen("five", 5, 1, 5 * 120, 120, 1.0, fan_yaws(5))
    panel = replace(STRIPES, width=240, height=240)
    orbit = fan(target)
    straight = offaxis.cameras(orbit)
    turned, wanted = (
        np.concatenate([traced(through(cameras, view))[0] for view in range(5)], axis=1)
        for cameras in (orbit, straight)
    )
    as_orbit = Tiling.of(target)
    flat = replace(as_orbit, fan_degrees=0.0)
    inner = slice(10, -10)  # corners ask for a little more than was rendered
    right = interlace(wanted, flat, panel).astype(int)[inner, inner]
    straightened, untouched = (interlace(turned, tiling, panel)[inner, inner] for tiling in (as_orbit, flat))
    assert np.abs(straightened - right).mean() < 0.6
    assert np.abs(untouched - right).mean() > 5


def test_parallel_views_are_only_stretched():
    product = Tiling.of(screen(PRODUCT), parallel=True)
    assert product.fan_degrees == 35
    rows = np.zeros((1024, 1536, 3), np.uint8)
    rows[...] = (np.arange(1024) % 256)[:, None, None]
    panel = replace(STRIPES, width=128, height=128)
    assert (interlace(rows, product, panel) == interlace(rows, replace(product, fan_degrees=0.0), panel)).all()
    central = interlace(rows, Tiling.of(screen(PRODUCT)), panel).astype(int)
    assert np.abs(central - interlace(rows, product, panel)).max() > 3  # a keystone moves rows


@pytest.mark.parametrize(
    ("name", "grid"),
    [
        ("head_qs6x4a0.75.mp4", (6, 4, 0.75)), ("a_qs11x6a.5625.png", (11, 6, 0.5625)), ("x_qs8x6a1.7777777.webm", (8, 6, 1.7777777)),
        ("plain.mp4", None), ("x_qs0x6a1.png", None), ("x_qs8x6.png", None), ("x_qs900x900a1.png", None), ("x_qs8x6a0.png", None),
    ],
)  # fmt: skip
def test_a_file_name_tells_its_tiling(name: str, grid: tuple[int, int, float] | None):
    found = named(name, 800, 600)
    assert (found and (found.columns, found.rows, found.aspect)) == grid
    assert found is None or (found.views, found.width, found.fan_degrees) == (found.columns * found.rows, 800, 0.0)


def test_our_own_file_names_are_read_back():
    for name in (PRODUCT, "portrait", "16_gen3_l"):
        target = screen(name)
        found = named(f"me{target.file_suffix}.mp4", target.quilt_width, target.quilt_height)
        assert found is not None
        assert (found.columns, found.rows, found.views) == (target.columns, target.rows, target.views)
        assert found.aspect == pytest.approx(target.aspect, rel=1e-3)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_note_tells_the_cameras_that_a_name_does_not(parallel: bool):
    ours = Tiling.of(screen(PRODUCT), parallel)
    found = named("me_qs6x4a1.mp4", ours.width, ours.height)
    assert found is not None
    assert found.noted(ours.note) == ours
    assert ours.noted(OFF_AXIS) == ours.noted(found.note) == found


@pytest.mark.parametrize(
    "note", ["", "Lavf", "telequilt: orbit 35", "telequilt: orbit 999 parallel", "telequilt: off-axis!"]
)
def test_what_other_programs_note_changes_nothing(note: str):
    ours = Tiling.of(screen(PRODUCT), parallel=True)
    assert ours.noted(note) == ours


@pytest.mark.parametrize("name", ["first_padded", "spatial_fork"])
def test_what_is_kept_is_what_the_definition_says(name: str):
    made = definition.arrays(definition.CASES[name])
    with np.load(definition.GOLDEN / f"{name}.npz") as kept:
        assert sorted(kept) == sorted(made)
        for key, values in made.items():
            places = key.startswith("s_")
            assert np.abs(kept[key].astype(float) - values).max() <= (1e-4 if places else 0), key
