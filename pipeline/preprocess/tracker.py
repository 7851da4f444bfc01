"""Tracker: where MediaPipe is asked for landmarks. The only file, with matte.py, that knows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from pipeline.preprocess.landmarks import to_array
from pipeline.preprocess.quiet import without_chatter

LARGEST_SIDE = 1280
"Pictures are shrunk to this before tracking. FaceMesh looks at 192 pixels of a face; 720p costs it 0.4 ms more than 360p."


@dataclass(frozen=True)
class TrackedFace:
    """One face in one picture."""

    points: np.ndarray
    "[478, 3] float32 pixels of the picture that was given: x right, y down, z into the scene."
    confidence: float
    "0..1."


class Tracker(Protocol):
    """Finds faces in pictures that follow one another. Used from one thread at a time."""

    def track(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        """The faces in `pixels` [H, W, 3] uint8 RGB, taken at `seconds`; most prominent first."""
        ...

    def close(self) -> None: ...


class ModelMissing(RuntimeError):
    """The operator named a model file that is not there; the message says which and what to do."""


class FaceMeshTracker:
    """MediaPipe's FaceMesh with the refined lips, eyes and irises. Its models come with the package."""

    def __init__(self, still: bool = False, faces: int = 1) -> None:
        with without_chatter():
            import mediapipe

            self._mesh: Any = mediapipe.solutions.face_mesh.FaceMesh(  # type: ignore[attr-defined]
                static_image_mode=still, max_num_faces=faces, refine_landmarks=True
            )
            self._mesh.process(np.zeros((64, 64, 3), np.uint8))  # the first call takes 45..70 ms

    def track(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        found = self._mesh.process(shrunk(pixels)).multi_face_landmarks or []
        return [TrackedFace(in_pixels(to_array(one), pixels), 1.0) for one in found]

    def close(self) -> None:
        self._mesh.close()


class FaceLandmarkerTracker:
    """MediaPipe's Tasks API, for operators who bring a `face_landmarker.task`."""

    def __init__(self, model: Path, still: bool = False, faces: int = 1) -> None:
        if not model.is_file():
            raise ModelMissing(
                f"no face landmarker model at {model}: put MediaPipe's face_landmarker.task there, or leave the setting empty "
                "to use the models that come with mediapipe"
            )
        with without_chatter():
            from mediapipe.tasks.python import BaseOptions, vision

            mode = vision.RunningMode.IMAGE if still else vision.RunningMode.VIDEO
            base = BaseOptions(model_asset_path=str(model))
            options = vision.FaceLandmarkerOptions(base_options=base, running_mode=mode, num_faces=faces)
            self._still, self._last = still, -1
            self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def track(self, pixels: np.ndarray, seconds: float) -> list[TrackedFace]:
        from mediapipe import Image, ImageFormat

        image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(shrunk(pixels)))
        if self._still:
            found = self._landmarker.detect(image)
        else:
            self._last = max(self._last + 1, round(seconds * 1000))  # it refuses times that do not grow
            found = self._landmarker.detect_for_video(image, self._last)
        rows = [np.array([(p.x, p.y, p.z) for p in one], dtype=np.float32) for one in found.face_landmarks]
        return [TrackedFace(in_pixels(row, pixels), 1.0) for row in rows]

    def close(self) -> None:
        self._landmarker.close()


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """`pixels` with no side longer than LARGEST_SIDE."""
    share = LARGEST_SIDE / max(pixels.shape[:2])
    if share >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * share)), max(1, round(pixels.shape[0] * share))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def in_pixels(normalised: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """MediaPipe's x in widths, y in heights and z in widths, as pixels."""
    height, width = pixels.shape[:2]
    return normalised * np.array([width, height, width], dtype=np.float32)


def open_tracker(model: Path | None, still: bool = False, faces: int = 1) -> Tracker:
    """The Tasks API where a model file is configured, else FaceMesh. Raises ModelMissing."""
    return FaceMeshTracker(still, faces) if model is None else FaceLandmarkerTracker(model, still, faces)
