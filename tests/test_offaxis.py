"""Orbit views become off-axis views by a homography, whatever the depth: the same scene, traced both ways."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from display import offaxis
from display.optics import HALF_PICTURE, LOOK_AT, Cameras, fan
from display.screen import Screen, fan_yaws
from display.views import ViewSet
from tests.traced import along, through, traced

SIDE = 128


def five(aspect: float = 1.0) -> Cameras:
    return fan(Screen("five", 5, 1, 5 * round(SIDE * aspect), SIDE, aspect, fan_yaws(5)))


def places(cameras: Cameras, view: int, points: np.ndarray) -> np.ndarray:
    """[N, 2]: where a camera sees world `points` [N, 3], 0..1 over its picture."""
    world2cam = np.linalg.inv(cameras.cam2world[view].astype(np.float64))
    seen = cameras.intrinsics[view].astype(np.float64) @ (world2cam[:3, :3] @ points.T + world2cam[:3, 3:])
    return (seen[:2] / seen[2]).T


def moved(matrix: np.ndarray, at: np.ndarray) -> np.ndarray:
    to = matrix @ np.concatenate([at, np.ones((len(at), 1))], axis=1).T
    return (to[:2] / to[2]).T


def inside(matrix: np.ndarray, margin: float) -> np.ndarray:
    """[SIDE, SIDE] bool: places whose counterpart in the orbit picture exists."""
    grid = (np.arange(SIDE) + 0.5) / SIDE
    at = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    to = moved(matrix, at)
    return ((to > margin) & (to < 1 - margin)).all(axis=1).reshape(SIDE, SIDE)


@settings(deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-0.3, 0.8), st.sampled_from([0.5625, 0.75, 1.0, 1.7778]))
def test_a_point_at_any_depth_goes_where_the_off_axis_camera_sees_it(x: float, y: float, z: float, aspect: float):
    orbit, point = five(aspect), np.array([[x, y, z]])
    straight, matrices = offaxis.cameras(orbit), offaxis.homographies(orbit)
    for view in range(5):
        assert np.allclose(moved(matrices[view], places(straight, view, point)), places(orbit, view, point), atol=1e-6)


@settings(deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1))
def test_all_off_axis_cameras_see_the_glass_in_one_place(x: float, y: float):
    orbit = five()
    straight = offaxis.cameras(orbit)
    on_glass = LOOK_AT + HALF_PICTURE * np.array([[x, y, 0.0]])
    middle = places(orbit, 2, on_glass)
    assert all(np.allclose(places(straight, view, on_glass), middle, atol=1e-6) for view in range(5))
    bent = places(orbit, 4, on_glass) - middle
    assert abs(x * y) < 0.1 or np.abs(bent).max() > 1e-3  # orbiting cameras do not


def test_a_traced_scene_is_the_same_warped_or_rendered_off_axis():
    orbit = five()
    straight, matrices = offaxis.cameras(orbit), offaxis.homographies(orbit)
    rendered = np.stack([traced(through(orbit, view))[0] for view in range(5)])
    warped = warp(rendered, matrices)
    for view in range(5):
        compare(warped[view], traced(through(straight, view)), rendered[view], matrices[view])


def test_a_scene_traced_in_parallel_is_too():
    orbit = five()
    matrices = offaxis.homographies(orbit, parallel=True)
    rendered = np.stack([traced(along(orbit, view, window=False))[0] for view in range(5)])
    warped = warp(rendered, matrices)
    for view in range(5):
        compare(warped[view], traced(along(orbit, view, window=True)), rendered[view], matrices[view])


@pytest.mark.parametrize("focus", [0.0, 0.07])
def test_parallel_cameras_see_at_once_what_the_homography_would_have_made(focus: float):
    orbit = five(0.75)
    matrices = offaxis.homographies(orbit, focus=focus, parallel=True)
    before, after = orbit.intrinsics, offaxis.reframed(orbit, matrices).intrinsics
    assert np.allclose(matrices @ after, before, atol=1e-6)
    assert np.allclose(after[:, 1], before[:, 1])
    assert np.allclose(after[:, 0, 1], 0)  # still a focal length and a middle, nothing else


def test_focus_slides_each_view_by_its_place_in_the_fan():
    orbit = five()
    matrices, still = offaxis.homographies(orbit, focus=0.1), offaxis.homographies(orbit)
    middle = np.array([[0.5, 0.5]])
    slid = [moved(np.linalg.inv(still[view]) @ matrices[view], middle)[0] - 0.5 for view in range(5)]
    assert np.allclose(slid, [[-0.08, 0], [-0.04, 0], [0, 0], [0.04, 0], [0.08, 0]], atol=1e-6)


def test_a_picture_that_has_to_show_more_than_was_rendered_goes_on_with_its_edge():
    matrix = np.eye(3) + np.array([[0, 0, 0.5], [0, 0, 0], [0, 0, 0]])
    row = np.arange(8, dtype=np.uint8)[None, :, None]
    assert offaxis.plainly_straightened(row, matrix)[0, :, 0].tolist() == [4, 5, 6, 7, 7, 7, 7, 7]


@pytest.mark.parametrize("parallel", [False, True])
def test_all_views_at_once_are_what_one_by_one_are(parallel: bool):
    random = np.random.default_rng(1).integers(0, 256, (5, 40, 64, 4), dtype=np.uint8)
    matrices = offaxis.homographies(five(1.6), focus=0.03, parallel=parallel)
    views = offaxis.straightened(ViewSet(torch.from_numpy(random), first=7), matrices)
    one_by_one = np.stack([offaxis.plainly_straightened(*each) for each in zip(random, matrices, strict=True)])
    assert views.first == 7
    assert np.abs(views.images.numpy().astype(int) - one_by_one).max() <= 1
    assert (views.images.numpy() != one_by_one).mean() < 0.001


def warp(rendered: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    opaque = np.pad(rendered, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)
    return offaxis.straightened(ViewSet(torch.from_numpy(opaque)), matrices).images.numpy()[..., :3]


def compare(warped: np.ndarray, wanted: tuple[np.ndarray, np.ndarray], before: np.ndarray, matrix: np.ndarray) -> None:
    """Measured: 99 % of the pixels that lie on no silhouette within 3 of 255, all within 11, and each quarter of the picture
    in its place to 0.008 pixels; unwarped, quarters lie up to 1.8 pixels elsewhere. The middle view stays as it is."""
    picture, smooth = wanted
    known = inside(matrix, 0.01)
    assert known.mean() > 0.94
    wrong = np.abs(warped.astype(int) - picture).max(axis=2)
    assert np.percentile(wrong[known & smooth], 99) <= 4
    assert wrong[known & smooth].max() <= 14
    assert displacement(warped, picture, known & smooth).max() < 0.02
    turned = np.abs(matrix - np.eye(3)).max() > 1e-6
    assert (displacement(before, picture, known & smooth).max() > 0.3) == turned


def displacement(seen: np.ndarray, wanted: np.ndarray, where: np.ndarray) -> np.ndarray:
    """[4]: by how many pixels each quarter of a picture lies elsewhere than in `wanted`, by least squares."""
    down, across = np.gradient(wanted.astype(float), axis=(0, 1))
    wrong = seen.astype(float) - wanted
    half = SIDE // 2
    found = []
    for rows, columns in itertools.product((slice(0, half), slice(half, SIDE)), repeat=2):
        used = where[rows, columns]
        slopes = np.stack([across[rows, columns][used].ravel(), down[rows, columns][used].ravel()], axis=1)
        found.append(np.hypot(*np.linalg.lstsq(slopes, wrong[rows, columns][used].ravel(), rcond=None)[0]))
    return np.array(found)
