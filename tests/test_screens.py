"""Which quilt a display gets: what it reports counts before tables; other grids are filled only when somebody asks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from display.calibration import CalibrationRejected
from display.optics import fan
from display.screen import PRODUCT, WIDEST_HALF_FAN_DEGREES, nearest_views, preset, reported, screen
from tests.panels import STRIPES

SPATIAL = replace(STRIPES, serial="LKG-J00001", width=3840, height=2160)
QUILT: dict[str, Any] = {"tileX": 7, "tileY": 5, "quiltX": 7000, "quiltY": 4000, "quiltAspect": 1.7778}


def test_the_displays_own_report_counts_more_than_the_table():
    found = reported(QUILT, SPATIAL)
    assert (found.name, found.columns, found.rows, found.views) == ("16_gen3_l", 7, 5, 35)
    assert (found.quilt_width, found.quilt_height, found.aspect) == (7000, 4000, 1.7778)
    assert reported(json.dumps(QUILT), SPATIAL) == found
    assert preset(SPATIAL) == screen("16_gen3_l") != found


def test_without_a_report_the_table_speaks_and_without_a_table_24_views_do():
    assert reported("{}", SPATIAL) == screen("16_gen3_l")
    assert preset(replace(SPATIAL, serial="LKG-Z")) is None
    assert reported({}, replace(SPATIAL, serial="LKG-Z")) == screen(PRODUCT)


def test_an_aspect_that_is_not_reported_is_the_panels():
    assert reported({name: QUILT[name] for name in QUILT if name != "quiltAspect"}, SPATIAL).aspect == 3840 / 2160


@pytest.mark.parametrize("value", [0, -1, 2.5, 1e9, float("nan"), "8", None])
@pytest.mark.parametrize("name", ["tileX", "tileY", "quiltX", "quiltY"])
def test_a_report_that_cannot_be_is_refused_by_name(name: str, value: object):
    with pytest.raises(CalibrationRejected, match=f"defaultQuilt of LKG-J00001: {name} is "):
        reported(QUILT | {name: value}, SPATIAL)


def test_no_report_at_all_is_refused():
    with pytest.raises(CalibrationRejected, match="is not JSON"):
        reported("{", SPATIAL)


@settings(deadline=None)
@given(st.integers(1, 72), st.integers(1, 72))
def test_each_wanted_view_is_the_nearest_by_its_middle(wanted: int, rendered: int):
    chosen = nearest_views(wanted, rendered)
    assert len(chosen) == wanted
    for i, view in enumerate(chosen):
        middle = (i + 0.5) / wanted
        assert abs((view + 0.5) / rendered - middle) <= 0.5 / rendered + 1e-9
    assert list(chosen) == sorted(chosen)


def test_24_views_fill_48_tiles_twice_each():
    assert nearest_views(48, 24) == tuple(view for view in range(24) for _ in range(2))
    assert nearest_views(24, 24) == tuple(range(24))
    assert sorted(np.bincount(nearest_views(45, 24))) == [1] * 3 + [2] * 21


def test_a_filled_screen_has_the_same_tiles_in_another_grid():
    product = screen(PRODUCT)
    wide = product.filled(9, 5)
    assert (wide.columns, wide.rows, wide.views) == (9, 5, 45)
    assert (wide.quilt_width, wide.quilt_height, wide.tile_width, wide.tile_height) == (2304, 1280, 256, 256)
    assert wide.yaws_degrees == tuple(product.yaws_degrees[view] for view in nearest_views(45, 24))


def test_depth_is_how_far_apart_the_cameras_stand():
    product = screen(PRODUCT)
    flat, deep = product.deepened(0.5), product.deepened(1.3)
    assert (flat.yaws_degrees[0], flat.yaws_degrees[-1]) == (-8.75, 8.75)
    assert np.allclose(np.degrees(fan(deep).yaws), deep.yaws_degrees, atol=1e-4)
    assert deep.yaws_degrees[-1] == pytest.approx(22.75)
    assert product.deepened(9).yaws_degrees[-1] == WIDEST_HALF_FAN_DEGREES
    assert product.only(12).deepened(9).views == 1
