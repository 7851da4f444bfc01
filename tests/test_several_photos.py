"""Several photos of one person: one portrait is made of them, whose sides are each the photo's that sees it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from engines.contract import FaceObservation, PortraitRejected
from engines.morphable.model import load
from engines.relief import several
from engines.relief.engine import Relief
from engines.relief.topology import NOSE_TIP
from server.channels.services import observed
from tests import modelled, people

MARK = (40, 60, 190)
RIGHT_CHEEK, LEFT_CHEEK = 123, 352


@cache
def portrait(yaw: float, seed: int = 3) -> FaceObservation:
    """Of a made-up person with a blue mark on the cheek at image left."""
    head, vertices = load(), modelled.person(seed)
    cheek = head.at_points(vertices.astype(np.float32))[RIGHT_CHEEK]
    skin = np.tile(np.array(modelled.SKIN, np.float32), (len(vertices), 1))
    skin[np.linalg.norm(vertices - cheek, axis=1) < 1.6] = MARK
    return people.observed(modelled.picture(vertices, modelled.turned(yaw), skin=skin))


def bluer(seen: FaceObservation, landmark: int) -> float:
    """Levels by which there is more blue than red at a landmark."""
    assert seen.crop is not None
    x, y = seen.landmarks[landmark, :2].astype(int)
    red, _, blue = seen.crop[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)
    return float(blue - red)


def test_each_side_is_taken_from_the_photo_that_shows_it():
    from_left, from_right = portrait(25), portrait(-25)
    one, both = several.facing(from_left), several.together([from_left, from_right])
    marked = [bluer(seen, RIGHT_CHEEK) for seen in (one, both)]
    clean = [bluer(seen, LEFT_CHEEK) for seen in (one, both)]
    print(f"blue at the marked cheek {np.round(marked)}, at the other {np.round(clean)}")
    assert max(marked[1] - clean[1], 0) > 60, "the mark is on its own side"
    assert abs(marked[0] - clean[0]) < 30, "of one photo both sides are the same"


def test_a_frontal_photo_keeps_its_own_face(relief: Relief):
    front = portrait(0)
    made = several.together([portrait(-28), front])
    assert made.crop is not None
    assert front.crop is not None
    assert made.around is not None
    x, y = front.landmarks[NOSE_TIP, :2].astype(int)
    middle = slice(y - 50, y + 50), slice(x - 40, x + 40)
    assert np.abs(made.crop[middle].astype(int) - front.crop[middle]).max() <= 8
    assert (made.landmarks == front.landmarks).all()
    assert (made.crop != front.crop).any(), "its sides are the other's"
    assert relief.enrol(made).zoom <= 1


@pytest.mark.parametrize(
    ("yaws", "seeds", "reason"),
    [
        ((0, 3), (3, 3), "same_side"),
        ((0, 25), (3, 8), "different_people"),
        ((0, 25, -25, 15), (3,) * 4, "too_many_photos"),
    ],
)
def test_what_does_not_go_together_is_refused_with_words(yaws: tuple[float, ...], seeds: tuple[int, ...], reason: str):
    with pytest.raises(PortraitRejected) as refused:
        several.together([portrait(yaw, seed) for yaw, seed in zip(yaws, seeds, strict=True)])
    assert refused.value.reason == reason


def test_a_photo_without_a_face_is_named(relief: Relief):
    with pytest.raises(PortraitRejected, match="Photo 2 of 2: No face"):
        observed([people.hopper(), people.coffee()], relief)
