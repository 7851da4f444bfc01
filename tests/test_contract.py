"""Every engine of the catalogue keeps the contract, whatever it is shown. What an engine says that it can, it can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from display.optics import Cameras, fan, orbit
from display.screen import Screen, fan_yaws
from engines import catalogue
from engines.contract import CROP, AnyEngine, FaceObservation, PortraitRejected
from engines.runtime import Precision

pytest.importorskip("cv2", reason="the relief engine needs OpenCV")

FEW = Screen("few", 3, 1, 384, 128, 1.0, fan_yaws(3))


def engine_called(name: str) -> AnyEngine:
    """Small, with invented weights, where it has networks."""
    made: Any = catalogue.on_trial(name, small=True) if catalogue.abilities(name).networks else catalogue.load(name)
    return made


@pytest.fixture(scope="module", params=catalogue.names())
def engine(request: pytest.FixtureRequest) -> AnyEngine:
    return engine_called(request.param)


@pytest.fixture(scope="module")
def portrait() -> FaceObservation:
    pytest.importorskip("mediapipe", reason="a portrait is observed by MediaPipe")
    from pipeline.preprocess.observer import observe_portrait
    from pipeline.puppet import puppet_portrait

    return replace(observe_portrait(puppet_portrait()), around=None)  # framed as the crop is: places are compared


@pytest.fixture(scope="module")
def avatar(engine: AnyEngine, portrait: FaceObservation) -> Any:
    taking: Any = engine
    return taking.mannequin() if engine.abilities.brought else engine.enrol(portrait)


def seen_by(engine: AnyEngine, observation: FaceObservation) -> FaceObservation:
    """As an observer gives it: only what the engine wants."""
    if "actions" in engine.wants and observation.actions is None:
        observation = replace(observation, actions=acted(observation))
    return replace(observation, **{part: None for part in ("crop", "matte", "actions") if part not in engine.wants})


def acted(observation: FaceObservation) -> np.ndarray:
    from pipeline.preprocess.action_table import ActionTable
    from pipeline.preprocess.actions import Actions, Look

    seen = observation
    look = Look(seen.landmarks, seen.landmarks, seen.shape, seen.neutral)
    return Actions(None, ActionTable.ours()).update(look, 0.0)


def moved(portrait: FaceObservation, **how: Any) -> FaceObservation:
    return replace(portrait, **how)


def hostile(portrait: FaceObservation) -> dict[str, FaceObservation]:
    """Observations that no sound tracker makes, and that a sound server must outlive."""
    points, rng = portrait.landmarks, np.random.default_rng(7)
    noise = rng.uniform(0, CROP, points.shape).astype(np.float32)
    behind = orbit(np.pi).astype(np.float32)
    return {
        "absent": moved(portrait, presence=0.0, confidence=0.0),
        "half there": moved(portrait, presence=0.5),
        "all points in one": moved(portrait, landmarks=np.full_like(points, 256), shape=np.zeros_like(points)),
        "points anywhere": moved(portrait, landmarks=noise, shape=noise / 30 - 8),
        "far outside": moved(portrait, landmarks=points + 1e5, shape=portrait.shape * 50),
        "mirrored": moved(portrait, landmarks=(CROP - points[:, :1]) * [1, 0, 0] + points * [0, 1, 1]),
        "seen from behind": moved(portrait, pose=behind),
        "upside down": moved(portrait, roll=float(np.pi)),
        "not a number": moved(portrait, landmarks=np.full_like(points, np.nan), shape=np.full_like(points, np.nan)),
        "without end": moved(portrait, shape=np.full_like(points, np.inf)),
        "a pose of nothing": moved(portrait, pose=np.zeros((4, 4), np.float32)),
        "a pose that is not a number": moved(portrait, pose=np.full((4, 4), np.nan, np.float32)),
    }


NOBODY = np.zeros((478, 3), np.float32)
CASES = [*hostile(FaceObservation(NOBODY, NOBODY, NOBODY, np.eye(4, dtype=np.float32), confidence=1.0))]


def test_it_says_what_it_is(engine: AnyEngine) -> None:
    assert engine.name in catalogue.names()
    assert engine.abilities == catalogue.abilities(engine.name), "known before it is loaded"
    assert (type(engine).__doc__ or "").strip(), "people read its first line"
    assert engine.wants <= {"crop", "matte", "actions"}


def test_it_can_what_it_says(engine: AnyEngine) -> None:
    can: Any = engine
    abilities = engine.abilities
    assert abilities.batches == hasattr(type(can), "render_many") == hasattr(type(can), "views_at_once")
    assert abilities.networks == hasattr(can, "components") == hasattr(can, "on_trial")
    assert abilities.volume == hasattr(can, "field")
    assert abilities.mesh == hasattr(can, "mesh")
    assert abilities.several == hasattr(can, "together")
    assert abilities.geometry == hasattr(can, "asset") == hasattr(can, "motion")
    assert abilities.brought == hasattr(can, "bring") == hasattr(can, "made") == hasattr(can, "mannequin")
    if abilities.networks:
        assert list(can.components(torch.device("cpu"), Precision.FLOAT32))


def check_views(images: torch.Tensor, cameras: Cameras) -> None:
    assert images.shape == (len(cameras), cameras.height, cameras.width, 4)
    assert images.dtype == torch.uint8


def test_views_are_an_axis(engine: AnyEngine, avatar: Any, portrait: FaceObservation) -> None:
    cameras = fan(FEW)
    state = engine.drive(avatar, seen_by(engine, portrait))
    together = engine.render(state, cameras)
    check_views(together.images, cameras)
    assert together.images[..., :3].float().std() > 1, "something is seen"
    one = cameras.split(3)[1]
    alone = engine.render(state, one)
    assert alone.first == 1
    difference = (alone.images[0].float() - together.images[1].float()).abs().mean()
    # a shared volume is as fine as its company: that is 2.5 of 255 for a network of noise
    assert difference < 5, "a view is what it is alone"


def test_the_same_is_the_same(engine: AnyEngine, avatar: Any, portrait: FaceObservation) -> None:
    cameras, seen = fan(FEW), seen_by(engine, portrait)
    first = engine.render(engine.drive(avatar, seen), cameras).images
    engine.drive(avatar, seen_by(engine, hostile(portrait)["points anywhere"]))
    assert torch.equal(engine.render(engine.drive(avatar, seen), cameras).images, first), "an engine remembers nobody"


@pytest.mark.parametrize("case", CASES)
def test_nothing_that_is_seen_breaks_it(engine: AnyEngine, avatar: Any, portrait: FaceObservation, case: str) -> None:
    cameras = fan(FEW)
    with np.errstate(all="ignore"):
        state = engine.drive(avatar, seen_by(engine, hostile(portrait)[case]))
        check_views(engine.render(state, cameras).images, cameras)
    after = engine.render(engine.drive(avatar, seen_by(engine, portrait)), cameras)
    assert after.images[..., :3].float().std() > 1, "and the next frame is as ever"


def saying(portrait: FaceObservation, mouth: float) -> FaceObservation:
    """Its person with the mouth so far open, 0..1: jaw, lips, and a dark hole in the picture."""
    from pipeline.puppet import scripted

    assert portrait.crop is not None
    crop, seen = portrait.crop.copy(), scripted(portrait, mouth=mouth)
    (left, top), right = seen.landmarks[78, :2].astype(int), int(seen.landmarks[308, 0])
    crop[top : top + int(60 * mouth), left:right] = 10
    return replace(seen, crop=crop, matte=portrait.matte)


def test_where_the_portrait_shows_no_mouth_none_opens(
    engine: AnyEngine, avatar: Any, portrait: FaceObservation
) -> None:
    if engine.name == "live" or engine.abilities.brought:
        pytest.skip("it is made of no portrait, so none says what a mask hides")
    cameras = fan(Screen("one", 1, 1, 128, 128, 1.0, fan_yaws(1)))
    at_rest, opened = (seen_by(engine, saying(portrait, mouth)) for mouth in (0.0, 1.0))

    lips = saying(portrait, 1.0).landmarks[[78, 308, 13, 14], :2] * 128 / CROP
    (left, top), (right, bottom) = lips.min(axis=0).astype(int), lips.max(axis=0).astype(int)

    def opening(one: Any) -> tuple[float, float]:
        """By how much all changes, and by how much it becomes darker where a mouth would be open."""
        shut, wide = (
            engine.render(engine.drive(one, seen), cameras).images[..., :3].float() for seen in (at_rest, opened)
        )
        return float((shut - wide).abs().mean()), float((shut - wide)[:, top:bottom, left:right].mean())

    moves, hole = opening(avatar)
    assert moves > 0, "else nothing was asked"
    masked = replace(portrait, mouth_seen=False)
    # parametric shapes a whole head for each portrait: what it would keep of this one is put into the one that there is
    there = replace(avatar, mouth_seen=False) if engine.name == "parametric" else engine.enrol(masked)
    _, covered = opening(there)
    assert covered <= max(0.0, hole / 2)


def test_an_engine_whose_avatars_are_brought_refuses_a_photo_and_says_where_to_get_one(
    engine: AnyEngine, portrait: FaceObservation
) -> None:
    if not engine.abilities.brought:
        pytest.skip("it enrols photos")
    with pytest.raises(PortraitRejected, match="avatars import") as refused:
        engine.enrol(portrait)
    assert refused.value.reason == "brought-only"


@pytest.mark.parametrize("case", ["all points in one", "points anywhere", "not a number"])
def test_a_portrait_of_no_face_is_refused_in_words_or_becomes_an_avatar(
    engine: AnyEngine, portrait: FaceObservation, case: str
) -> None:
    with np.errstate(all="ignore"):
        made = refused = None
        try:
            made = engine.enrol(hostile(portrait)[case])
        except PortraitRejected as refusal:
            refused = refusal
        if refused is not None:
            assert str(refused)
            assert refused.reason
            return
        check_views(engine.render(engine.drive(made, seen_by(engine, portrait)), fan(FEW)).images, fan(FEW))
