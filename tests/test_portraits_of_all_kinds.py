"""Faces as strangers photograph them: far away, several, in little light, under a mask. Two public-domain photos, placed by code."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from engines.contract import FaceObservation, PortraitRejected
from engines.relief.engine import Relief
from engines.relief.topology import CHIN, LOWER_LIP_INNER, LOWER_LIP_OUTER, UPPER_LIP_INNER, UPPER_LIP_OUTER
from pipeline.frame import Frame
from pipeline.preprocess.facemesh import LARGEST_TILE, FaceDetector, tiles
from pipeline.preprocess.observer import Observer, observe_portrait
from pipeline.preprocess.occlusion import mouth_seen
from pipeline.preprocess.tracker import FaceMeshTracker
from pipeline.puppet import puppet_portrait, scripted
from tests.test_observer import on_canvas

FACES = {"officer": puppet_portrait().pixels, "astronaut": astronaut()}
HEIGHTS = {"officer": 205, "astronaut": 112}
"Of the faces in them, forehead to chin."
MASK = [195, 50, 123, 177, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 401, 352, 280]
"Landmarks along the edge of a medical mask, from the nose's bridge."


def portrait(pixels: np.ndarray) -> FaceObservation:
    return observe_portrait(Frame(pixels, 0.0))


def refusal(pixels: np.ndarray) -> str:
    with pytest.raises(PortraitRejected) as rejected:
        portrait(pixels)
    return rejected.value.reason


@pytest.fixture(scope="module")
def wrong_near() -> np.ndarray:
    """A picture in which the near detector takes something for a face that is none, and misses the one that is there."""
    pixels = on_canvas((1280, 720), (FACES["officer"], 0.6731, 770, 267))
    tracker = FaceMeshTracker()
    scores = [tracker._model.look(pixels, region)[1] for region in tracker._detector.near(pixels)]
    tracker.close()
    assert scores, "the near detector finds nothing here any more: choose another place"
    assert max(scores) < 0.5, "the near detector is right here: choose another place"
    return pixels


def test_a_wrong_answer_of_one_detector_does_not_keep_the_other_from_being_asked(wrong_near: np.ndarray):
    assert portrait(wrong_near).confidence > 0.9
    with Observer() as observer:
        assert observer.observe(Frame(wrong_near, 0.0)).confidence > 0.9


@pytest.mark.parametrize(("size", "height"), [((2048, 2048), 90), ((1080, 1920), 44)])
@pytest.mark.parametrize("who", FACES)
def test_a_face_of_a_few_percent_of_the_picture_becomes_an_avatar(who: str, size: tuple[int, int], height: int):
    placed = (FACES[who], height / HEIGHTS[who], size[0] // 3, size[1] // 2)
    assert portrait(on_canvas(size, placed)).confidence > 0.9


def test_a_face_too_small_to_use_is_told_from_none():
    tiny = on_canvas((1280, 1280), (FACES["officer"], 32 / HEIGHTS["officer"], 500, 600))
    assert refusal(tiny) == "too_small"
    assert refusal(on_canvas((1280, 1280))) == "no_face"


@pytest.mark.parametrize("height", [150, 80, 50])
def test_equal_faces_are_never_accepted_without_a_word(height: int):
    placed = [
        (FACES[who], height / HEIGHTS[who], left, 300)
        for who, left in [("officer", 60), ("astronaut", 420), ("officer", 860)]
    ]
    assert refusal(on_canvas((1280, 900), *placed)) == "several_faces"


@pytest.mark.parametrize(("width", "height"), [(2048, 2048), (421, 100), (1920, 1080), (90, 1280), (420, 420), (1, 1)])
def test_tiles_cover_the_picture_and_any_place_is_well_inside_one(width: int, height: int):
    found = tiles(width, height)
    assert bool(found) == (max(width, height) > LARGEST_TILE)
    for left, top, side in found:
        assert 0 <= left < width
        assert 0 <= top < height
        assert left + side <= max(width, side)
    smallest = min((side for *_, side in found), default=0)
    for x, y in np.random.default_rng(0).uniform([0, 0], [width, height], (200, 2)):
        inside = [
            min(x - left if left else side, left + side - x if left + side < width else side) / side
            for left, top, side in found
            if side == smallest and left <= x <= left + side and top <= y <= top + side
        ]
        assert not found or max(inside) >= 0.24


def test_the_detectors_take_what_is_no_picture_for_empty():
    detector = FaceDetector()
    for shape in ((1, 1, 3), (2, 700, 3), (500, 1, 3)):
        assert not detector.closely(np.zeros(shape, np.uint8))
    detector.close()


@pytest.mark.parametrize("who", FACES)
def test_darkness_is_a_lack_of_contrast_and_not_of_brightness(who: str):
    pixels = FACES[who].astype(float)
    deep = 255 * (pixels / 255) ** 4  # dark skin in fair light: a quarter of the brightness, all of the contrast
    assert portrait(deep.astype(np.uint8)).confidence > 0.9
    sunk = np.clip(pixels - 120, 0, 255)
    assert portrait(sunk.astype(np.uint8)).confidence > 0.9
    assert refusal((pixels * 0.12).astype(np.uint8)) == "too_dark"
    assert refusal((pixels * 0.12 + 150).astype(np.uint8)) == "too_flat"


def masked(pixels: np.ndarray, colour: tuple[int, int, int], pleats: bool) -> np.ndarray:
    """With a mask from the nose to below the chin, shaded to its sides."""
    tracker = FaceMeshTracker()
    edge = tracker.search(pixels)[0].points[MASK, :2] * pixels.shape[1]
    tracker.close()
    area = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillPoly(area, [edge.astype(np.int32)], (255,))
    shade = 1 - 0.1 * np.abs(np.linspace(-1, 1, pixels.shape[1]))[None, :, None]
    if pleats:
        fold = max(2, int(np.ptp(edge[:, 1]) / 8))
        shade = shade * (1 - 0.15 * (np.arange(len(pixels)) // fold % 2))[:, None, None]
    soft = cv2.GaussianBlur(area, (0, 0), 1.2)[..., None] / 255.0
    return (pixels * (1 - soft) + np.clip(np.array(colour) * shade, 0, 255) * soft).astype(np.uint8)


CLOTH = {
    "surgical": ((150, 190, 220), True),
    "white": ((245, 245, 245), True),
    "black": ((30, 30, 32), False),
    "red": ((180, 60, 60), True),
    "green": ((90, 140, 110), False),
    "like skin": ((200, 160, 140), False),
    "like skin, pleated": ((200, 160, 140), True),
}


@pytest.mark.parametrize(("cloth", "who"), zip(CLOTH, cycle(FACES), strict=False))
def test_a_mouth_under_a_mask_is_not_seen(who: str, cloth: str):
    assert not portrait(masked(FACES[who], *CLOTH[cloth])).mouth_seen


@pytest.mark.parametrize("who", FACES)
@pytest.mark.parametrize(
    "light",
    [
        lambda pixels: pixels,
        lambda pixels: np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2),
        lambda pixels: (255 * (pixels / 255.0) ** 3).astype(np.uint8),
        lambda pixels: (pixels * [1.0, 0.6, 0.5]).astype(np.uint8),
        lambda pixels: (pixels * [0.55, 0.7, 1.0]).astype(np.uint8),
        lambda pixels: cv2.resize(pixels, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
    ],
    ids=["day", "grey", "dark", "evening", "shade", "small"],
)
def test_a_mouth_that_is_there_is_seen(who: str, light):
    assert portrait(light(FACES[who])).mouth_seen


def test_a_beard_is_no_mask():
    found = portrait(FACES["officer"])
    assert found.crop is not None
    bearded = found.crop.copy()
    around = np.zeros(bearded.shape[:2], np.uint8)
    jaw = found.landmarks[[*MASK[2:20]], :2].astype(np.int32)
    cv2.fillPoly(around, [cv2.convexHull(jaw)], (255,))
    lips = found.landmarks[[*UPPER_LIP_OUTER, *LOWER_LIP_OUTER], :2].astype(np.int32)
    cv2.fillPoly(around, [cv2.convexHull(lips)], (0,))
    soft = cv2.GaussianBlur(around, (0, 0), 1.5)[..., None] / 255.0
    bearded = (bearded * (1 - soft) + np.array([52, 44, 38]) * soft).astype(np.uint8)
    assert mouth_seen(bearded, found.landmarks)


def lips_and_chin(relief: Relief, found: FaceObservation, mouth: float) -> tuple[float, float]:
    """Crop pixels: the gap between the lips while a caller opens the mouth so far, and how low the chin then is."""
    state = relief.drive(relief.enrol(found), scripted(found, mouth=mouth))
    face = state.points[state.avatar.parts.face]
    return float((face[LOWER_LIP_INNER, 1] - face[UPPER_LIP_INNER, 1]).max()), float(face[CHIN, 1])


@pytest.mark.parametrize("who", FACES)
def test_no_mouth_opens_in_a_mask_while_the_jaw_below_it_moves(relief: Relief, who: str):
    found = portrait(masked(FACES[who], *CLOTH["surgical"]))
    shut, opened = lips_and_chin(relief, found, 0.0), lips_and_chin(relief, found, 1.0)
    assert opened[0] < shut[0] + 1.5
    assert opened[1] > shut[1] + 5
    assert lips_and_chin(relief, replace(found, mouth_seen=True), 1.0)[0] > shut[0] + 15, "else nothing was asked"
