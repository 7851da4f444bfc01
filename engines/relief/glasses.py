"""Glasses: whether a portrait wears any, and which points of the face lie beneath their frames: those stay with the skull, for a frame
does not bend with brows and lids."""

from __future__ import annotations

import cv2
import numpy as np

from engines.relief.topology import EYES, POINTS

BROW, ROOT, NOSE = 9, 8, 5
"Landmarks on the middle line, from the top down: a frame's bridge crosses it between the last two, brows that meet above them."
INNER_CORNERS = 133, 362
BRIDGE = 0.22
"""Of the light, by which something across the bridge of the nose is darker than both above and below: 0.35, 0.55 and 0.71 in three
portraits with glasses, at most 0.11 in two without, three of ICT's heads and a drawn one whose brows meet."""
FRAME = 0.16
"Of the light, by which a frame is darker than what lies around it."
THICKEST = 0.10
"Face widths: what is dark over a larger piece is no frame."
NEAR = 0.035
"Face widths from a frame within which a point of the face moves with it."
HELD = 0.12
"Of its movement, that a point beneath a frame keeps: a frame that slides a little is a frame, one that bends is rubber."


def held(crop: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[478] float32: the share of its movement that each of `landmarks` [478, 3] keeps beneath glasses; all of it where there are none.

    `crop` [512, 512, 3] uint8, `width` the face's in its pixels."""
    shares = np.ones(POINTS, np.float32)
    grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.5)
    if _bridge(grey, landmarks[:, :2]) < BRIDGE:
        return shares
    size = 2 * round(THICKEST * width / 2) + 1
    lighter = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    frame = ((lighter - grey) > FRAME * lighter).astype(np.uint8)
    apart = cv2.distanceTransform(1 - frame, cv2.DIST_L2, 5)
    places = _about_eyes(landmarks)
    x, y = landmarks[places, :2].astype(int).clip(0, len(grey) - 1).T
    shares[places[apart[y, x] < NEAR * width]] = HELD
    for eye in EYES:
        shares[[*eye.ring, *eye.upper_fold, *eye.lower_fold]] = 1.0  # they are seen through the lenses
    return shares


def _about_eyes(landmarks: np.ndarray) -> np.ndarray:
    """[n] indices of the points that frames may lie on: about as high as the eyes, irises left out."""
    eyes = landmarks[np.concatenate([eye.ring for eye in EYES]), 1]
    tall = landmarks[[BROW, NOSE], 1]
    return np.flatnonzero(
        (landmarks[:468, 1] > tall[0] - 0.5 * (eyes.min() - tall[0])) & (landmarks[:468, 1] < tall[1])
    )


def _bridge(grey: np.ndarray, landmarks: np.ndarray) -> float:
    """By what share of the light the darkest thing across the bridge of the nose is darker than both above and below; the median of
    lines beside each other in `grey` [512, 512]. `landmarks` [478, 2]."""
    above, below = landmarks[[ROOT, NOSE]]
    across = landmarks[INNER_CORNERS[1]] - landmarks[INNER_CORNERS[0]]
    beside = np.linspace(-0.35, 0.35, 9)[:, None, None] * across
    down = np.linspace(0.0, 1.0, 60)[None, :, None]
    at = (above + (below - above) * down + beside).astype(np.float32)
    lines = cv2.remap(grey, at[..., 0] - 0.5, at[..., 1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lighter = cv2.morphologyEx(lines, cv2.MORPH_CLOSE, np.ones((1, 25), np.uint8))
    return float(np.median(((lighter - lines) / np.maximum(lighter, 20.0)).max(axis=1)))
