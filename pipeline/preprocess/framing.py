"""Framing: how a face lies in the 512x512 crop, and the camera that took that crop. Pure geometry but for `cut`.

The official preprocessing of VOODOO 3D fits five reference points to a picture whose roll has been taken out, puts the fit's
origin in the middle of the crop and its unit at 219.4 pixels; a camera position is -0.27 units of that fit to the world's unit,
moved by (0, 0.006, 0.161). The unit is a decimetre of an adult's face: 2985.29 / 700 * 512 pixels of focal length at distance
2.7 show 0.027 world units as 21.8 pixels, which agrees with 219.4 / 10 to 0.5 %. The reference points themselves are licensed and
not used here. Their origin, seen from the front, is the point that leaves the eyes of the average face at 37 % and the mouth's
corners at 67 % of the crop's height, as pictures in this framing have them; its depth leaves LOOK_AT between eyes and nose.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engines.contract import CROP
from pipeline.preprocess.canonical import CANONICAL, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, RIGID
from pipeline.preprocess.rigid import Similarity, fit

PIXELS_PER_CM = 21.94
"Crop pixels for one centimetre of the canonical face."
WORLD_PER_CM = 0.027
"World units for one centimetre of the canonical face."
ORIGIN = np.array([0.0, -0.4, 2.1])
"Where the official fit has its origin, in canonical centimetres."
ORIGIN_IN_WORLD = np.array([0.0, 0.006, 0.161])
CAMERA_DISTANCE = 2.7
"Of every camera from the world's origin: the official preprocessing rescales to it."

UPRIGHT = np.diag([1.0, -1.0, -1.0])
"From picture axes (x right, y down, z into the scene) to the world's (x right, y up, z towards the viewer), and back."

_EYES = CANONICAL[[*RIGHT_EYE[:2]]].mean(axis=0), CANONICAL[[*LEFT_EYE[:2]]].mean(axis=0)
_EYE_TO_EYE = _EYES[1] - _EYES[0]
_EYES_TO_MOUTH = CANONICAL[[*MOUTH_CORNERS]].mean(axis=0) - (_EYES[0] + _EYES[1]) / 2


@dataclass(frozen=True)
class Stance:
    """How a head stands in a picture: canonical centimetres become picture widths by scale * rotation @ point + shift."""

    rotation: np.ndarray
    "[3, 3]: turns the head at rest to the head as seen, in world axes."
    scale: float
    "Picture widths per centimetre."
    shift: np.ndarray
    "[3] picture widths, y up: where the canonical origin lies."

    @property
    def similarity(self) -> Similarity:
        return Similarity(self.scale, self.rotation, self.shift)

    @property
    def roll(self) -> float:
        """Radians, counter-clockwise in the picture, that the FFHQ alignment turns back: it levels eyes and mouth together."""
        across = (self.rotation @ _EYE_TO_EYE)[:2]
        down = (self.rotation @ _EYES_TO_MOUTH)[:2]
        level = across + np.array([-down[1], down[0]])
        return float(np.arctan2(level[1], level[0]))

    @property
    def upright(self) -> np.ndarray:
        """[3, 3]: the rotation without the roll, as the crop shows the head."""
        return turn_in_picture(-self.roll) @ self.rotation


def stance_of(points: np.ndarray) -> Stance:
    """The stance of a face from its landmarks [478, 3] in picture widths (x right, y down, z into the scene).

    MediaPipe's depth makes turns read a little small: a fit to x and y alone reads 1.06..1.14 times the yaw on the clips, and is
    noisier. That is left as it is: stretching depth by 1.2 would mend yaw and spoil nods (shapes vary 0.12 instead of 0.085 cm),
    and landmarks and pose would disagree.
    """
    found = fit(CANONICAL[RIGID].astype(np.float64), points[RIGID] @ UPRIGHT)
    return Stance(found.rotation, found.scale, found.shift)


def turn_in_picture(radians: float) -> np.ndarray:
    """[3, 3] rotation about the line of sight, counter-clockwise as seen."""
    cos, sin = np.cos(radians), np.sin(radians)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def in_crop(shape: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """[N, 3] float32 crop pixels of canonical centimetres `shape` [N, 3] on a head turned by `upright` [3, 3]."""
    from_origin = (shape - ORIGIN) @ (UPRIGHT @ upright).T
    return (PIXELS_PER_CM * from_origin + [CROP / 2, CROP / 2, 0.0]).astype(np.float32)


def pose_of(upright: np.ndarray) -> np.ndarray:
    """[4, 4] float32 cam2world of the camera that sees a head turned by `upright` [3, 3] in the middle of its picture."""
    pose = np.eye(4)
    pose[:3, :3] = upright.T @ UPRIGHT
    away = ORIGIN_IN_WORLD - CAMERA_DISTANCE * pose[:3, 2]
    pose[:3, 3] = away * (CAMERA_DISTANCE / np.linalg.norm(away))
    return pose.astype(np.float32)


def picture_to_crop(stance: Stance, width: int) -> np.ndarray:
    """[2, 3]: takes pixels of a picture `width` pixels wide to the crop's. Pixel centres lie at whole numbers, as in OpenCV."""
    gain = PIXELS_PER_CM / (stance.scale * width)
    turned = gain * (UPRIGHT @ turn_in_picture(-stance.roll) @ UPRIGHT)[:2, :2]
    origin = (UPRIGHT @ stance.similarity.apply(ORIGIN))[:2] * width
    return np.column_stack([turned, CROP / 2 - turned @ origin])


def cut(pixels: np.ndarray, to_crop: np.ndarray, fine: bool, around: int = 0) -> np.ndarray:
    """[512, 512, 3] crop of `pixels` [H, W, 3], black outside, or so many pixels more on each side. `fine` spends 5..20 ms on quality,
    for portraits; else 0.5 ms."""
    to_crop = np.add(to_crop, [[0.0, 0.0, around], [0.0, 0.0, around]])
    gain = float(np.linalg.norm(to_crop[:, 0]))
    if fine and gain < 0.8:  # smaller than life: average, so that nothing flickers
        share = min(1.0, gain * 1.25)
        height, width = pixels.shape[:2]
        size = max(1, round(width * share)), max(1, round(height * share))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        to_crop = to_crop @ _about_pixel_corners(width / size[0], height / size[1])
    method = cv2.INTER_LANCZOS4 if fine else cv2.INTER_LINEAR
    side = CROP + 2 * around
    return cv2.warpAffine(pixels, to_crop, (side, side), flags=method, borderMode=cv2.BORDER_CONSTANT)


def _about_pixel_corners(across: float, down: float) -> np.ndarray:
    """[3, 3]: takes pixels of a picture shrunk by (across, down) back to those of the whole one."""
    return np.array([[across, 0.0, (across - 1) / 2], [0.0, down, (down - 1) / 2], [0.0, 0.0, 1.0]])
