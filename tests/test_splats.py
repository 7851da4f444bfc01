"""Gaussians as pictures: what the plain twin says they are, by laws and by formulas, and the compiled loops beside it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from display.optics import FOCAL, LOOK_AT, ORBIT_RADIUS, Cameras
from engines.actions import ACTIONS
from engines.splats import plain, raster
from engines.splats.avatar import NECK, SplatAvatar, neck_share
from engines.splats.plain import BLUR, MOST, Pictures, Shapes
from engines.splats.render import Renderer
from tests import gaussians

WITHIN_DB = 55.0
"Of the compiled loops against the twin. Seen: 83 dB on the exported head that is not in this repository, 70 on random Gaussians."
LAWS = settings(max_examples=12, deadline=None)


def db(one: Tensor, other: Tensor) -> float:
    return float(-10 * torch.log10((one - other).double().square().mean() + 1e-30))


def drawn(avatar: SplatAvatar, cameras: Cameras, dtype: torch.dtype = torch.float32) -> Pictures:
    return plain.draw(gaussians.points(avatar).to(dtype), plain.prepared(avatar, dtype=dtype), cameras)


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """[4] quaternion w, x, y, z."""
    halves = np.array([pitch, yaw, roll]) / 2
    axis = halves / max(np.linalg.norm(halves), 1e-9)
    angle = np.linalg.norm(halves)
    return np.array([math.cos(angle), *(math.sin(angle) * axis)])


def product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    w, x, y, z = p
    return q @ np.array([[w, x, y, z], [-x, w, z, -y], [-y, -z, w, x], [-z, y, -x, w]])


def matrix(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = quaternion
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


class TestTwin:
    def test_a_ball_is_what_the_formula_says(self) -> None:
        size, opacity, colour = 0.05, 0.8, (0.9, 0.5, 0.1)
        ball = gaussians.ball((0.0, 0.0, float(LOOK_AT[2])), size, opacity, colour)
        seen = drawn(ball, gaussians.cameras(0, width=65, height=65), torch.float64)
        away = (torch.arange(65) - 32.0)[:, None] ** 2 + (torch.arange(65) - 32.0) ** 2
        spread = (65 * FOCAL * size / ORBIT_RADIUS) ** 2 + BLUR
        alpha = opacity * torch.exp(-away.double() / (2 * spread))
        alpha = torch.where(alpha >= plain.LEAST, alpha, 0.0)
        torch.testing.assert_close(seen.alpha[0], alpha, rtol=2e-5, atol=0)
        torch.testing.assert_close(
            seen.colours[0], alpha[..., None] * torch.tensor(colour).double(), rtol=2e-5, atol=1e-9
        )
        assert (seen.straight[0, 32, 32, :3] - torch.tensor(colour)).abs().max() < 1e-6
        assert seen.depths[0, 32, 32] == pytest.approx(ORBIT_RADIUS)
        assert seen.depths[0, 0, 0] == math.inf

    def test_what_is_nearer_is_blended_first(self) -> None:
        red = gaussians.ball((0, 0, 0.3), 0.05, 0.6, (1, 0, 0))
        blue = gaussians.ball((0, 0, 0.1), 0.05, 0.9, (0, 0, 1))
        front = drawn(gaussians.together(blue, red), gaussians.cameras(0, width=33, height=33)).colours[0, 16, 16]
        behind = drawn(gaussians.together(blue, red), gaussians.cameras(180, width=33, height=33)).colours[0, 16, 16]
        torch.testing.assert_close(front, torch.tensor([0.6, 0.0, 0.4 * 0.9]), rtol=0, atol=1e-4)
        torch.testing.assert_close(behind, torch.tensor([0.1 * 0.6, 0.0, 0.9]), rtol=0, atol=1e-4)

    def test_an_opaque_one_lets_a_thousandth_through(self) -> None:
        seen = drawn(gaussians.ball((0, 0, 0.2), 0.1, 1.0, (1, 1, 1)), gaussians.cameras(0, width=9, height=9))
        assert seen.alpha.max() == pytest.approx(MOST)

    @LAWS
    @given(yaw=st.floats(-0.6, 0.6), pitch=st.floats(-0.5, 0.5), roll=st.floats(-0.5, 0.5), seed=st.integers(0, 99))
    def test_a_head_turned_is_cameras_moved(self, yaw: float, pitch: float, roll: float, seed: int) -> None:
        avatar, looked = gaussians.some(150, seed), gaussians.cameras(-12, 9, width=48, height=40)
        quaternion, pivot = turn(yaw, pitch, roll), np.array([0.01, -0.1, 0.05])
        rotation = matrix(quaternion)
        turned = replace(
            avatar,
            points=((avatar.points - pivot) @ rotation.T + pivot).astype(np.float32),
            rotations=product(quaternion, avatar.rotations.astype(np.float64)).astype(np.float32),
        )
        back = np.eye(4)
        back[:3, :3], back[:3, 3] = rotation.T, pivot - rotation.T @ pivot
        moved = replace(looked, cam2world=(back @ looked.cam2world).astype(np.float32))
        assert db(drawn(turned, looked).colours, drawn(avatar, moved).colours) > 70

    @LAWS
    @given(seed=st.integers(0, 99))
    def test_in_which_order_gaussians_come_is_all_the_same(self, seed: int) -> None:
        avatar = gaussians.some(200, seed)
        order = np.random.default_rng(seed).permutation(len(avatar))
        fields = ("points", "colours", "opacities", "scales", "rotations")
        other = replace(avatar, **{name: getattr(avatar, name)[order] for name in fields})
        one, two = (drawn(each, gaussians.cameras(5, width=40, height=40)) for each in (avatar, other))
        torch.testing.assert_close(one.colours, two.colours, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.alpha, two.alpha, rtol=0, atol=1e-5)

    @LAWS
    @given(seed=st.integers(0, 99), largest=st.floats(0.003, 0.3))
    def test_views_one_by_one_are_the_batch_and_alpha_stays_within_one(self, seed: int, largest: float) -> None:
        avatar = gaussians.some(120, seed, largest)
        together = drawn(avatar, gaussians.cameras(-15, 0, 15, width=40, height=32), torch.float64)
        for view, yaw in enumerate((-15, 0, 15)):
            alone = drawn(avatar, gaussians.cameras(yaw, width=40, height=32), torch.float64)
            torch.testing.assert_close(alone.colours[0], together.colours[view], rtol=0, atol=1e-9)
            torch.testing.assert_close(alone.depths[0], together.depths[view], rtol=0, atol=1e-9)
        assert together.alpha.min() >= 0
        assert together.alpha.max() <= 1
        assert (together.colours <= together.alpha[..., None] + 1e-6).all()


class TestAvatar:
    @LAWS
    @given(action=st.integers(0, len(ACTIONS) - 1), size=st.floats(0.05, 1))
    def test_a_coefficient_moves_only_what_its_action_moves(self, action: int, size: float) -> None:
        avatar, coefficients = gaussians.some(200), np.zeros(len(ACTIONS), np.float32)
        coefficients[action] = size
        moved = avatar.posed(coefficients) - avatar.points
        own = slice(avatar.starts[action], avatar.starts[action + 1])
        expected = np.zeros_like(moved)
        expected[avatar.which[own]] = np.float32(size) * avatar.moves[own]
        np.testing.assert_allclose(moved, expected, atol=1e-7)

    def test_actions_add_up_and_rest_is_rest(self) -> None:
        avatar = gaussians.some(100)
        both, ones = np.zeros((3, len(ACTIONS)), np.float32), (3, 30)
        both[0, ones[0]] = both[2, ones[0]] = 0.7
        both[1, ones[1]] = both[2, ones[1]] = 0.4
        one, other, sum_ = (avatar.posed(each) - avatar.points for each in both)
        np.testing.assert_allclose(sum_, one + other, atol=1e-7)
        assert (avatar.posed(np.zeros(len(ACTIONS), np.float32)) == avatar.points).all()

    def test_a_bust_has_no_edge(self) -> None:
        heights = np.linspace(NECK[0] - 0.1, 0.3, 50)
        share = neck_share(np.stack([heights * 0, heights, heights * 0], 1))
        assert (np.diff(share) >= 0).all()
        assert share[0] == 0
        assert (share[heights > NECK[1]] == 1).all()


class TestRaster:
    @pytest.mark.parametrize(
        ("width", "height", "yaws"), [(64, 64, (0,)), (61, 35, (-20, 3)), (13, 70, (-9, 0, 9)), (7, 3, (5,))]
    )
    @pytest.mark.parametrize("largest", [0.006, 0.1])
    def test_agrees_with_the_twin(self, width: int, height: int, yaws: tuple[float, ...], largest: float) -> None:
        avatar, cameras = gaussians.some(600, 3, largest), gaussians.cameras(*yaws, width=width, height=height, pitch=4)
        points, shapes = gaussians.points(avatar), plain.prepared(avatar)
        twin, made = plain.draw(points, shapes, cameras), raster.pictures(points, shapes, cameras)
        assert db(made.colours, twin.colours) > WITHIN_DB
        assert db(made.alpha, twin.alpha) > WITHIN_DB
        seen = twin.alpha > 0.5
        assert (made.depths - twin.depths)[seen].abs().max() < 3e-3
        bytes_ = raster.draw(points, shapes, cameras)
        assert bytes_.shape == (len(yaws), height, width, 4)
        assert (bytes_[..., :3] / 255 - twin.colours).abs().max() < 0.02
        assert (bytes_[..., 3] == 255).all()

    def test_hostile_numbers_change_nothing_else(self) -> None:
        """What is not finite, behind the camera, on its plane, or as large as the world is not drawn and harms nobody."""
        avatar, cameras = gaussians.some(80), gaussians.cameras(0, 10, width=40, height=40)
        shapes, points = plain.prepared(avatar), gaussians.points(avatar)
        without = raster.draw(points, shapes, cameras)
        places = torch.tensor([[np.nan, 0, 0], [np.inf, 0, 0], [0, 0, 9.0], [0, 0, 2.7], [1e30, 1e30, 0], [0, -1e9, 1]])
        more = torch.cat([points, places.float()])
        wild = Shapes(
            torch.cat([shapes.covariances, shapes.covariances[:6]]),
            torch.cat([shapes.colours, torch.ones(6, 3)]),
            torch.cat([shapes.opacities, torch.ones(6)]),
        )
        assert torch.equal(raster.draw(more, wild, cameras), without)
        huge = Shapes(shapes.covariances * 1e30, shapes.colours, shapes.opacities)
        assert raster.draw(points, huge, cameras).shape == without.shape
        unwell = Shapes(shapes.covariances * torch.nan, shapes.colours, shapes.opacities)
        assert (raster.draw(points, unwell, cameras)[..., :3] == 0).all()

    def test_a_renderer_gives_marked_places_of_a_fan(self) -> None:
        avatar, cameras = gaussians.some(50), replace(gaussians.cameras(-3, 0, 3, width=24, height=24), first=5)
        renderer = Renderer()
        renderer.warm_up()
        coefficients = np.linspace(0, 1, len(ACTIONS), dtype=np.float32)
        seen = renderer(avatar, coefficients, cameras)
        assert (len(seen), seen.first) == (3, 5)
        posed = raster.posed(avatar, coefficients)
        np.testing.assert_allclose(posed, avatar.posed(coefficients), atol=1e-6)
        assert torch.equal(seen.images, raster.draw(posed, plain.prepared(avatar), cameras))
