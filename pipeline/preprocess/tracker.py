"""Tracker: finds faces in a picture, and the same face again in the next one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from pipeline.preprocess.facemesh import FaceDetector, LandmarkModel, Region, region_of
from pipeline.preprocess.following import Place, the_same
from pipeline.preprocess.quiet import without_chatter

MOST_FACES = 4
"Faces looked at in one picture: each costs 3 ms."
LARGEST_SIDE = 1280
"Pictures are shrunk to this before tracking. The landmark model looks at 192 pixels of a face; 720p costs 0.4 ms more than 360p."
SMALL = 0.16
"""Of a still picture's longer side: where the largest face is smaller, others of half its size may have been missed by detectors
that look at the whole picture."""
SURE_ENOUGH = 0.5
"The landmark model's score above which there is a face; it is > 0.99 on nearly every frame with a face, < 0.001 without."


@dataclass(frozen=True)
class TrackedFace:
    """One face in one picture."""

    points: np.ndarray
    "[478, 3] float32: x right, y down, z into the scene, all three in widths of the picture."
    confidence: float
    "0..1: the landmark model's own score; 1 where the model gives none."

    @property
    def place(self) -> Place:
        return Place.of(self.points)


class Tracker(Protocol):
    """Used from one thread at a time. Pictures are [H, W, 3] uint8 RGB, taken at `seconds`."""

    def find(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        """The faces in a picture."""
        ...

    def search(self, pixels: np.ndarray) -> list[TrackedFace]:
        """The faces in a still picture, however small: as thoroughly as can be, once."""
        ...

    def follow(self, pixels: np.ndarray, seconds: float, before: TrackedFace) -> TrackedFace | None:
        """The face that was `before` in the last picture; None if it is not to be seen."""
        ...

    def close(self) -> None: ...


class ModelMissing(RuntimeError):
    """The operator named a model file that is not there; the message says which and what to do."""


class FaceMeshTracker:
    """The models that come with mediapipe. To follow a face takes one look of 3 ms; to find faces 2..6 ms and 6 ms for each.

    Where no face is found, 3 ms more go into one tile of the picture, another one each time: so a face that is too small for a look
    at the whole is found within a quarter of a second in 640x480, and within one and a half in 1280x720.
    """

    def __init__(self) -> None:
        self._detector, self._model = FaceDetector(), LandmarkModel()
        self._looks = 0

    def find(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        small, found = shrunk(pixels), []
        for looked in (self._detector.near, self._detector.far):
            self._add(found, small, looked(small)[:MOST_FACES])
        if not found:
            self._looks += 1
            self._add(found, small, self._detector.in_tile(small, self._looks)[:MOST_FACES])
        return found

    def search(self, pixels: np.ndarray) -> list[TrackedFace]:
        pixels, found = np.ascontiguousarray(pixels), []
        for looked in (self._detector.near, self._detector.far):
            self._add(found, pixels, looked(pixels))
        if max((face.place.size for face in found), default=0.0) < SMALL * max(pixels.shape[:2]) / pixels.shape[1]:
            self._add(found, pixels, self._detector.closely(pixels))
        return found

    def _add(self, found: list[TrackedFace], pixels: np.ndarray, regions: list[Region]) -> None:
        """Look at `regions`, and add to `found` what is a face and not yet there."""
        for region in regions:
            if any(_shows(region, face, pixels.shape[1]) for face in found):
                continue
            rough, score = self._model.look(pixels, region)
            face = self._look(pixels, region_of(rough)) if score >= SURE_ENOUGH else None
            if face is not None and the_same(face.place, [other.place for other in found]) is None:
                found.append(face)

    def follow(self, pixels: np.ndarray, seconds: float, before: TrackedFace) -> TrackedFace | None:
        small = shrunk(pixels)
        face = self._look(small, region_of(before.points * small.shape[1]))
        return face if face is not None and face.place.could_have_come_from(before.place) else None

    def _look(self, small: np.ndarray, region: Region) -> TrackedFace | None:
        points, score = self._model.look(small, region)
        return TrackedFace(points / small.shape[1], score) if score >= SURE_ENOUGH else None

    def close(self) -> None:
        self._detector.close()
        self._model.close()


class FaceLandmarkerTracker:
    """MediaPipe's Tasks API, for operators who bring a `face_landmarker.task`."""

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise ModelMissing(
                f"no face landmarker model at {model}: put MediaPipe's face_landmarker.task there, or leave the setting empty "
                "to use the models that come with mediapipe"
            )
        with without_chatter():
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                running_mode=vision.RunningMode.VIDEO,
                num_faces=MOST_FACES,
            )
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self._last = -1

    def find(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        from mediapipe import Image, ImageFormat

        image = Image(image_format=ImageFormat.SRGB, data=shrunk(pixels))
        self._last = max(self._last + 1, round(seconds * 1000))  # it refuses times that do not grow
        found = self._landmarker.detect_for_video(image, self._last)
        widths = np.array([1.0, pixels.shape[0] / pixels.shape[1], 1.0], dtype=np.float32)
        rows = [np.array([(p.x, p.y, p.z) for p in one], dtype=np.float32) for one in found.face_landmarks]
        return [TrackedFace(row * widths, 1.0) for row in rows]

    def search(self, pixels: np.ndarray) -> list[TrackedFace]:
        return self.find(pixels, 0.0)

    def follow(self, pixels: np.ndarray, seconds: float, before: TrackedFace) -> TrackedFace | None:
        faces = self.find(pixels, seconds)
        index = the_same(before.place, [face.place for face in faces])
        return None if index is None else faces[index]

    def close(self) -> None:
        self._landmarker.close()


def _shows(region: Region, face: TrackedFace, width: int) -> bool:
    """Whether `region` of a picture so wide is that of a face which is known already."""
    apart = np.hypot(region.x / width - face.place.x, region.y / width - face.place.y)
    return bool(apart < 0.5 * face.place.size and region.side / width < 3 * face.place.size)


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """`pixels` with no side longer than LARGEST_SIDE, in one piece of memory as MediaPipe asks."""
    gain = min(1.0, LARGEST_SIDE / max(pixels.shape[:2]))
    if gain == 1.0:
        return np.ascontiguousarray(pixels)
    size = max(1, round(pixels.shape[1] * gain)), max(1, round(pixels.shape[0] * gain))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def open_tracker(model: Path | None) -> Tracker:
    """The Tasks API where a model file is configured, else the models that come with mediapipe. Raises ModelMissing."""
    return FaceMeshTracker() if model is None else FaceLandmarkerTracker(model)
