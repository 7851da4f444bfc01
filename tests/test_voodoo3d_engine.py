"""The VOODOO 3D engine behind its three verbs, with a small synthetic network: who works when, and what screens get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from display import optics
from display.optics import Cameras, fan
from display.screen import screen
from engines.contract import CROP, Engine, FaceObservation, PortraitRejected
from engines.lens import in_shape
from engines.options import EngineOptions
from engines.shared_volume import Sampling
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.drive import Voodoo3dState, eased
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples, Voodoo3dAvatar, picture01
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.render import in_heads_world

pytestmark = pytest.mark.usefixtures("no_gradients")

SMALL = Architecture(image=64, thin=16)


@pytest.fixture(scope="module")
def network() -> Voodoo3D:
    return synthetic.network(SMALL)


@pytest.fixture
def engine(network: Voodoo3D) -> Voodoo3d:
    return Voodoo3d(network=network, samples=Samples(12, 12), sampling=Sampling.EXACT)


def face(seed: int = 1, **changes: Any) -> FaceObservation:
    draw = np.random.default_rng(seed)
    blocks = draw.integers(0, 256, (8, 8, 3), np.uint8).repeat(CROP // 8, 0).repeat(CROP // 8, 1)
    matte = np.zeros((CROP, CROP), np.float32)
    matte[64:, 64:-64] = 1.0
    points = np.zeros((478, 3), np.float32)
    seen = FaceObservation(points, points, points, optics.orbit(0), 1.0, crop=blocks, matte=matte)
    return replace(seen, **changes)


def test_is_an_engine(engine: Voodoo3d) -> None:
    kept: Engine[Voodoo3dAvatar, Voodoo3dState] = engine
    assert kept.name == "voodoo3d"
    assert kept.wants == {"crop", "matte"}


def test_the_three_verbs_are_the_official_call_in_parts(engine: Voodoo3d, network: Voodoo3D) -> None:
    source, driver = face(1), face(2)
    state = engine.drive(engine.enrol(source), driver)
    cameras = fan(screen("telequilt"))
    views = engine.render(state, cameras.split(12)[0])
    whole = network.reenact(
        picture01(source, network) * 2 - 1,
        picture01(driver, network) * 2 - 1,
        torch.from_numpy(cameras.cam2world[:2]),
        torch.from_numpy(cameras.intrinsics[:2]),
        12,
        12,
    )
    torch.testing.assert_close(state.planes, whole["planes"], rtol=0, atol=5e-4)
    expected = in_shape(whole["image"], cameras.split(12)[0])
    assert (views.images.int() - expected.int()).abs().max() <= 1


def test_the_background_is_black_before_any_network_sees_it(network: Voodoo3D) -> None:
    seen = picture01(face(), network)
    assert seen.shape == (1, 3, 64, 64)
    assert seen[..., :8].max() == 0
    assert seen[..., 16:48].max() > 0.5


def test_a_portrait_without_its_picture_is_refused(engine: Voodoo3d) -> None:
    with pytest.raises(PortraitRejected) as refused:
        engine.enrol(face(crop=None))
    assert refused.value.reason == "no_picture"


class TestPresence:
    def test_a_lost_face_rests_without_any_work(self, engine: Voodoo3d, monkeypatch: pytest.MonkeyPatch) -> None:
        avatar = engine.enrol(face(1))
        monkeypatch.setattr(Voodoo3D, "lift", lambda *_: pytest.fail("a resting avatar was lifted"))
        state = engine.drive(avatar, face(2, presence=0.0, pose=optics.orbit(25)))
        assert torch.equal(state.planes, avatar.planes)
        np.testing.assert_allclose(state.pose, optics.orbit(0), atol=1e-6)

    def test_half_present_is_half_way(self, engine: Voodoo3d) -> None:
        avatar, turned = engine.enrol(face(1)), optics.orbit(20)
        whole, half = (engine.drive(avatar, face(2, presence=p, pose=turned)) for p in (1.0, 0.5))
        torch.testing.assert_close(half.planes, (whole.planes + avatar.planes) / 2, rtol=0, atol=1e-5)
        np.testing.assert_allclose(whole.pose, turned, atol=1e-6)
        np.testing.assert_allclose(half.pose[:3, :3], optics.orbit(10)[:3, :3], atol=1e-6)

    @pytest.mark.parametrize("broken", [np.nan, np.inf])
    def test_what_is_not_finite_is_rest(self, engine: Voodoo3d, broken: float) -> None:
        pose = optics.orbit(5)
        pose[0, 0] = broken
        state = engine.drive(engine.enrol(face(1)), face(2, pose=pose, presence=float("nan")))
        assert np.isfinite(state.pose).all()
        assert state.planes.isfinite().all()

    @pytest.mark.parametrize("presence", [0.0, 0.3, 1.0])
    def test_an_eased_pose_is_a_camera(self, presence: float) -> None:
        pose = eased(optics.orbit(30, -12), presence)
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-6)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1, abs=1e-6)


class TestCameras:
    def test_the_head_is_shown_turned_and_tilted_as_it_was_seen(self, engine: Voodoo3d) -> None:
        seen = face(2, pose=optics.orbit(14, -6), roll=0.3)
        shown = engine.drive(engine.enrol(face(1)), seen).pose
        np.testing.assert_allclose(np.diag([1, -1, -1]) @ shown[:3, :3].T, seen.head_rotation, atol=1e-6)

    def test_at_rest_the_displays_cameras_are_the_heads(self) -> None:
        cameras = fan(screen("telequilt")).cam2world
        np.testing.assert_allclose(in_heads_world(optics.orbit(0), cameras), cameras, atol=1e-6)

    def test_a_turned_head_seen_from_the_front_is_seen_by_its_drivers_camera(self) -> None:
        pose = optics.orbit(17, 6)
        np.testing.assert_allclose(in_heads_world(pose, optics.orbit(0)[None])[0], pose, atol=1e-6)

    def test_a_turn_of_the_head_adds_to_the_angle_of_the_view(self) -> None:
        turned = in_heads_world(optics.orbit(10), optics.orbit(5)[None])
        np.testing.assert_allclose(turned[0], optics.orbit(15), atol=1e-5)


class TestShapes:
    """What a screen's lens shows of the square picture (display/optics.py), on a picture whose values say where they are."""

    @pytest.fixture
    def square(self) -> torch.Tensor:
        ramp = torch.linspace(-1, 1, 256)
        across, down = ramp.expand(256, 256), ramp[:, None].expand(256, 256)
        return torch.stack((across, down, torch.ones(256, 256)))[None]

    @staticmethod
    def seen(square: torch.Tensor, aspect: float, width: int, height: int) -> np.ndarray:
        lens = optics.intrinsics(aspect)[None]
        return in_shape(square, Cameras(optics.orbit(0)[None], lens, width, height))[0].numpy()

    def test_square(self, square: torch.Tensor) -> None:
        seen = self.seen(square, 1.0, 64, 64)
        assert seen.shape == (64, 64, 4)
        assert (seen[..., 3] == 255).all()
        assert seen[32, 0, 0] < 4
        assert seen[32, 63, 0] > 251
        assert seen[0, 32, 1] < 4

    def test_a_wide_screen_shows_all_of_the_height_and_dark_sides(self, square: torch.Tensor) -> None:
        seen = self.seen(square, 2.0, 128, 64)
        assert (seen[:, :32, :3] == 0).all()
        assert (seen[:, 96:, :3] == 0).all()
        assert (seen[:, 33:95, 2] == 255).all()

    def test_a_narrow_screen_shows_three_quarters_of_the_width(self, square: torch.Tensor) -> None:
        seen = self.seen(square, 0.75, 48, 64)
        assert (seen[..., 2] == 255).all()
        assert seen[32, 0, 0] == pytest.approx(255 * 0.125, abs=4)

    def test_a_very_narrow_screen_is_dark_above_and_below(self, square: torch.Tensor) -> None:
        seen = self.seen(square, 0.5625, 36, 64)
        assert (seen[0, :, :3] == 0).all()
        assert (seen[-1, :, :3] == 0).all()
        assert (seen[32, :, 2] == 255).all()


@pytest.mark.parametrize("sampling", list(Sampling))
def test_every_picture_of_synthetic_weights_says_noise(network: Voodoo3D, sampling: Sampling) -> None:
    shown = [
        Voodoo3d(EngineOptions(synthetic_weights=noise), network=network, samples=Samples(12, 12), sampling=sampling)
        for noise in (False, True)
    ]
    state = shown[0].drive(shown[0].enrol(face(1)), face(2))
    cameras = fan(screen("telequilt")).split(8)[2]
    plain, marked = (engine.render(state, cameras) for engine in shown)
    assert plain.first == marked.first == 6
    assert marked.images.shape == (3, 256, 256, 4)
    differs = (plain.images != marked.images).any(-1)
    assert differs.flatten(1).float().mean(1).min() > 0.05
    assert not differs[:, 128:].any()


def test_both_marches_show_much_the_same(network: Voodoo3D) -> None:
    exact, shared = (
        Voodoo3d(network=network, samples=Samples(48, 48), sampling=sampling)
        for sampling in (Sampling.EXACT, Sampling.SHARED_VOLUME)
    )
    state = exact.drive(exact.enrol(face(1)), face(2))
    cameras = fan(screen("telequilt")).split(24)[0]
    difference = exact.render(state, cameras).images.float() - shared.render(state, cameras).images.float()
    assert difference.abs().mean() < 12  # noise without surfaces; heads are held to 40 dB in test_triplane.py


def test_a_driven_state_holds_the_field_that_its_pictures_show(engine: Voodoo3d, network: Voodoo3D) -> None:
    state = engine.drive(engine.enrol(face(1)), face(2))
    points = torch.rand(50, 3) - 0.5
    expected, _ = network.field(state.planes)(points, 0)
    assert torch.equal(engine.field(state)(points, 0)[0], expected)
