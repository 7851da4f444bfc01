"""Coloured, textured triangles seen by many cameras at once: the pictures that each camera alone has."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("numba")

from display import optics
from display.optics import Cameras
from display.screen import Screen, fan_yaws
from engines.raster import fan, textured


@dataclass(frozen=True)
class Scene:
    """A dented ball before the cameras, wound counter-clockwise from outside, in every kind of colouring."""

    points: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    light: np.ndarray
    texture: np.ndarray


def ball(seed: int, around: int = 40, down: int = 20) -> Scene:
    chance = np.random.default_rng(seed)
    across, along = np.meshgrid(np.arange(around), np.arange(down + 1))
    longitude, latitude = 2 * np.pi * across / around, np.pi * along / down
    radius = 0.3 * (1 + 0.15 * chance.random(longitude.shape))
    points = radius[..., None] * np.stack(
        [np.sin(latitude) * np.sin(longitude), np.cos(latitude), np.sin(latitude) * np.cos(longitude)], 2
    )
    here, right = along[:-1] * around + across[:-1], along[:-1] * around + (across[:-1] + 1) % around
    both = [np.stack([here, here + around, right], 2), np.stack([right, here + around, right + around], 2)]
    count = points.size // 3
    colours = np.concatenate([chance.uniform(0, 255, (count, 3)), chance.integers(-1, 3, (count, 1)).clip(0, 1)], 1)
    return Scene(
        (points.reshape(-1, 3) + optics.LOOK_AT).astype(np.float32),
        np.concatenate([part.reshape(-1, 3) for part in both]).astype(np.int32),
        chance.uniform(-3, 70, (count, 2)).astype(np.float32),
        colours.astype(np.float32),
        chance.uniform(0.4, 1.2, count).astype(np.float32),
        chance.integers(0, 256, (60, 66, 3), np.uint8),
    )


def one_by_one(scene: Scene, cameras: Cameras) -> np.ndarray:
    """[V, H, W, 4] by the definition."""
    shape = cameras.height, cameras.width
    pictures = np.empty((len(cameras), *shape, 4), np.uint8)
    for picture, cam2world, intrinsics in zip(pictures, cameras.cam2world, cameras.intrinsics, strict=True):
        places = textured.project(scene.points, cam2world, intrinsics, cameras.width, cameras.height)
        owner, depth = np.empty(shape, np.int32), np.empty(shape, np.float32)
        textured.draw(
            places, scene.triangles, scene.uv, scene.colours, scene.light, scene.texture, owner, depth, picture
        )
    return pictures


def at_once(scene: Scene, cameras: Cameras) -> np.ndarray:
    """[V, H, W, 4] likewise."""
    out = np.empty((len(cameras), cameras.height, cameras.width), np.uint32)
    look = fan.look(scene.uv, scene.colours, scene.light)
    fan.draw(scene.points, cameras.cam2world, cameras.intrinsics, scene.triangles, look, fan.words(scene.texture), out)
    return out.view(np.uint8).reshape(*out.shape, 4)


@pytest.mark.parametrize(("views", "width", "height"), [(1, 200, 160), (5, 64, 96), (16, 97, 71)])
def test_pictures_drawn_at_once_are_those_drawn_one_by_one(views: int, width: int, height: int) -> None:
    scene = ball(views)
    cameras = optics.fan(Screen("some", views, 1, views * width, height, width / height, fan_yaws(views)))
    defined, made = one_by_one(scene, cameras), at_once(scene, cameras)
    assert (defined[..., :3].max(-1) > 0).mean() > 0.2
    apart = np.abs(defined.astype(int) - made).max(-1)
    # texels are mixed by weights of 1/256: under 1 of 255 even between black and white, and truncating makes that 1 or 2
    assert (apart <= 2).mean() > 0.999, "but for pixels on an edge"
    assert (apart <= 1).mean() > 0.97
    assert abs((made.astype(int) - defined)[..., :3].mean()) < 0.1, "neither darker nor lighter"


def test_a_closed_surface_has_no_holes() -> None:
    """Neighbours in 32 bits must not both refuse a pixel between them."""
    scene = ball(3, around=300, down=150)
    grey = np.full_like(scene.colours, 200) * np.array([1, 1, 1, 0], np.float32)
    lit = replace(scene, colours=grey, light=np.ones_like(scene.light))
    cameras = optics.fan(Screen("some", 8, 1, 8 * 128, 128, 1.0, fan_yaws(8)))
    made, defined = at_once(lit, cameras), one_by_one(lit, cameras)
    assert ((made[..., 0] == 0) & (defined[..., 0] > 0)).sum() == 0


def test_what_lies_behind_a_camera_or_beside_its_picture_does_no_harm() -> None:
    scene = ball(4)
    cameras = optics.fan(Screen("some", 3, 1, 3 * 64, 64, 1.0, fan_yaws(3)))
    for shift in ([0, 0, 4.0], [5.0, 0, 0], [0, 9e3, 0], [0.33, 0.3, 0]):
        moved = replace(scene, points=(scene.points + shift).astype(np.float32))
        apart = np.abs(one_by_one(moved, cameras).astype(int) - at_once(moved, cameras)).max(-1)
        assert (apart <= 2).mean() > 0.999, shift
    with pytest.raises(AssertionError, match="not finite"):
        at_once(replace(scene, points=np.full_like(scene.points, np.nan)), cameras)
