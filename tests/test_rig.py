"""Rig: relief's avatar as glTF with 52 named morph targets: each does what its name says, and what viewers read is there."""

from __future__ import annotations

import numpy as np
import pytest

from engines import gltf
from engines.geometry import rigged
from engines.geometry.rigged import Rig
from engines.relief.engine import Relief
from engines.relief.topology import EYES, LOWER_LIP_INNER, UPPER_LIP_INNER
from tests import people


@pytest.fixture(scope="module")
def made(relief: Relief) -> tuple[Rig, slice]:
    """Of somebody without glasses, whose frames would hold the brows."""
    avatar = relief.enrol(people.observed(people.astronaut()))
    return relief.rig(avatar), avatar.parts.face


def test_its_file_has_52_named_targets_a_picture_and_four_parts(made):
    rig, _ = made
    file = gltf.unpacked(rigged.packed(rig, "a note"))
    mesh = file.scene["meshes"][0]
    assert len(mesh["extras"]["targetNames"]) == len(mesh["weights"]) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp", "tongueOut"} <= set(
        mesh["extras"]["targetNames"]
    )
    assert [material["name"] for material in file.scene["materials"]] == ["back", "mouth", "eyes", "skin"]
    for primitive in mesh["primitives"]:
        assert len(primitive["targets"]) == 52
        assert file.array(primitive["indices"]).max() < len(rig.points)
    jaw = mesh["extras"]["targetNames"].index("jawOpen")
    stored = file.array(mesh["primitives"][0]["targets"][jaw]["POSITION"])
    assert np.array_equal(stored, rig.actions["jawOpen"])
    assert file.view(file.scene["images"][0]["bufferView"]).startswith(b"\x89PNG")


def test_each_does_what_its_name_says(made):
    rig, face = made
    moves = {name: moved[face] for name, moved in rig.actions.items()}
    points = rig.points[face]
    assert 0.10 < np.ptp(points[:, 1]) < 0.25, "metres of a face"
    gap = moves["jawOpen"][UPPER_LIP_INNER[5], 1] - moves["jawOpen"][LOWER_LIP_INNER[5], 1]
    assert 0.015 < gap < 0.06
    for eye, blink in zip(EYES, ("eyeBlinkRight", "eyeBlinkLeft"), strict=True):
        was = points[eye.upper[4], 1] - points[eye.lower[4], 1]
        left = was + moves[blink][eye.upper[4], 1] - moves[blink][eye.lower[4], 1]
        assert left < 0.35 * was
    assert moves["mouthSmileLeft"][291, 1] > 0.003
    assert abs(moves["mouthSmileLeft"][61, 1]) < 0.5 * moves["mouthSmileLeft"][291, 1]
    assert moves["browInnerUp"][[107, 336], 1].min() > 0.001
