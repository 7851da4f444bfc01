"""Occlusion: whether a portrait's mouth is seen, or lies under a mask, a scarf, a veil. Pure.

The landmark model draws a mouth on whatever is there, so colours decide: of lips, of what surrounds them, and of the skin above;
and folds, which go on beyond the corners of a mouth, where lips end.
"""

from __future__ import annotations

import cv2
import numpy as np

UPPER_OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER = (375, 321, 405, 314, 17, 84, 181, 91, 146)
FOREHEAD, UNDER_EYES = (151, 9, 108, 337, 69, 299, 107, 336), (117, 346, 118, 347)
"Skin that a mask leaves free; one of both may lie under hair or glasses."
OTHER_CLOTH = 12.0
"""Distance in a*, b* (CIELAB) between what surrounds the mouth and skin, above which it may be cloth. Measured: seven faces in
photos and clips, also in coloured and in little light, 1..10; cloth of six colours 17..49, of a skin's colour 4..11."""
LIPS_STAND_OUT = 0.35
"""Distance between lips and what surrounds them, as a share of the one above, from which lips are seen on a face whose colours differ
like that: a beard. Measured on cloth, plain and pleated: at most 0.22."""
NO_DETAIL, NO_COLOUR = 1.2, 3.0
"Spread of L* within the lips, and their distance from what surrounds them, below which nothing is there. Faces of 36 pixels: 2.0."
FOLDS_ALIKE, FOLDS_AS_DEEP = 0.75, 0.6
"""From which correlation, and share of their depth, on lines across the lips go on beside both corners: folds of cloth. Measured on
seven faces in seven lights and with beards of four colours, 76 pictures: alike 0.67 at most, and a quarter as deep where above 0.5.
Of 245 with cloth of a skin's colour in six kinds of pleats 223 are found, 27 by colour alone; of 56 with fingers before the mouth 15,
mostly where they lie across."""
_PATCH = 4
_LEFT, _RIGHT = 61, 291
"Corners of the mouth, as the picture has them."


def mouth_seen(
    crop: np.ndarray,  # [512, 512, 3] uint8 RGB, aligned
    landmarks: np.ndarray,  # [478, 3] crop pixels
) -> bool:
    """Whether what lies where the mouth should be looks like one."""
    blurred = cv2.GaussianBlur(crop, (0, 0), 1.5).astype(np.float32) / 255
    lab, points = cv2.cvtColor(blurred, cv2.COLOR_RGB2LAB), landmarks[:, :2]
    lips = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(lips, [points[[*UPPER_OUTER, *LOWER_OUTER]].astype(np.int32)], (1,))
    around = (cv2.dilate(lips, np.ones((41, 41), np.uint8)) - cv2.dilate(lips, np.ones((9, 9), np.uint8))) > 0
    inside = lab[lips > 0]
    if not len(inside) or not around.any():
        return True  # the mouth lies outside the picture: nothing speaks against it
    beside, mouth = np.median(lab[around], axis=0), np.median(inside, axis=0)
    skins = [_patches(lab, points[list(places)]) for places in (FOREHEAD, UNDER_EYES)]
    cloth = min(_apart(beside, skin) for skin in skins)
    lips_apart = _apart(mouth, beside)
    if cloth > OTHER_CLOTH and lips_apart < LIPS_STAND_OUT * cloth:
        return False
    if _folded(lab[..., 0], points):
        return False
    return bool(inside[:, 0].std() >= NO_DETAIL or lips_apart >= NO_COLOUR)


def _folded(light: np.ndarray, points: np.ndarray) -> bool:
    """Whether the lines across the lips, in the picture's L*, go on beside both corners of the mouth."""
    width, height = points[_RIGHT, 0] - points[_LEFT, 0], points[[13, 14], 1].mean()
    if width < 8:
        return False  # seen from the side: there is no beside
    rows = np.linspace(height - 0.55 * width, height + 0.55 * width, 64, dtype=np.float32)

    def lines(start: float, end: float) -> np.ndarray:
        columns = np.linspace(points[_LEFT, 0] + start * width, points[_LEFT, 0] + end * width, 12, dtype=np.float32)
        x, y = np.meshgrid(columns, rows)
        across = cv2.remap(light, x, y, cv2.INTER_LINEAR).mean(1)
        return across - cv2.GaussianBlur(across[:, None], (1, 31), 10)[:, 0]

    lips, sides = lines(0.3, 0.7), (lines(-0.22, -0.02), lines(1.02, 1.22))
    depth = min(side.std() for side in sides) / max(lips.std(), 1e-3)
    return depth > FOLDS_AS_DEEP and all(_alike(lips, side) > FOLDS_ALIKE for side in sides)


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """The best correlation within four rows: a face is not quite level."""
    shifted = [np.roll(other, rows)[4:-4] for rows in range(-4, 5)]
    return max(float(np.corrcoef(one[4:-4], side)[0, 1]) if side.std() > 1e-6 < one.std() else 0.0 for side in shifted)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.hypot(*(one - other)[1:]))


def _patches(lab: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[3] the middle colour about `places` [N, 2]."""
    near = np.arange(-_PATCH, _PATCH + 1)
    middles = places.round().astype(int).clip(_PATCH, len(lab) - 1 - _PATCH)
    return np.median(np.concatenate([lab[np.ix_(y + near, x + near)].reshape(-1, 3) for x, y in middles]), axis=0)
