"""The relief renderer's loops beside their twin, on a sheet whose stripes betray a shift of half a pixel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from display.optics import Cameras, intrinsics, orbit
from engines.relief import strips
from engines.relief.drive import drive
from engines.relief.engine import Relief
from engines.relief.plain_raster import render_view
from engines.relief.topology import beside
from pipeline.puppet import scripted

SIDE = 256
PERIOD = 8.0
"Texels of a stripe and its gap: one texel is a pixel of the middle view."
FLAT = np.ones(SIDE, np.float32)


def sheet(across: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """(points [N, 6], triangles [T, 3]) of a square that bulges towards the viewer."""
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(20, 236, across), np.linspace(20, 236, across)))
    z = -60 * np.exp(-((x - 128) ** 2 + (y - 128) ** 2) / 5000)
    points = np.stack([x, y, z, x, y, np.ones(len(x))], axis=1).astype(np.float32)
    at = np.arange(across * across).reshape(across, across)
    a, b, c, d = (part.ravel() for part in (at[:-1, :-1], at[:-1, 1:], at[1:, :-1], at[1:, 1:]))
    return points, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)


def striped(slant: float) -> np.ndarray:
    """[SIDE, SIDE, 4] uint8: stripes that lean by `slant` texels a row."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    grey = (127 + 120 * np.sin(2 * np.pi * (x + slant * y) / PERIOD)).astype(np.uint8)
    return np.dstack([grey, grey, grey, np.full_like(grey, 255)])


def fast(points: np.ndarray, triangles: np.ndarray, texture: np.ndarray, yaw: float, width: int = SIDE) -> np.ndarray:
    """[H, width, 3] float 0..255."""
    one = np.ones(1, np.float32)
    out = np.empty((1, SIDE, width), np.uint32)
    strips.render_rows(
        points, triangles, beside(triangles), np.zeros(len(triangles), bool), texture.view(np.uint32)[..., 0].copy(),
        (width / 2, -30.0), one * np.float32(np.cos(yaw)), one * np.float32(np.sin(yaw)), 0 * one, FLAT, 0, SIDE, out,
    )  # fmt: skip
    return out.view(np.uint8).reshape(SIDE, width, 4)[..., :3].astype(float)


def away(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Mean difference along each row in which the sheet lies, its outline left out."""
    inside = other.max(axis=2) > 0
    for _ in range(3):
        inside[:, 1:-1] &= inside[:, :-2] & inside[:, 2:]
    rows = np.flatnonzero(inside.sum(axis=1) > 40)
    return np.array([np.abs(one[row] - other[row])[inside[row]].mean() for row in rows])


@pytest.mark.parametrize("slant", [0.0, 0.5])
@pytest.mark.parametrize("degrees", [-17.5, -6.0, 0.0, 17.5])
def test_no_row_is_sheared_by_half_a_pixel(degrees: float, slant: float):
    points, triangles = sheet()
    texture, yaw = striped(slant), float(np.radians(degrees))
    plain = render_view(
        points, triangles, np.zeros(len(triangles), bool), texture, (SIDE / 2, -30.0), yaw, SIDE, SIDE
    )  # fmt: skip
    drawn = fast(points, triangles, texture, yaw)
    found = away(drawn, plain)
    assert len(found) > 200
    assert found.max() < 9  # measured: 3.9..4.4; colours lie at most an eighth of a pixel off
    sheared = (drawn + np.roll(drawn, 1, axis=1)) / 2
    assert np.median(away(sheared, plain)) > 18, "half a pixel to the right would be seen"
    assert np.median(away(np.roll(drawn, 1, axis=1), plain)) > 36


@pytest.mark.parametrize("layers", [1, 5])
def test_a_row_with_more_colours_than_were_foreseen_loses_none(layers: int):
    """64 a pixel and 4096 are foreseen; each of these layers takes 8000."""
    texture = np.full((SIDE, 4 * SIDE, 4), 255, np.uint8)
    texture[:, 2 * SIDE :] = (0, 200, 0, 255)
    corners, triangles = [], []
    for layer in range(layers):
        left, right = 4.0 * layer, 4.0 * layer + 4
        for x0, x1, u0, u1 in [(left, left + 2, 0, 2 * SIDE), (left + 2, right, 2 * SIDE, 4 * SIDE)]:
            n = len(corners)
            corners += [
                [x0, 0, 0, u0, 0, 1],
                [x1, 0, 0, u1, 0, 1],
                [x0, SIDE, 0, u0, SIDE, 1],
                [x1, SIDE, 0, u1, SIDE, 1],
            ]
            triangles += [[n, n + 1, n + 2], [n + 1, n + 3, n + 2]]
    drawn = fast(np.array(corners, np.float32), np.array(triangles, np.int32), texture, 0.0, width=4 * layers)
    for layer in range(layers):
        assert (drawn[8:-8, 4 * layer] == 255).all()
        assert (drawn[8:-8, 4 * layer + 3] == (0, 200, 0)).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e20])
@pytest.mark.parametrize("where", ["points", "light"])
def test_what_is_not_finite_never_reaches_the_loops(relief: Relief, sample_portrait, wrong: float, where: str):
    avatar = relief.enrol(sample_portrait)
    state = drive(avatar, scripted(sample_portrait))
    spoiled = getattr(state, where).copy()
    spoiled[7] = wrong
    one = Cameras(orbit(0.0)[None], intrinsics(1.0)[None], 64, 64)
    with pytest.raises(AssertionError):
        relief.render(replace(state, **{where: spoiled}), one)
