"""The mannequin: a head whose truth is known, its Gaussians beside its triangles, and its file."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from display import optics
from engines.actions import ACTIONS, INDEX
from engines.raster import textured
from engines.splats import exporting, importing, mannequin, plain, raster, subdivision
from engines.splats.avatar import SplatAvatar
from tests import gaussians

SIDE = 160


@cache
def imported() -> SplatAvatar:
    return importing.made(importing.bring(exporting.packed()).arrays)


def to_world() -> tuple[float, np.ndarray]:
    """(gain, shift) by which the importer brings the mannequin's centimetres into the world."""
    there, here = imported().points, mannequin.painted().vertices
    gain = float(np.ptp(there[:, 1]) / np.ptp(here[:, 1]))
    return gain, there.mean(axis=0) - gain * here.mean(axis=0)


def triangles_drawn(coefficients: np.ndarray, yaw: float) -> np.ndarray:
    """[SIDE, SIDE, 3] 0..255: the mesh itself, four times as fine and averaged."""
    mesh, (gain, shift), side = mannequin.painted(), to_world(), 4 * SIDE
    vertices = (mesh.vertices + np.tensordot(coefficients, mesh.actions, 1)) * gain + shift
    shown = np.column_stack([255 * mesh.colours, np.zeros(len(vertices))]).astype(np.float32)
    places = textured.project(vertices, optics.orbit(yaw), optics.intrinsics(), side, side)
    out = np.empty((side, side, 4), np.uint8)
    textured.draw(
        places, mesh.triangles, np.zeros((len(vertices), 2), np.float32), shown, np.ones(len(vertices), np.float32),
        np.zeros((2, 2, 3), np.uint8), np.empty((side, side), np.int32), np.empty((side, side), np.float32), out,
    )  # fmt: skip
    return out[..., :3].reshape(SIDE, 4, SIDE, 4, 3).mean((1, 3))


def shown(name: str, size: float = 1.0) -> np.ndarray:
    coefficients = np.zeros(len(ACTIONS), np.float32)
    for side in ("", "Left", "Right"):
        if name + side in INDEX:
            coefficients[INDEX[name + side]] = size
    return coefficients


def test_it_comes_back_as_it_was_made() -> None:
    mesh, avatar, (gain, _) = mannequin.painted(), imported(), to_world()
    assert len(avatar) == len(mesh.vertices)
    np.testing.assert_allclose(avatar.colours, mesh.colours, atol=1e-6)
    np.testing.assert_allclose(avatar.scales, mannequin.surfels(mesh)[0] * gain, rtol=1e-3)
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight"):
        coefficients = np.zeros(len(ACTIONS), np.float32)
        coefficients[INDEX[name]] = 1
        moved = avatar.posed(coefficients) - avatar.points
        np.testing.assert_allclose(moved, mesh.actions[INDEX[name]] * gain, atol=5e-5)
    assert "nobody" in importing.bring(exporting.packed()).licence


def test_it_is_the_same_bytes_every_time() -> None:
    assert exporting.packed() == exporting.packed()


@pytest.mark.parametrize(
    ("name", "yaw"), [("", 0.0), ("", -17.0), ("jawOpen", 17.0), ("mouthSmile", 5.0), ("eyeBlink", 0.0)]
)
def test_its_gaussians_look_like_its_triangles(name: str, yaw: float) -> None:
    """Seen: 5 to 8 levels of 255 in the middle of the face, 2.4 to 3.2 % of pixels beside the outline, which is as wide as a Gaussian."""
    coefficients, avatar = shown(name), imported()
    cameras = gaussians.cameras(yaw, width=SIDE, height=SIDE)
    seen = raster.draw(torch.from_numpy(avatar.posed(coefficients)), plain.prepared(avatar), cameras)[
        0, ..., :3
    ].numpy()
    truth = triangles_drawn(coefficients, yaw)
    middle = slice(SIDE * 3 // 10, SIDE * 7 // 10)
    assert np.abs(seen[middle, middle] - truth[middle, middle]).mean() < 9
    outline = np.abs((seen.sum(2) > 150).astype(int) - (truth.sum(2) > 150))[: SIDE * 9 // 10]
    assert outline.mean() < 0.045


def test_looks_turn_eyeballs_and_jaw_takes_the_lower_teeth_along() -> None:
    mesh = mannequin.painted()
    moved = {name: np.abs(mesh.actions[INDEX[name]]).max(1) > 0.2 for name in ("eyeLookOutLeft", "jawOpen")}
    assert (mesh.vertices[moved["eyeLookOutLeft"], 0] > 0.5).all()
    white = (mesh.colours > 0.45).all(1) & (np.abs(mesh.vertices[:, 0]) < 1.0)
    teeth = (
        white & (np.abs(mesh.vertices[:, 1] + 5.0) < 0.3) & (mesh.vertices[:, 2] < 5.3) & (mesh.vertices[:, 2] > 4.0)
    )
    assert teeth.any()
    assert moved["jawOpen"][teeth].all()


class TestSubdivision:
    def test_a_plane_stays_one_and_a_rim_stays_a_rim(self) -> None:
        values = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], np.float32)
        triangles = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
        finer, more = subdivision.loop(values, triangles)
        assert (len(finer), len(more)) == (4 + 5, 8)
        assert (finer[:, 2] == 1).all()
        assert len(subdivision.edges(more)[0]) == 5 * 2 + 2 * 3
        np.testing.assert_allclose(finer[4:], values[subdivision.edges(triangles)[0]].mean(1), atol=0.13)

    def test_a_closed_body_stays_closed_and_its_middle_stays(self) -> None:
        corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
        faces = np.array(
            [[4, 0, 2], [4, 2, 1], [4, 1, 3], [4, 3, 0], [5, 2, 0], [5, 1, 2], [5, 3, 1], [5, 0, 3]], np.int32
        )
        for _ in range(2):
            corners, faces = subdivision.loop(corners, faces)
        _, which = subdivision.edges(faces)
        assert (np.bincount(which.ravel()) == 2).all()
        np.testing.assert_allclose(corners.mean(0), 0, atol=1e-6)
        radii = np.linalg.norm(corners, axis=1)
        assert radii.max() / radii.min() < 1.2
