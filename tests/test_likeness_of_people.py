"""Likeness on people: one person's pictures are alike, two persons' are not, by the network that the operator brings."""

from __future__ import annotations

import os
from itertools import combinations, islice
from pathlib import Path

import pytest

from engines.contract import FaceObservation, PortraitRejected
from pipeline.likeness.comparing import ALIKE_FROM, FILES, Comparing
from pipeline.preprocess.observer import observe_portrait
from server.media import clips, portraits
from tests.conftest import SHARED

pytestmark = pytest.mark.golden
FOLDER = Path(os.environ.get("TELEQUILT_IDENTITY_MODEL") or Path(__file__).parents[2] / "data" / "quality")
CLIPS = ("webcam_frontal_720p", "talk_frontal", "face_leaves_returns")
"Each of another person, who looks into the camera."


def seen(frame) -> FaceObservation | None:
    try:
        return observe_portrait(frame)
    except PortraitRejected:
        return None


def test_one_person_is_alike_and_two_are_not():
    if not all((FOLDER / name).is_file() for name in FILES):
        pytest.skip("no network of identity here: make quality-instruments")
    if not (SHARED / "media").is_dir():
        pytest.skip(f"no pictures of people in {SHARED}")
    comparing = Comparing(FOLDER)
    people = {
        name: [
            one for one in map(seen, islice(clips.frames(SHARED / "media" / "clips" / f"{name}.mp4"), 0, 60, 12)) if one
        ]
        for name in CLIPS
    }
    for path in sorted((SHARED / "media" / "portraits").iterdir()):
        people[path.name] = [observe_portrait(portraits.from_file(path))]
    same = [comparing.cosine(*pair) for looks in people.values() for pair in combinations(looks, 2)]
    other = [comparing.cosine(a, b) for one, two in combinations(people.values(), 2) for a in one for b in two]
    print(
        f"\n{len(same)} pairs of one person: {min(same):.2f} to {max(same):.2f}; {len(other)} of two: up to {max(other):.2f}"
    )
    assert min(same) > ALIKE_FROM > max(other)
