"""People: faces that installed packages bring, both free for any use, and what the relief engine makes them do.

Hopper: Rear Admiral Grace Hopper, US Navy, 1984, in matplotlib's wheel: glasses and a cap. Astronaut: Eileen Collins, NASA, in
scikit-image's wheel: a small face and big hair.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage

from display.optics import Cameras, intrinsics, orbit
from engines.contract import FaceObservation
from engines.relief.engine import Relief
from pipeline.frame import Frame
from pipeline.preprocess.observer import observe_portrait
from pipeline.puppet import PERIOD, RATE, gesture, puppet_portrait, scripted

SIZE = 448
"Pixels of a side of what is rendered here: enough for the face tracker."
FRONT = Cameras(orbit(0)[None], intrinsics()[None], SIZE, SIZE)


def hopper() -> np.ndarray:
    """[600, 512, 3] uint8 RGB."""
    return puppet_portrait().pixels


def astronaut() -> np.ndarray:
    """[512, 512, 3] uint8 RGB."""
    return read(Path(skimage.__file__).parent / "data" / "astronaut.png")


def small_hopper() -> np.ndarray:
    """[150, 128, 3] uint8 RGB: as a thumbnail, 50 pixels from forehead to chin."""
    return cv2.resize(hopper(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)


def coffee() -> np.ndarray:
    """[400, 600, 3] uint8 RGB: nobody, a cup."""
    return read(Path(skimage.__file__).parent / "data" / "coffee.png")


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def observed(pixels: np.ndarray) -> FaceObservation:
    return observe_portrait(Frame(pixels, 0.0))


def seen_from_the_front(relief: Relief, portrait: FaceObservation, seen: FaceObservation) -> np.ndarray:
    """[SIZE, SIZE, 3] uint8: the avatar of `portrait` doing what was seen."""
    state = relief.drive(relief.enrol(portrait), seen)
    return np.ascontiguousarray(relief.render(state, FRONT).images[0, :, :, :3].numpy())


def performance(relief: Relief, portrait: FaceObservation) -> Iterator[Frame]:
    """The puppet's whole script, played by the person of `portrait` at half the puppet's rate."""
    avatar, rate = relief.enrol(portrait), RATE / 2
    for number in range(round(PERIOD * rate)):
        now = gesture(number / rate)
        seen = scripted(portrait, now.yaw, now.pitch, now.roll, now.mouth, now.blink, now.smile)
        view = relief.render(relief.drive(avatar, seen), FRONT).images[0, :, :, :3].numpy()
        yield Frame(np.ascontiguousarray(view), number / rate, number)
