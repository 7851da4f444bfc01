"""Screens, cameras and the quilt, tested by their laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from display.label import SAFE_SHARE, coverage, mark
from display.optics import FOCAL, HALF_PICTURE, LOOK_AT, Cameras, fan, intrinsics, orbit
from display.quilt import compose, tile_of
from display.screen import PRODUCT, Screen, UnknownScreen, fan_yaws, screen, screens
from display.views import ViewSet

angles = st.floats(-40, 40)


def painted(target: Screen) -> ViewSet:
    images = torch.zeros((target.views, target.tile_height, target.tile_width, 4), dtype=torch.uint8)
    images += torch.arange(1, target.views + 1, dtype=torch.uint8)[:, None, None, None]
    return ViewSet(images)


def test_the_product_quilt_is_24_views_over_35_degrees():
    product = screen(PRODUCT)
    assert (product.columns, product.rows, product.views) == (6, 4, 24)
    assert (product.yaws_degrees[0], product.yaws_degrees[-1]) == (-17.5, 17.5)
    assert product.file_suffix == "_qs6x4a1"


@pytest.mark.parametrize("name", screens())
def test_every_device_preset_makes_a_quilt(name: str):
    target = screen(name)
    assert target.tile_width * target.columns <= target.quilt_width
    assert target.views == len(fan(target))
    assert mark(target).keep.shape[2] < target.tile_width


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 5), (20, 30), (40, 24), (60, 200), (90, 16), (300, 8)])
def test_a_tile_too_small_for_the_mark_gets_a_smaller_one(width: int, height: int):
    """A calibration may ask for any grid."""
    target = Screen("tiny", 3, 2, 3 * width, 2 * height, 1.0, fan_yaws(6))
    marked = compose([painted(target)], target, mark(target)).pixels
    assert marked.shape[:2] == (2 * height, 3 * width)
    if min(width, height) >= 16:
        assert min(tile_of(marked, target, view)[..., :3].max() for view in range(6)) > 60


def test_an_unknown_screen_is_answered_with_the_known_ones():
    with pytest.raises(UnknownScreen, match="telequilt"):
        screen("holodeck")
    with pytest.raises(UnknownScreen, match="views 0 to 23"):
        screen(PRODUCT).only(24)


def test_view_0_is_bottom_left_and_the_next_is_to_its_right():
    product = screen(PRODUCT)
    assert product.tile_origin(0) == (0, 768)
    assert product.tile_origin(1) == (256, 768)
    assert product.tile_origin(23) == (1280, 0)


def test_padding_lies_at_the_right_and_at_the_top():
    target = Screen("odd", 5, 3, 103, 100, 1.0, fan_yaws(15))
    pixels = compose([painted(target)], target).pixels
    assert pixels[0].max() == 0
    assert pixels[:, 100:].max() == 0
    assert pixels[1:, :100].min() > 0


@given(st.integers(1, 8), st.integers(1, 8), st.data())
def test_a_quilt_holds_every_view_once_however_it_was_split(columns: int, rows: int, data: st.DataObject):
    views = data.draw(st.integers(1, columns * rows))
    target = Screen("any", columns, rows, columns * 6 + 1, rows * 4 + 1, 1.5, fan_yaws(views))
    whole = painted(target).images
    parts = [
        ViewSet(whole[c.first : c.first + len(c)], c.first) for c in fan(target).split(data.draw(st.integers(1, 9)))
    ]
    pixels = compose(list(reversed(parts)), target).pixels
    for view in range(views):
        assert (tile_of(pixels, target, view) == view + 1).all()
    assert (pixels > 0).any(dim=2).sum() == views * target.tile_width * target.tile_height


def test_a_missing_view_is_our_mistake():
    target = screen(PRODUCT)
    with pytest.raises(AssertionError):
        compose([ViewSet(painted(target).images[:23])], target)


@given(angles, angles)
def test_cameras_look_at_the_middle_of_the_glass(yaw: float, pitch: float):
    camera = orbit(yaw, pitch).astype(np.float64)
    rotation, position = camera[:3, :3], camera[:3, 3]
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-5)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-5)
    seen = rotation.T @ (LOOK_AT - position)
    assert np.allclose(seen, [0, 0, 2.5], atol=1e-5)


@given(st.integers(2, 72))
def test_view_i_mirrors_view_last_minus_i(views: int):
    yaws = np.array(fan_yaws(views))
    assert np.allclose(yaws, -yaws[::-1], atol=1e-5)


def test_a_camera_to_the_right_has_a_positive_yaw():
    cameras = fan(screen(PRODUCT))
    assert np.allclose(np.degrees(cameras.yaws), screen(PRODUCT).yaws_degrees, atol=1e-4)
    assert cameras.cam2world[-1, 0, 3] > 0


def test_the_frontal_camera_is_the_published_one():
    assert np.allclose(orbit(0.0), [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 2.7], [0, 0, 0, 1]], atol=1e-6)
    assert pytest.approx(4.263391, abs=1e-6) == FOCAL
    assert pytest.approx(0.2932, abs=1e-4) == HALF_PICTURE


@given(st.floats(0.4, 2.5))
def test_pixels_are_square_once_shown(aspect: float):
    matrix = intrinsics(aspect)
    width, height = Cameras(orbit(0)[None], matrix[None], 10, 10).span
    assert width / height == pytest.approx(aspect, rel=1e-5)
    assert max(width, height) >= 1 - 1e-6


def test_the_mark_is_in_every_view_and_clear_of_its_edges():
    target = screen(PRODUCT)
    flat = ViewSet(torch.full((24, 256, 256, 4), 120, dtype=torch.uint8))
    plain, marked = compose([flat], target).pixels, compose([flat], target, mark(target)).pixels
    changed = (plain != marked).any(dim=2)
    margin = int(SAFE_SHARE * target.tile_height)
    for view in range(24):
        tile = tile_of(changed[..., None], target, view)[..., 0]
        rows, columns = torch.nonzero(tile, as_tuple=True)
        assert len(rows) > 300
        assert margin <= min(rows.min(), columns.min(), 255 - rows.max(), 255 - columns.max())
        assert tile_of(marked, target, view).max() > 200


def test_the_mark_is_in_every_view_of_a_padded_quilt():
    target = Screen("odd", 3, 2, 3 * 120 + 2, 2 * 100 + 1, 1.2, fan_yaws(5))
    views = torch.full((5, 100, 120, 4), 120, dtype=torch.uint8)
    marked = compose([ViewSet(views)], target, mark(target)).pixels
    assert all(tile_of(marked, target, view)[..., :3].max() > 200 for view in range(5))
    assert marked[:, 360:].max() == 0
    assert marked[1:101, 240:360].max() == 0  # the sixth tile holds no view


def test_the_mark_reads_from_left_to_right():
    letters = coverage(capital=40)
    columns = letters.sum(axis=0)
    gaps = np.flatnonzero((columns[1:] == 0) & (columns[:-1] > 0))
    assert len(gaps) >= 5
    assert 0.05 < letters.mean() < 0.4
