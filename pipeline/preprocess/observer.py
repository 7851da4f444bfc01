"""Observer: Frame -> FaceObservation, one observer per caller. A still portrait takes the same road."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from engines.actions import ACTIONS
from engines.contract import AROUND, CROP, FaceObservation
from pipeline.frame import Frame
from pipeline.preprocess import blendshapes, framing, suitability
from pipeline.preprocess.action_table import ActionTable
from pipeline.preprocess.actions import Actions, Look
from pipeline.preprocess.canonical import CANONICAL, CHIN, FOREHEAD
from pipeline.preprocess.following import Presence, most_prominent, the_same
from pipeline.preprocess.heading import place_of
from pipeline.preprocess.matte import Matting
from pipeline.preprocess.neutral import Neutral
from pipeline.preprocess.occlusion import mouth_seen
from pipeline.preprocess.rigid import nearest_rotation
from pipeline.preprocess.smoothing import OneEuro, Response
from pipeline.preprocess.tracker import LARGEST_SIDE, TrackedFace, open_tracker

SHAPE_RESPONSE = Response(rest_hz=2.0, per_speed=5.0, speed_hz=5.0)
"""Of `shape`, centimetres: a lid that blinks moves at 5..10 cm/s and passes at 25 Hz and more. Measured on the clips: the mouth's
opening correlates 0.995 with the unsmoothed one while talking, the lids' 0.991 while blinking, and trembling is 0.35 of what it was."""
TURN_RESPONSE = Response(rest_hz=2.0, per_speed=20.0)
"Of the rotation matrix: a turn of 60 degrees a second passes at 20 Hz. Yaw correlates 0.97..1.0, trembling is 0.4 of what it was."
PLACE_RESPONSE = Response(rest_hz=1.5, per_speed=1.0)
"Of where the head is, in its own centimetres, and of the logarithm of its scale times ten."


class _Steady:
    """Smooths a face in its own measure, so that a small face is not smoothed more than a large one."""

    def __init__(self, smoothed: bool = True) -> None:
        self._smoothed = smoothed
        self._shape, self._turn = OneEuro(SHAPE_RESPONSE), OneEuro(TURN_RESPONSE)
        self._place, self._scale = OneEuro(PLACE_RESPONSE), OneEuro(PLACE_RESPONSE)

    def update(self, points: np.ndarray, now: float) -> tuple[np.ndarray, framing.Stance]:
        """(shape [478, 3] in canonical centimetres, stance) of landmarks [478, 3] in picture widths at `now`."""
        stance = framing.stance_of(points)
        if not self._smoothed:
            return stance.similarity.undo(points @ framing.UPRIGHT), stance
        shape = self._shape.update(stance.similarity.undo(points @ framing.UPRIGHT), now)
        rotation = nearest_rotation(self._turn.update(stance.rotation, now))
        scale = float(np.exp(self._scale.update(10 * np.log(np.array(stance.scale)), now) / 10))
        shift = self._place.update(stance.shift / scale, now) * scale
        return shape, framing.Stance(rotation, scale, shift)


@dataclass(frozen=True)
class _Known:
    """What is known of the face that is followed."""

    steady: _Steady
    neutral: Neutral
    actions: Actions | None
    "Where the engine wants them."
    face: TrackedFace
    at: float
    "When it was last seen, in seconds."
    observation: FaceObservation
    lost: bool = False
    "Whether the last frame did not show it."


class Observer:
    """Follows one caller's face. Used from one thread at a time; time comes from the frames alone.

    A 640x480 frame takes 3.5 ms of one 2.5 GHz core, a crop 0.9 more, a matte 13 more; an empty picture 7.
    """

    def __init__(
        self,
        wants: frozenset[str] = frozenset(),
        landmarker: Path | None = None,
        smoothed: bool = True,
        weights: Path | None = None,
    ) -> None:
        """`wants`: what an engine reads besides landmarks (Engine.wants). `landmarker`: a face_landmarker.task, or None. `weights`: the
        folder of imported ones; facial actions are read with the network in it, where there is one, else by our own table.
        Not `smoothed` is for measuring what smoothing does (benchmarks/quality)."""
        self._smoothed = smoothed
        self._wants = wants
        self._tracker = open_tracker(landmarker)
        self._matting = Matting() if "matte" in wants else None
        self._reading = (blendshapes.opened(weights), ActionTable.ours()) if "actions" in wants else None
        self._presence = Presence()
        self._known: _Known | None = None
        self._nobody = _unseen(wants)

    def observe(self, frame: Frame) -> FaceObservation:
        """The caller's face as this frame shows it; while it is lost, the last one with presence sinking to 0. Never raises."""
        waited_for = self._known if self._presence.waiting else None
        face = self._find(frame, waited_for)
        presence = self._presence.update(face is not None, frame.captured)
        if face is not None:
            self._known = self._seen(face, frame, waited_for)
        elif self._known is not None:
            self._known = replace(self._known, observation=replace(self._known.observation, confidence=0.0), lost=True)
        if self._known is None:
            return self._nobody
        return replace(self._known.observation, presence=presence)

    def _find(self, frame: Frame, known: _Known | None) -> TrackedFace | None:
        """The face that is being followed; where nobody is, or nobody any more, the most prominent."""
        pixels, now = frame.pixels, frame.captured
        if known is not None and not known.lost:
            face = self._tracker.follow(pixels, now, known.face)
            if face is not None:
                return face
        faces = self._tracker.find(pixels, now)
        places = [face.place for face in faces]
        index = most_prominent(places) if known is None else the_same(known.face.place, places, now - known.at)
        return None if index is None else faces[index]

    def _seen(self, face: TrackedFace, frame: Frame, known: _Known | None) -> _Known:
        neutral = known.neutral if known else Neutral()
        steady = known.steady if known and not known.lost else _Steady(self._smoothed)
        actions = known.actions if known else Actions(*self._reading) if self._reading else None
        observation = _observe(face, frame, steady, neutral, self._wants, self._matting, fine=False, actions=actions)
        return _Known(steady, neutral, actions, face, frame.captured, observation)

    def close(self) -> None:
        """Frees the models; the observer is of no use afterwards."""
        self._tracker.close()
        if self._matting is not None:
            self._matting.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def observe_portrait(frame: Frame, landmarker: Path | None = None) -> FaceObservation:
    """The one face of a still picture, with crop and matte, upright. Raises PortraitRejected."""
    tracker = open_tracker(landmarker)
    try:
        faces = tracker.search(frame.pixels)
    finally:
        tracker.close()
    faces = sorted(faces, key=lambda face: -_height(face.points))
    suitability.require(_facts(faces, frame.pixels))
    matting = Matting()
    try:
        wants = frozenset({"crop", "matte"})
        found = _observe(faces[0], frame, _Steady(), Neutral(), wants, matting, fine=True)
    finally:
        matting.close()
    assert found.crop is not None
    # the photo's tilt is not the person's
    return replace(found, roll=0.0, place=None, size=None, mouth_seen=mouth_seen(found.crop, found.landmarks))


def _observe(
    face: TrackedFace,
    frame: Frame,
    steady: _Steady,
    neutral: Neutral,
    wants: frozenset[str],
    matting: Matting | None,
    fine: bool,
    actions: Actions | None = None,
) -> FaceObservation:
    shape, stance = steady.update(face.points, frame.captured)
    upright = stance.upright
    turned = float(np.degrees(np.arccos(np.clip(upright[2, 2], -1.0, 1.0))))
    crop = matte = around = None
    if wants & {"crop", "matte"}:
        to_crop = framing.picture_to_crop(stance, frame.pixels.shape[1])
        crop = framing.cut(frame.pixels, to_crop, fine)
        matte = matting.matte(frame.pixels, to_crop, crop, fine) if matting is not None else None
        around = _around(frame.pixels, to_crop, matting) if fine and matting is not None else None
    landmarks, rest = framing.in_crop(shape, upright), neutral.update(shape, turned, frame.captured)
    look = Look(landmarks, framing.in_crop(rest, upright), shape, rest) if actions is not None else None
    return FaceObservation(
        landmarks=landmarks,
        shape=shape.astype(np.float32),
        neutral=rest,
        pose=framing.pose_of(upright),
        confidence=face.confidence,
        roll=stance.roll,
        crop=crop if "crop" in wants else None,
        matte=matte,
        actions=actions.update(look, frame.captured) if actions is not None and look is not None else None,
        around=around,
        place=place_of(stance, frame.pixels.shape[0] / frame.pixels.shape[1]),
        size=_height(face.points) * frame.pixels.shape[1] * min(1.0, LARGEST_SIDE / max(frame.pixels.shape[:2])),
    )


def _around(pixels: np.ndarray, to_crop: np.ndarray, matting: Matting) -> np.ndarray:
    """[704, 704, 4] uint8, as FaceObservation.around."""
    wide = framing.cut(pixels, to_crop, fine=True, around=AROUND)
    matte = matting.matte(pixels, to_crop, wide, fine=True)
    there = framing.cut(np.full(pixels.shape[:2], 255, np.uint8), to_crop, fine=False, around=AROUND) > 254
    alpha = np.where(there, 1 + np.round(254 * matte), 0).astype(np.uint8)
    return np.dstack([wide, alpha])


def _unseen(wants: frozenset[str]) -> FaceObservation:
    """What is known before the first face: an average one at rest, looking straight ahead, not there."""
    return FaceObservation(
        landmarks=framing.in_crop(CANONICAL, np.eye(3)),
        shape=CANONICAL,
        neutral=CANONICAL,
        pose=framing.pose_of(np.eye(3)),
        confidence=0.0,
        presence=0.0,
        crop=np.zeros((CROP, CROP, 3), np.uint8) if "crop" in wants else None,
        matte=np.zeros((CROP, CROP), np.float32) if "matte" in wants else None,
        actions=np.zeros(len(ACTIONS), np.float32) if "actions" in wants else None,
    )


def _height(points: np.ndarray) -> float:
    return float(np.linalg.norm(points[FOREHEAD] - points[CHIN]))


def _facts(faces: list[TrackedFace], pixels: np.ndarray) -> suitability.Seen:
    width = pixels.shape[1]
    sizes = tuple(_height(face.points) * width for face in faces)
    if not faces:
        return suitability.Seen(sizes)
    upright = framing.stance_of(faces[0].points).upright
    yaw = float(np.degrees(np.arctan2(upright[0, 2], upright[2, 2])))
    pitch = float(np.degrees(np.arcsin(np.clip(upright[1, 2], -1.0, 1.0))))
    luma, contrast = _light(pixels, faces[0].points * width, sizes[0])
    return suitability.Seen(sizes, luma, contrast, yaw, pitch)


def _light(pixels: np.ndarray, points: np.ndarray, size: float) -> tuple[float, float]:
    """Mean luma inside the face's outline, and how far its darkest and brightest twentieth lie apart; both 0..255.

    Blurred by a sixtieth of the face: noise is no contrast.
    """
    hull = cv2.convexHull(points[:468, :2].astype(np.int32))
    inside = np.zeros(pixels.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, hull, (255,))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    luma = cv2.GaussianBlur(grey, (0, 0), max(size / 60, 0.3))[inside > 0]
    if not len(luma):
        return 0.0, 0.0
    low, high = np.percentile(luma, [5, 95])
    return float(luma.mean()), float(high - low)
