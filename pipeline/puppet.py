"""Puppet: a synthetic source: a scripted face, for when there is no camera. What it does is a function of the time: tests know the truth.

The face is matplotlib's public-domain sample photo (Rear Admiral Grace Hopper, US Navy, 1984), moved by the relief engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import matplotlib
import numpy as np

from display.optics import Cameras, intrinsics, orbit
from engines import catalogue
from engines.contract import AnyEngine, FaceObservation
from pipeline.devices.transfer import Readback
from pipeline.frame import Frame
from pipeline.preprocess import framing
from pipeline.preprocess.expression import JAW, LIDS, SMILE, Opening
from pipeline.preprocess.observer import observe_portrait

RATE = 25
WIDTH, HEIGHT = 640, 480
PERIOD = 8.0
"Seconds after which the script begins again, without a jump."

WIDEST_MOUTH = 1.8
"Centimetres between the lips at mouth = 1."
SHUT_LIDS = 0.78
"Share of an eye's opening that the lids cross at blink = 1: MediaPipe sees 0.2..0.33 of it left in a shut eye."
BROADEST_SMILE = 0.7
"Centimetres that the mouth's corners go out at smile = 1."
_BLINKS = (0.9, 3.1, 5.0, 6.6)
"When the lids are shut, in seconds."
_BLINK_HALF = 0.16
"Seconds from open to shut: a slow blink, so that every one is seen at 25 pictures a second."


@dataclass(frozen=True)
class Gesture:
    """What a face does at one moment."""

    yaw: float = 0.0
    "Degrees; positive turns the face to the picture's right."
    pitch: float = 0.0
    "Degrees; positive looks up."
    roll: float = 0.0
    "Degrees; positive tilts the head counter-clockwise as seen."
    mouth: float = 0.0
    "0 at rest .. 1 wide open."
    blink: float = 0.0
    "0 open .. 1 shut, both eyes."
    smile: float = 0.0
    "0 at rest .. 1 broad."


def _wave(seconds: float, cycles: int, phase: float = 0.0) -> float:
    """-1..1, `cycles` times a PERIOD."""
    return math.sin(2 * math.pi * (cycles * seconds / PERIOD + phase))


def yaw(seconds: float) -> float:
    """Degrees: looks to both sides once a PERIOD, up to 18."""
    return 18.0 * _wave(seconds, 1) + 4.0 * _wave(seconds, 3, 0.1)


def mouth(seconds: float) -> float:
    """0..1: talks three syllables a second, with a pause for breath."""
    speaking = min(1.0, max(0.0, 0.75 + 0.75 * _wave(seconds, 2, 0.3)))
    syllable = 0.5 - 0.5 * math.cos(2 * math.pi * 24 * seconds / PERIOD)
    return speaking * syllable * (0.65 + 0.35 * _wave(seconds, 7))


def blink(seconds: float) -> float:
    """0..1: shut four times a PERIOD."""
    nearest = min(abs(seconds % PERIOD - shut) for shut in _BLINKS)
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, nearest / _BLINK_HALF))


def gesture(seconds: float) -> Gesture:
    """The whole script."""
    return Gesture(
        yaw=yaw(seconds),
        pitch=5.0 * _wave(seconds, 2, 0.2),
        roll=4.0 * _wave(seconds, 1, 0.4),
        mouth=mouth(seconds),
        blink=blink(seconds),
        smile=max(0.0, _wave(seconds, 1, 0.6)) ** 2,
    )


def _rotation(seen: Gesture) -> np.ndarray:
    """[3, 3] in world axes: first the tilt, then the nod, then the turn."""
    about_y, about_x = math.radians(seen.yaw), -math.radians(seen.pitch)
    cy, sy, cx, sx = math.cos(about_y), math.sin(about_y), math.cos(about_x), math.sin(about_x)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return turn @ nod @ framing.turn_in_picture(math.radians(seen.roll))


def scripted(
    portrait: FaceObservation,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    mouth: float = 0.0,
    blink: float = 0.0,
    smile: float = 0.0,
) -> FaceObservation:
    """What would be observed of the person of `portrait` making a Gesture of these; without crop and matte."""
    seen = Gesture(yaw, pitch, roll, mouth, blink, smile)
    rest = Opening.of(portrait.neutral)
    shape = portrait.neutral + WIDEST_MOUTH * seen.mouth * JAW + BROADEST_SMILE * seen.smile * SMILE
    for lids, opening in zip(LIDS, (rest.right_eye, rest.left_eye), strict=True):
        shape = shape + SHUT_LIDS * seen.blink * opening * lids
    stance = framing.Stance(_rotation(seen), 1.0, np.zeros(3))
    return replace(
        portrait,
        landmarks=framing.in_crop(shape, stance.upright),
        shape=shape.astype(np.float32),
        pose=framing.pose_of(stance.upright),
        roll=stance.roll,
        confidence=1.0,
        presence=1.0,
        crop=None,
        matte=None,
    )


def puppet_portrait() -> Frame:
    """The photo that the puppet is made of. Raises FileNotFoundError where matplotlib came without its sample data."""
    path = f"{matplotlib.get_data_path()}/sample_data/grace_hopper.jpg"
    pixels = cv2.imread(path)
    if pixels is None:
        raise FileNotFoundError(f"matplotlib's sample photo is missing at {path}: reinstall matplotlib")
    return Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), captured=0.0)


class Puppet:
    """Plays the script: `frame(t)` depends on t alone. Used from one thread at a time."""

    period = PERIOD

    def __init__(self, engine: AnyEngine | None = None) -> None:
        """With the relief engine unless another is given."""
        self._engine = engine or catalogue.load("relief")
        self._portrait = replace(observe_portrait(puppet_portrait()), around=None)  # as near as a camera sees somebody
        self._avatar = self._engine.enrol(self._portrait)
        self._camera = Cameras(orbit(0)[None], intrinsics(WIDTH / HEIGHT)[None], WIDTH, HEIGHT)

    def frame(self, seconds: float) -> Frame:
        """What a camera would see at that time."""
        now = gesture(seconds)
        seen = scripted(self._portrait, now.yaw, now.pitch, now.roll, now.mouth, now.blink, now.smile)
        views = self._engine.render(self._engine.drive(self._avatar, seen), self._camera)
        pixels = np.ascontiguousarray(Readback(views.images[0, :, :, :3]).array())
        return Frame(pixels, captured=seconds, sequence=round(seconds * RATE))

    def frames(self) -> Iterator[Frame]:
        """One after another at RATE, without end."""
        number = 0
        while True:
            yield self.frame(number / RATE)
            number += 1
