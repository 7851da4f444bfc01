"""Asset and motion, from their bytes alone, are the picture that the engine renders; and the bytes are what docs/geometry.md says."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from display import label
from display.optics import Cameras, intrinsics, orbit
from engines import gltf
from engines.geometry import glb, motion, plain
from engines.geometry.asset import Asset, posed
from engines.geometry.motion import Motion, MotionUnreadable, Record
from engines.relief import geometry
from engines.relief.engine import Relief
from pipeline.puppet import scripted
from tests import people

DOCUMENT = Path(__file__).parents[1] / "docs" / "geometry.md"
POSES: tuple[dict[str, float], ...] = (
    {"yaw": 14, "pitch": 6, "roll": -5, "mouth": 0.6, "blink": 0.4},
    {"yaw": -11, "pitch": -7, "blink": 1.0},
)


def cameras(yaws: list[float], width: int, height: int, aspect: float = 1.0) -> Cameras:
    per_view = np.repeat(intrinsics(aspect)[None], len(yaws), axis=0)
    return Cameras(np.stack([orbit(yaw) for yaw in yaws]), per_view, width, height)


def off_axis(yaws: list[float]) -> Cameras:
    """As a light-field display's: each as wide as it likes, its picture shifted."""
    at = cameras(yaws, 160, 200, 0.8)
    wide = at.intrinsics.copy()
    wide[:, 0, 0] *= np.linspace(1.0, 0.9, len(yaws))
    wide[:, 0, 2] += np.linspace(-0.06, 0.05, len(yaws))
    return replace(at, intrinsics=wide)


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - other.astype(float)) ** 2).mean()))


@pytest.fixture(scope="module")
def avatar(relief: Relief) -> tuple[Any, Any]:
    portrait = people.observed(people.astronaut())
    return portrait, relief.enrol(portrait)


def through_bytes(relief: Relief, avatar: Any, state: Any) -> tuple[Asset, Motion]:
    packed = glb.packed(relief.asset(avatar), "AI avatar")
    record = motion.packed(Record(relief.motion(state), packed.number, 1, 0.0))
    asset = glb.unpacked(packed.data)[0]
    assert isinstance(asset, Asset)
    return asset, motion.unpacked(record).motion


@pytest.mark.parametrize("how", POSES)
def test_what_moves_is_what_the_asset_says(relief: Relief, avatar, how):
    """Whatever drive() does to points and light, an asset and a motion tell."""
    portrait, enrolled = avatar
    state = relief.drive(enrolled, scripted(portrait, **how))
    points, light = posed(relief.asset(enrolled), relief.motion(state))
    crop = points / geometry.UNIT
    expected = geometry._world(enrolled, state.points) / geometry.UNIT
    assert np.abs(crop - expected).max() < 0.01
    assert np.abs(light - state.light).max() < 1e-5
    coded, _ = posed(*through_bytes(relief, enrolled, state))
    assert np.abs(coded / geometry.UNIT - expected).max() < 0.1, "pixels of the crop"


@pytest.mark.parametrize("at", [cameras([-17.5], 256, 256), off_axis([-12.0, 9.0])], ids=["square", "off axis"])
def test_the_bytes_alone_are_the_picture(relief: Relief, avatar, at: Cameras):
    portrait, enrolled = avatar
    state = relief.drive(enrolled, scripted(portrait, **POSES[0]))
    drawn = plain.drawn(*through_bytes(relief, enrolled, state), at).images.numpy()[..., :3]
    rendered = relief.render(state, at).images.numpy()[..., :3]
    # measured at 256..700 pixels: 39.2..43.9 dB, of which the atlas's coding leaves 44
    assert min(map(decibels, drawn, rendered)) >= 38
    assert decibels(np.roll(drawn, 1, axis=2), rendered) < 34, "a pixel aside would be seen"


def test_a_part_that_is_not_told_of_is_missed(relief: Relief, avatar):
    portrait, enrolled = avatar
    state = relief.drive(enrolled, scripted(portrait, **POSES[0]))
    asset, moved = through_bytes(relief, enrolled, state)
    at = cameras([0.0], 160, 160)
    rendered = relief.render(state, at).images.numpy()[..., :3]
    for lacking in (
        replace(asset, parts=asset.parts[:-1]),
        replace(asset, fade=0.0, moves=0 * asset.moves),
        replace(asset, light=np.ones_like(asset.light) * 0.9),
    ):
        assert decibels(plain.drawn(lacking, moved, at).images.numpy()[..., :3], rendered) < 36


def test_a_record_is_laid_out_as_the_document_says():
    rng = np.random.default_rng(3)
    moved = Motion(
        rng.normal(size=(2, 3, 4)).astype(np.float32),
        rng.normal(0, 0.05, (471, 3)).astype(np.float32),
        rng.uniform(0, 1.9, 253).astype(np.float32),
    )
    data = motion.packed(Record(moved, 0x89ABCDEF, 70_000, 1.75e9 + 1 / 3))
    version, joints, controls, shades, nothing, asset, sequence, captured, step = struct.unpack_from("<BBHHHIIdf", data)
    assert (version, joints, controls, shades, nothing) == (1, 2, 471, 253, 0)
    assert (asset, sequence, captured, step) == (0x89ABCDEF, 70_000, 1.75e9 + 1 / 3, np.float32(motion.STEP))
    back = motion.unpacked(data)
    assert np.array_equal(back.motion.joints, moved.joints)
    assert np.abs(back.motion.controls - moved.controls).max() <= motion.STEP * 0.501
    assert np.abs(back.motion.shades - moved.shades).max() <= motion.SHADE_STEP / 2 + 1e-6
    told = re.findall(r"(?m)^\| (\d+) \| u?(?:int|float)", DOCUMENT.read_text())
    assert told == ["0", "1", "2", "4", "6", "8", "12", "16", "24"]


def test_what_moves_too_far_stays_at_the_edge_of_what_can_be_said():
    controls = np.array([[9.0, -9.0, 0.0], [-9.0, 9.0, 0.1]], np.float32)
    far = Motion(np.zeros((0, 3, 4), np.float32), controls, np.array([5.0], np.float32))
    back = motion.unpacked(motion.packed(Record(far, 0, 0, 0.0))).motion
    assert np.allclose(
        back.controls, np.clip(far.controls, -32768 * motion.STEP, 32767 * motion.STEP), atol=motion.STEP
    )
    assert back.shades[0] == 255 / 128


@pytest.mark.parametrize(
    "spoil",
    [lambda d: b"", lambda d: d[:20], lambda d: b"\2" + d[1:], lambda d: d[:-9], lambda d: d[:40] + b"\xff" * 90],
)
def test_what_is_no_record_is_told_from_one(spoil):
    moved = Motion(np.zeros((1, 3, 4), np.float32), np.ones((400, 3), np.float32), np.ones(9, np.float32))
    good = motion.packed(Record(moved, 1, 1, 0.0))
    with pytest.raises(MotionUnreadable):
        motion.unpacked(spoil(good))


def test_an_asset_says_what_the_document_says(relief: Relief, avatar):
    _, enrolled = avatar
    packed = glb.packed(relief.asset(enrolled), "AI avatar")
    told = gltf.unpacked(packed.data).scene["extras"]["telequilt"]
    document = DOCUMENT.read_text()
    assert [name for name in told if f"`{name}`" not in document] == []
    assert told["projection"] == "parallel"
    assert len(packed.data) < 1_000_000
    assert packed.number == int(packed.hash[:8], 16)


def test_the_mark_is_the_labels_own(relief: Relief, avatar):
    _, enrolled = avatar
    asset = relief.asset(enrolled)
    mark = gltf.unpacked(glb.packed(asset, "AI avatar").data).scene["extras"]["telequilt"]["mark"]
    strokes, advance = label.lines("AI avatar")
    assert mark["advance"] == pytest.approx(advance, abs=1e-4)
    assert np.allclose(
        [n for one in mark["lines"] for n in one], np.concatenate([np.ravel(s) for s in strokes]), atol=1e-4
    )
    assert glb.unpacked(glb.packed(asset, None).data)[1] is None
    with pytest.raises(glb.AssetUnreadable):
        glb.unpacked(b"glTF" + bytes(40))
