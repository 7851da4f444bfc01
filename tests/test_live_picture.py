"""The live picture: the caller's own pixels on a relief, cut out, said to be what it is; no portrait's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from display.label import TEXT, coverage
from display.optics import fan
from display.screen import screen
from engines.contract import FaceObservation
from engines.relief.engine import Relief
from engines.relief.live import DIMMEST, Live, LiveAvatar, _fan
from engines.relief.topology import EYES, MOUTH_RING
from tests.people import FRONT, SIZE, astronaut, hopper, observed

EIGHT = fan(screen("telequilt").thinned(8))


@pytest.fixture(scope="module")
def engine() -> Live:
    return Live()


@pytest.fixture(scope="module")
def avatar(engine: Live) -> LiveAvatar:
    return engine.enrol(observed(hopper()))


@pytest.fixture(scope="module")
def seen() -> FaceObservation:
    return observed(astronaut())


def drawn(engine: Live, avatar: LiveAvatar, seen: FaceObservation, cameras=FRONT) -> np.ndarray:
    return engine.render(engine.drive(avatar, seen), cameras).images[..., :3].numpy().astype(float)


def test_it_shows_who_is_seen_and_not_the_portrait(engine: Live, avatar: LiveAvatar, seen: FaceObservation):
    front = drawn(engine, avatar, seen)[0]
    assert seen.crop is not None
    middle = np.s_[SIZE // 3 : SIZE * 2 // 3, SIZE // 3 : SIZE * 2 // 3]
    step = 512 / SIZE
    at = (np.arange(SIZE) * step).astype(int)
    crop = seen.crop[at][:, at].astype(float)
    assert np.abs(front[middle] - crop[middle]).mean() < 12, "from the front it is the camera's picture"
    assert front[:20, :20].max() == 0, "without the room"


def test_it_has_depth_and_no_holes(engine: Live, avatar: LiveAvatar, seen: FaceObservation):
    views = drawn(engine, avatar, seen, EIGHT)
    assert np.abs(views[0] - views[-1]).mean() > 3
    height, width = views.shape[1:3]
    for view in views:
        assert (view[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5].max(axis=2) > 0).all()


@pytest.mark.parametrize("ring", [MOUTH_RING, *(eye.ring for eye in EYES)])
def test_eyes_and_mouth_are_closed_by_triangles(ring: np.ndarray):
    fan = _fan(ring)
    assert len(fan) == len(ring) - 2
    assert set(fan.ravel()) == set(ring)


def test_who_is_lost_stays_dimmed_and_nonsense_shows_nobody_else(
    engine: Live, avatar: LiveAvatar, seen: FaceObservation
):
    whole, lost = drawn(engine, avatar, seen), drawn(engine, avatar, replace(seen, presence=0.0, confidence=0.5))
    assert lost.mean() == pytest.approx(DIMMEST * whole.mean(), rel=0.1)
    nonsense = replace(seen, landmarks=np.full_like(seen.landmarks, np.nan))
    assert np.isfinite(drawn(engine, avatar, nonsense)).all()
    assert drawn(engine, avatar, replace(seen, crop=None)).max() == 0, "never a portrait in its place"


def test_its_mark_says_what_it_is():
    assert Live.abilities.mark == "Live picture" != TEXT == Relief.abilities.mark
    letters = coverage(20, text=Live.abilities.mark)
    assert letters.max() == 1
    columns = letters.max(axis=0) > 0.5
    assert np.count_nonzero(np.diff(columns.astype(int)) == 1) >= 7, "letters that stand apart"
