"""Framing by its laws: signs and magnitudes of turns, and that crop, landmarks and pose tell the same story."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from display.optics import FOCAL, orbit
from engines.contract import CROP, FaceObservation
from pipeline.preprocess import framing
from pipeline.preprocess.canonical import CANONICAL, MOUTH_CORNERS

WIDTH = 640


def turned(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """[3, 3] in degrees, world axes: yaw to the picture's right, pitch up, roll counter-clockwise as seen; tilt, nod, turn."""
    y, x = np.radians(yaw), -np.radians(pitch)
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return about_y @ about_x @ framing.turn_in_picture(np.radians(roll))


def seen(rotation: np.ndarray, scale: float = 0.02, shift: tuple[float, float] = (0.5, -0.4)) -> np.ndarray:
    """[478, 3] what a tracker sees of the canonical face, in picture widths."""
    return framing.Stance(rotation, scale, np.array([*shift, 0.0])).similarity.apply(CANONICAL) @ framing.UPRIGHT


def observed(points: np.ndarray) -> FaceObservation:
    stance = framing.stance_of(points)
    shape = stance.similarity.undo(points @ framing.UPRIGHT)
    landmarks, pose = framing.in_crop(shape, stance.upright), framing.pose_of(stance.upright)
    return FaceObservation(landmarks, shape, shape, pose, 1.0, roll=stance.roll)


def test_yaw_turns_the_nose_right_pitch_up_and_roll_raises_the_left_eye():
    level = seen(np.eye(3))
    assert seen(turned(yaw=20))[4, 0] > level[4, 0] + 0.02
    assert seen(turned(pitch=20))[4, 1] < level[4, 1] - 0.02
    tilted = seen(turned(roll=20))
    assert tilted[263, 1] < tilted[33, 1] - 0.02  # the person's left eye is right in the picture; y runs down


@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-80, 80))
def test_the_head_rotation_is_the_one_that_made_the_picture(yaw, pitch, roll):
    truth = turned(yaw, pitch, roll)
    found = observed(seen(truth))
    np.testing.assert_allclose(found.head_rotation, truth, atol=1e-4)
    np.testing.assert_allclose(found.shape, CANONICAL, atol=1e-4)


@given(st.floats(-40, 40), st.floats(-25, 25), st.floats(-170, 170))
def test_the_crop_stands_upright(yaw, pitch, roll):
    level, tilted = turned(yaw, pitch), framing.turn_in_picture(np.radians(roll)) @ turned(yaw, pitch)
    np.testing.assert_allclose(observed(seen(tilted)).landmarks, observed(seen(level)).landmarks, atol=0.02)
    np.testing.assert_allclose(observed(seen(tilted)).pose, observed(seen(level)).pose, atol=1e-4)


@given(st.floats(-50, 50), st.floats(-30, 30), st.floats(-90, 90), st.floats(0.005, 0.04), st.floats(0.2, 0.8))
def test_landmarks_lie_where_the_crop_puts_their_pixels(yaw, pitch, roll, scale, across):
    points = seen(turned(yaw, pitch, roll), scale, (across, -0.4))
    to_crop = framing.picture_to_crop(framing.stance_of(points), WIDTH)
    in_picture = points[:, :2] * WIDTH
    np.testing.assert_allclose(
        in_picture @ to_crop[:, :2].T + to_crop[:, 2], observed(points).landmarks[:, :2], atol=0.05
    )


def test_the_average_face_lies_as_in_the_official_framing():
    landmarks = observed(seen(np.eye(3))).landmarks
    assert landmarks[[33, 133, 263, 362], 1].mean() / CROP == pytest.approx(0.37, abs=0.005)
    assert landmarks[[*MOUTH_CORNERS], 1].mean() / CROP == pytest.approx(0.67, abs=0.005)
    assert landmarks[:468, 0].mean() == pytest.approx(CROP / 2, abs=0.01)


def test_a_frontal_face_has_the_frontal_camera():
    np.testing.assert_allclose(framing.pose_of(np.eye(3)), orbit(0), atol=0.006)


@given(st.floats(-60, 60), st.floats(-40, 40))
def test_every_camera_keeps_the_official_distance_and_stands_where_the_face_looks(yaw, pitch):
    pose = framing.pose_of(turned(yaw, pitch))
    assert np.linalg.norm(pose[:3, 3]) == pytest.approx(2.7, abs=1e-4)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-5)
    if abs(yaw) > 20:  # the head turned right is seen from its left, and the world is the head's
        assert np.sign(pose[0, 3]) == -np.sign(yaw)


@given(st.floats(-25, 25), st.floats(-15, 15))
def test_the_camera_sees_the_world_as_the_crop_shows_it(yaw, pitch):
    upright = turned(yaw, pitch)
    pose = framing.pose_of(upright)
    points = CANONICAL[[33, 263, 61, 291, 6]]
    world = framing.WORLD_PER_CM * (points - framing.ORIGIN) + framing.ORIGIN_IN_WORLD
    in_camera = (world - pose[:3, 3]) @ pose[:3, :3]
    pixels = CROP * (FOCAL * in_camera[:, :2] / in_camera[:, 2:] + 0.5)
    # the crop knows no perspective, and the official cameras are not aimed at the fit's origin but rescaled to 2.7
    np.testing.assert_allclose(pixels, framing.in_crop(points, upright)[:, :2], atol=14)


@pytest.mark.parametrize("size", [200, 640, 3000])
def test_the_cut_shows_the_same_at_any_size_of_picture(size):
    points = seen(turned(yaw=10, roll=15), 0.03, (0.5, -0.5))
    y, x = np.mgrid[0:size, 0:size] / size
    pattern = 127 + 60 * np.sin(9 * x) * np.cos(7 * y) + 60 * x * y
    pixels = np.repeat(pattern.astype(np.uint8)[..., None], 3, axis=2)
    stance = framing.stance_of(points)
    to_crop = framing.picture_to_crop(stance, size)
    rows, columns = np.mgrid[0:CROP, 0:CROP]
    back = cv2.invertAffineTransform(to_crop)
    px, py = ((back[i, 0] * columns + back[i, 1] * rows + back[i, 2]) / size for i in (0, 1))
    inside = (px > 0.01) & (px < 0.99) & (py > 0.01) & (py < 0.99)
    truth = 127 + 60 * np.sin(9 * px) * np.cos(7 * py) + 60 * px * py
    for fine in (True, False):
        error = np.abs(framing.cut(pixels, to_crop, fine)[..., 0] - truth)[inside]
        assert inside.mean() > 0.3
        assert error.mean() < 1.5


def test_outside_the_picture_the_crop_is_black():
    white = np.full((100, 100, 3), 255, np.uint8)
    for fine in (True, False):
        crop = framing.cut(white, np.array([[1.0, 0, 200], [0, 1.0, 200]]), fine)
        assert crop[250, 250].tolist() == [255, 255, 255]
        assert crop[:190].max() == 0
        assert crop[:, 310:].max() == 0
