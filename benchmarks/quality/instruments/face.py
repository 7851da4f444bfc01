"""Face: an independent look at pictures, one by one and without smoothing: where a face's points lie, what it does, how it is turned.

MediaPipe's FaceLandmarker where it was brought, which gives 52 blendshapes besides; else the FaceMesh that comes with mediapipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality.instruments import catalogue
from pipeline.preprocess.canonical import (
    CHIN,
    FOREHEAD,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    MOUTH_CORNERS,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from pipeline.preprocess.framing import UPRIGHT, Stance, stance_of
from pipeline.preprocess.quiet import without_chatter

BLENDSHAPES = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
"Those of FaceLandmarker's 52 that move something, in its own order: its first, _neutral, is left out."
MOUTH = np.array([61, 291, 0, 17, 13, 14, 78, 308, 37, 267, 84, 314, 82, 312, 87, 317])
EYES = np.array([33, 133, 159, 145, 160, 158, 153, 144, 263, 362, 386, 374, 387, 385, 380, 373])
OVAL = np.array(
    [
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    ]
)
_BROWS = ((105, 33, 133), (334, 263, 362))
"Of each side a brow's point and its eye's corners."
SIGNALS = ("mouth", "right eye", "left eye", "brows", "gaze x", "gaze y", "yaw", "pitch", "roll")


@dataclass(frozen=True)
class Look:
    """One face in one picture."""

    points: np.ndarray
    "[478, 3] float32 pixels: x right, y down, z into the scene."
    blendshapes: np.ndarray | None
    "[51] float32 0..1, as BLENDSHAPES; None where FaceMesh looked."

    @property
    def eye_distance(self) -> float:
        """Pixels between the eyes' outer corners."""
        return _apart(self.points, RIGHT_EYE[0], LEFT_EYE[0])

    @property
    def stance(self) -> Stance:
        return stance_of(self.points.astype(np.float64))

    @property
    def angles(self) -> np.ndarray:
        """[3] degrees yaw (positive: to the picture's right), pitch (up), roll (counter-clockwise as seen)."""
        return angles_of(self.stance.rotation)

    @property
    def signals(self) -> np.ndarray:
        """[9] as SIGNALS: shares of the face's own measures, and degrees."""
        stance = self.stance
        still = stance.similarity.undo(self.points.astype(np.float64) @ UPRIGHT)
        mouth = _apart(still, *INNER_LIPS) / _apart(still, FOREHEAD, CHIN)
        eyes = [_apart(still, eye[2], eye[3]) / _apart(still, eye[0], eye[1]) for eye in (RIGHT_EYE, LEFT_EYE)]
        brows = [still[top, 1] - (still[a, 1] + still[b, 1]) / 2 for top, a, b in _BROWS]
        across = _apart(still, RIGHT_EYE[0], LEFT_EYE[0])
        gazes = [
            (still[iris] - (still[eye[0]] + still[eye[1]]) / 2)[:2] / _apart(still, eye[0], eye[1])
            for iris, eye in ((RIGHT_IRIS, RIGHT_EYE), (LEFT_IRIS, LEFT_EYE))
        ]
        return np.array([mouth, *eyes, np.mean(brows) / across, *np.mean(gazes, 0), *angles_of(stance.rotation)])

    @property
    def five(self) -> np.ndarray:
        """[5, 2] pixels: eyes' centres (left in the picture first), nose's tip, mouth's corners."""
        eyes = [self.points[list(eye[:2]), :2].mean(0) for eye in (RIGHT_EYE, LEFT_EYE)]
        return np.stack([*eyes, self.points[1, :2], *self.points[list(MOUTH_CORNERS), :2]])


def angles_of(rotation: np.ndarray) -> np.ndarray:
    """[3] degrees yaw, pitch, roll of a [3, 3] that turns the head at rest (world axes)."""
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(-rotation[1, 2], -1.0, 1.0))
    return np.degrees([yaw, -pitch, np.arctan2(rotation[1, 0], rotation[1, 1])])


def rotation_of(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3] of a head turned by so many degrees, in world axes: first the nod, then the turn."""
    about_y, about_x = np.radians(yaw), -np.radians(pitch)
    cy, sy, cx, sx = np.cos(about_y), np.sin(about_y), np.cos(about_x), np.sin(about_x)
    return np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])


class Looker:
    """Used from one thread at a time."""

    def __init__(self, plain: bool = False) -> None:
        """`plain`: FaceMesh, though FaceLandmarker is there."""
        self.blendshapes = not plain and catalogue.here("blendshapes")
        self._model: Any = _landmarker() if self.blendshapes else _mesh()

    def look(self, pixels: np.ndarray) -> Look | None:
        """The face in `pixels` [H, W, 3] uint8 RGB, or None."""
        pixels = np.ascontiguousarray(pixels)
        height, width = pixels.shape[:2]
        shapes = None
        if self.blendshapes:
            from mediapipe import Image, ImageFormat

            found = self._model.detect(Image(image_format=ImageFormat.SRGB, data=pixels))
            faces = found.face_landmarks
            if faces:
                shapes = np.array([one.score for one in found.face_blendshapes[0]][1:], np.float32)
        else:
            faces = [one.landmark for one in self._model.process(pixels).multi_face_landmarks or ()]
        if not faces:
            return None
        points = np.array([(p.x * width, p.y * height, p.z * width) for p in faces[0]], np.float32)
        return Look(points, shapes)

    def close(self) -> None:
        self._model.close()


def _landmarker() -> Any:
    (path,) = catalogue.files("blendshapes")
    with without_chatter():
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            output_face_blendshapes=True,
            min_face_detection_confidence=0.3,
            min_face_presence_confidence=0.3,
        )
        return vision.FaceLandmarker.create_from_options(options)


def _mesh() -> Any:
    with without_chatter():
        from mediapipe.python.solutions.face_mesh import FaceMesh

        return FaceMesh(static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.3)


def _apart(points: np.ndarray, i: int, j: int) -> float:
    return max(float(np.linalg.norm(points[i] - points[j])), 1e-6)
