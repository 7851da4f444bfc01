"""An avatar of Gaussians, from the bytes of its asset and of a record alone, is the picture that defines it."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from display.optics import Cameras, intrinsics, orbit
from engines import gltf
from engines.actions import INDEX
from engines.geometry import glb, motion, plain
from engines.geometry.cloud import Cloud, covariances, placed
from engines.geometry.motion import Motion, Record
from engines.splats import geometry, importing
from engines.splats.avatar import SplatAvatar
from engines.splats.drive import SplatState
from tests import exported

TURN = np.array([[0.96, 0.0, 0.28], [0.0, 1.0, 0.0], [-0.28, 0.0, 0.96]], np.float32)


@pytest.fixture(scope="module")
def avatar() -> SplatAvatar:
    made = importing.made(importing.bring(exported.head().zipped()).arrays)
    made.opacities[::7] = 0.9 / 255  # nowhere to be seen
    return made


@pytest.fixture
def state(avatar: SplatAvatar) -> SplatState:
    weights = np.zeros(51, np.float32)
    weights[[INDEX["jawOpen"], INDEX["eyeBlinkLeft"], INDEX["eyeLookOutRight"]]] = 0.7, 1.0, 0.3
    return SplatState(avatar, weights, TURN, np.array([0.0, -0.1, -0.05], np.float32))


def through_bytes(state: SplatState) -> tuple[Cloud, Motion]:
    packed = glb.packed(geometry.asset(state.avatar), "AI avatar")
    record = motion.packed(Record(geometry.motion(state), packed.number, 1, 0.0))
    cloud, _ = glb.unpacked(packed.data)
    assert isinstance(cloud, Cloud)
    return cloud, motion.unpacked(record).motion


def test_bytes_carry_what_moves_with_what(avatar: SplatAvatar, state: SplatState):
    cloud, moved = through_bytes(state)
    kept = avatar.opacities >= geometry.SEEN
    assert len(cloud.points) == kept.sum() < len(avatar)
    assert np.abs(placed(cloud, moved) - avatar.posed(state.weights)[kept]).max() < 1e-4
    assert np.abs(cloud.colours - avatar.colours[kept]).max() < 1e-6
    assert np.array_equal(cloud.opacities, avatar.opacities[kept])
    shapes = covariances(cloud)
    w, x, y, z = avatar.rotations[kept].T
    whole = covariances(replace(cloud, rotations=np.stack([x, y, z, w], 1)))
    assert np.abs(shapes - whole).max() < 1e-3 * np.abs(whole).max(), "a turn's 16 bits"
    assert np.allclose(moved.joints[0] @ [*state.pivot, 1], state.pivot, atol=1e-6), "it stays where it is"


def test_a_record_is_51_numbers_and_a_turn(state: SplatState):
    data = motion.packed(Record(geometry.motion(state), 7, 1, 0.0))
    assert struct.unpack_from("<BBHHH", data) == (1, 1, 0, 0, 51)
    rng = np.random.default_rng(1)
    wild = replace(geometry.motion(state), coefficients=rng.uniform(0, 1, 51).astype(np.float32))
    assert len(data) <= len(motion.packed(Record(wild, 7, 1, 0.0))) <= 28 + 48 + 102 + 5, "at most what it holds"
    back = motion.unpacked(data).motion
    assert np.abs(back.coefficients - state.weights).max() <= motion.COEFFICIENT_STEP / 2 + 1e-7
    assert np.array_equal(back.joints[0][:, :3], state.turn)


def test_a_record_of_another_kind_moves_nothing(state: SplatState):
    cloud, moved = through_bytes(state)
    with pytest.raises(ValueError, match="move no splats"):
        placed(cloud, replace(moved, coefficients=np.zeros(50, np.float32)))


def test_it_is_drawn_from_the_furthest_to_the_nearest_and_fades_at_the_lower_edge(state: SplatState):
    cloud, moved = through_bytes(state)
    at = Cameras(np.stack([orbit(9.0)]), intrinsics()[None], 48, 48)
    whole = plain.drawn(cloud, moved, at).images.numpy()[0, ..., :3].astype(int)
    order = np.random.default_rng(2).permutation(len(cloud.points))
    places = np.argsort(order)
    targets = tuple(replace(one, which=places[one.which]) for one in cloud.targets)
    shuffled = replace(
        cloud, targets=targets,
        **{name: getattr(cloud, name)[order] for name in ("points", "scales", "rotations", "colours", "opacities")},
    )  # fmt: skip
    off = plain.drawn(shuffled, moved, at).images.numpy()[0, ..., :3] - whole
    assert (off**2).mean() < 0.1, "but for those that are equally deep"
    faded = plain.drawn(replace(cloud, fade=0.25), moved, at).images.numpy()[0, ..., :3]
    assert np.array_equal(faded[:36], whole[:36])
    assert 0 < faded[42:].sum() < 0.6 * whole[42:].sum()


def test_its_asset_is_what_the_extension_wants(state: SplatState):
    scene = gltf.unpacked(glb.packed(geometry.asset(state.avatar), None).data).scene
    (primitive,) = scene["meshes"][0]["primitives"]
    assert primitive["mode"] == 0
    assert primitive["extensions"]["KHR_gaussian_splatting"]["kernel"] == "ellipse"
    assert len(primitive["targets"]) == 51
    assert scene["extras"]["telequilt"]["mark"] is None
    assert glb.unpacked(glb.packed(geometry.asset(state.avatar), None).data)[1] is None
