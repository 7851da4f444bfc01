"""Hair as relief has it: a layer of its own over the head, cut out by its colour, and going on behind it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from display.optics import Cameras, intrinsics, orbit
from engines.contract import FaceObservation
from engines.relief import enrol, hair, shell
from engines.relief.avatar import ReliefAvatar
from engines.relief.engine import Relief
from engines.relief.texture import PAD, SIDE
from engines.relief.topology import CHIN, FOREHEAD, NOSE_TIP
from tests import modelled, people

SHOWN = 256


@cache
def portrait() -> FaceObservation:
    return people.observed(people.astronaut())


def seen(relief: Relief, avatar: ReliefAvatar, yaw: float) -> np.ndarray:
    """[SHOWN, SHOWN, 3] float32 of the avatar as it is in its photo."""
    at = Cameras(orbit(yaw)[None], intrinsics()[None], SHOWN, SHOWN)
    state = relief.drive(avatar, replace(portrait(), neutral=portrait().shape))
    return relief.render(state, at).images[0, ..., :3].numpy().astype(np.float32)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[hair.Hair | None]:
    """What enrolments take for hair, in their turn."""
    found: list[hair.Hair | None] = []
    build = hair.build

    def kept(*given, **named) -> hair.Hair | None:
        found.append(build(*given, **named))
        return found[-1]

    monkeypatch.setattr(hair, "build", kept)
    return found


def test_hair_is_cut_out_and_the_face_is_not(relief: Relief, made: list[hair.Hair | None]):
    avatar = relief.enrol(replace(portrait(), expression_kept=1.0))
    assert made[0] is not None
    places = portrait().landmarks[:, :2].astype(int) + PAD
    crown = made[0].matte[places[FOREHEAD, 1] - 40, places[FOREHEAD, 0] - 30 : places[FOREHEAD, 0] + 31]
    assert crown.mean() > 0.9
    for place in (NOSE_TIP, CHIN, 50, 280, 105, 334):  # cheeks and brows, too
        assert made[0].matte[places[place, 1], places[place, 0]] < 0.05, place
    assert (made[0].sheet.uv[:, 1] > SIDE).any(), "it has a piece of the atlas for itself"
    assert avatar.parts.around.stop == len(avatar.mesh.points)
    assert len(avatar.follow) == avatar.parts.around.stop - avatar.parts.around.start


def test_it_is_not_seen_from_the_front_and_stands_out_from_the_side(relief: Relief, monkeypatch: pytest.MonkeyPatch):
    photo = replace(portrait(), expression_kept=1.0)
    with_hair = relief.enrol(photo)
    monkeypatch.setattr(hair, "build", lambda *given: None)
    without = relief.enrol(photo)
    front, side = (np.abs(seen(relief, with_hair, yaw) - seen(relief, without, yaw)).mean() for yaw in (0.0, 35.0))
    assert front < 1.0
    assert side > 2.5 * front


def test_beneath_its_edge_is_skin(monkeypatch: pytest.MonkeyPatch, relief: Relief):
    both: list[tuple[np.ndarray, np.ndarray, hair.Hair]] = []
    beneath = hair.beneath

    def kept(picture: np.ndarray, upon: hair.Hair, firm: np.ndarray) -> np.ndarray:
        both.append((picture, beneath(picture, upon, firm), upon))
        return both[-1][1]

    monkeypatch.setattr(hair, "beneath", kept)
    relief.enrol(portrait())
    (picture, under, upon), at = both[0], portrait().landmarks[FOREHEAD, :2].astype(int) + PAD
    crop = portrait().crop
    assert crop is not None
    skin = enrol._skin(crop, portrait().landmarks)
    place = (slice(at[1] - 30, at[1] - 10), slice(at[0] - 20, at[0] + 20))
    assert upon.matte[place].mean() > 0.9
    before, now = (np.linalg.norm(one[place].mean(axis=(0, 1)) - skin) for one in (picture, under))
    assert now < 0.6 * before, (before, now)


def test_whoever_has_none_gets_none(relief: Relief, made: list[hair.Hair | None]):
    relief.enrol(people.observed(modelled.picture(modelled.person(3), modelled.turned(0.0))))
    assert made == [None]


def test_hair_goes_on_behind_the_head_as_fine_as_it_is():
    y, x = np.mgrid[:SIDE, :SIDE]
    stripes = np.repeat(120.0 + 30.0 * ((x + y) % 8 < 4)[..., None], 3, axis=2).astype(np.float32)
    known = ((x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 > 200**2).astype(np.float32)
    behind = shell.mirrored(stripes, known)
    inside = (x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < 180**2
    assert behind[inside].std() > 0.4 * stripes[inside].std()
    assert np.abs(behind[inside].mean() - stripes[inside].mean()) < 8
