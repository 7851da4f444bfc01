"""Hair: what lies upon the head, hair or hat, as a layer of its own: cut out of the photo by its colour, as much nearer as it is thick.

Beneath its edge the skin goes on, so that a turned view looks under it and sees no second edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from engines.relief.figure import face_area, followed
from engines.relief.surface import Sheet, smooth
from engines.relief.texture import GUTTER, PAD, SIDE, Atlas, bled, disc, rgba
from engines.relief.topology import CHIN, EYES, FOREHEAD, OVAL

THICK = 0.07
"Face widths that hair stands before the skin, where it is as wide as twice ROUND and more: a centimetre."
ROUND = 0.16
"Face widths from its edge over which it comes to be so thick."
DEEP = 12
"Crop pixels from its edge from which nobody looks beneath it."
LIFTED = 1.5
"Crop pixels that it lies before what is beneath at its edge."
LEAST = 900
"Pixels of hair above a forehead below which there is none to be cut out."
APART = 0.9
"Between the colours of hair and skin, in logarithms of light, below which nobody can tell them."
THIN = 13
"Crop pixels: what is no wider is a strand, and does not lead from hair to a beard or a collar."
BEYOND = 61
"Crop pixels: twice what lies beyond a figure's outline and goes with the hair within."
UNDER = 13
"Crop pixels beside hair that are still too much like it to be taken for the skin beneath."


@dataclass(frozen=True)
class Hair:
    """A layer over the figure's front."""

    sheet: Sheet
    follow: np.ndarray
    "[N, 36] float32: how its points follow the face's OVAL."
    matte: np.ndarray
    "[SIDE, SIDE] float32 0..1; it goes on beyond the figure's outline."


def build(
    front: Sheet,
    landmarks: np.ndarray,
    width: float,
    firm: np.ndarray,
    picture: np.ndarray,
    faded: np.ndarray,
    atlas: Atlas,
) -> Hair | None:
    """The hair upon a figure's `front`, whose firm part is `firm` [SIDE, SIDE] bool, of `landmarks` [478, 3] and the face's `width`, in
    `picture` [SIDE, SIDE, 3] with its alpha `faded` [SIDE, SIDE]; None where none can be told from the skin."""
    matte = matte_of(picture, landmarks, width, firm)
    if matte is None:
        return None
    x, y = front.uv.astype(int).clip(0, SIDE - 1).T
    upon = (cv2.dilate(matte, disc(3)) > 0.02)[y, x]
    covered = front.triangles[upon[front.triangles].any(axis=1)]
    used, triangles = np.unique(covered, return_inverse=True)
    points, flat = front.points[used].copy(), front.uv[used]
    points[:, 2] -= _thickness(matte, firm, width)[y, x][used]
    left, top = (int(edge) for edge in np.maximum(flat.min(axis=0) - 2, GUTTER))
    right, bottom = (int(edge) for edge in np.minimum(flat.max(axis=0) + 3, SIDE - GUTTER))
    at = atlas.add(rgba(picture[top:bottom, left:right], (matte * faded)[top:bottom, left:right]))
    uv = (flat - [left, top] + at).astype(np.float32)
    sheet = Sheet(points, uv, triangles.reshape(-1, 3).astype(np.int32), np.ones(len(used), np.float32), culled=True)
    return Hair(sheet, followed(points, landmarks[OVAL], width), matte)


def uncovered(front: Sheet, hair: Hair) -> Sheet:
    """`front` without what lies so deep beneath the `hair` that no view looks there."""
    x, y = front.uv[front.triangles].mean(axis=1).astype(int).clip(0, SIDE - 1).T
    deep = (cv2.erode(hair.matte, disc(2 * DEEP + 1)) > 0.98)[y, x]
    return replace(front, triangles=front.triangles[~deep])


def matte_of(picture: np.ndarray, landmarks: np.ndarray, width: float, firm: np.ndarray) -> np.ndarray | None:
    """[SIDE, SIDE] 0..1: where `picture` [SIDE, SIDE, 3] shows hair or a hat, told from skin by colour; None where it cannot be."""
    face = face_area(landmarks, SIDE, PAD)
    rows = np.arange(SIDE, dtype=np.float32)[:, None] - PAD
    above = firm & (cv2.dilate(face.astype(np.uint8), disc(9)) == 0) & (rows < landmarks[FOREHEAD, 1])
    brow = float(min(landmarks[[*eye.upper_fold], 1].min() for eye in EYES))
    skin = (cv2.erode(face.astype(np.uint8), disc(31)) > 0) & (rows > brow)
    if above.sum() < LEAST or skin.sum() < LEAST:
        return None
    logs = np.log(cv2.GaussianBlur(picture, (0, 0), 1.2) + 12.0)
    of_skin, of_hair = _nearest_most(logs[skin]), logs[above]
    lead = _rather(logs, of_hair, of_skin)
    for _ in range(2):
        of_hair = logs[above & (lead > 0)]
        if len(of_hair) < LEAST:
            return None
        lead = _rather(logs, of_hair, of_skin)
    if np.linalg.norm(np.median(of_hair, axis=0) - np.median(of_skin, axis=0)) < APART:
        return None
    inner = cv2.erode(face.astype(np.uint8), disc(9)) > 0
    brows = brow - 0.20 * width
    lead -= 6.0 * smooth((rows - brows) / (0.06 * width)) * cv2.GaussianBlur(inner.astype(np.float32), (0, 0), 2.0)
    likely = cv2.medianBlur((255 * smooth(lead / 4.0 + 0.5)).astype(np.uint8), 7)
    own = cv2.morphologyEx(((likely > 127) & firm).astype(np.uint8), cv2.MORPH_OPEN, disc(THIN))
    pieces, labels = cv2.connectedComponents(own)
    counts = np.bincount(labels[above], minlength=pieces)
    counts[0] = 0
    if counts.max() < LEAST:
        return None
    own = cv2.morphologyEx((labels == np.argmax(counts)).astype(np.uint8), cv2.MORPH_CLOSE, disc(7))
    own = _whole(own)
    own = np.where(firm, own, cv2.dilate(own, disc(BEYOND)))
    ends = 1.0 - smooth((rows - landmarks[CHIN, 1] + 0.15 * width) / (0.3 * width))
    return (cv2.GaussianBlur(own, (0, 0), 1.6) * ends).astype(np.float32)


def beneath(picture: np.ndarray, hair: Hair, firm: np.ndarray) -> np.ndarray:
    """`picture` [SIDE, SIDE, 3] as it may be seen under the hair's edge: skin instead of hair, where that lies beside skin."""
    wide = cv2.dilate((hair.matte > 0.05).astype(np.uint8), disc(UNDER))
    skin = bled(picture, (firm & (wide == 0)).astype(np.float32))
    within = smooth((_to_edge(firm) - 8.0) / 10.0)
    share = (smooth(2.0 * hair.matte - 1.0) * within)[..., None]
    return picture * (1 - share) + cv2.GaussianBlur(skin, (0, 0), 2.0) * share


def _nearest_most(samples: np.ndarray) -> np.ndarray:
    """Of colours [N, 3] those that are most alike: no brows, lips and glasses."""
    off = np.linalg.norm(samples - np.median(samples, axis=0), axis=1)
    return samples[off <= np.quantile(off, 0.8)]


def _rather(logs: np.ndarray, hair: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] -8..8: by colours [SIDE, SIDE, 3], how much rather something is of `hair` [N, 3] than of `skin` [M, 3], as normal
    spreads: the logarithm of their odds."""
    odds = np.zeros(logs.shape[:2], np.float32)
    for samples, sign in ((hair, -0.5), (skin, 0.5)):
        spread = np.cov(samples.T) + 0.01 * np.eye(3)
        off = logs - np.median(samples, axis=0)
        square = np.einsum("hwi,ij,hwj->hw", off, np.linalg.inv(spread), off, optimize=True)
        odds += sign * (square + float(np.linalg.slogdet(spread)[1]))
    return np.clip(odds, -8.0, 8.0)


def _whole(own: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] float32: `own` [SIDE, SIDE] uint8 without holes."""
    found, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(own), found, -1, (1,), cv2.FILLED).astype(np.float32)


def _to_edge(firm: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform(firm.astype(np.uint8), cv2.DIST_L2, 5)


def _thickness(matte: np.ndarray, firm: np.ndarray, width: float) -> np.ndarray:
    """[SIDE, SIDE] crop pixels: round from the hair's edge upon the skin, and from the figure's outline, which is its own."""
    upon = ((matte > 0.5) | ~firm).astype(np.uint8)
    within = np.minimum(cv2.distanceTransform(upon, cv2.DIST_L2, 5), _to_edge(firm)) / (ROUND * width)
    round_ = np.sqrt(np.maximum(1.0 - (1.0 - np.clip(within, 0.0, 1.0)) ** 2, 0.0))
    return LIFTED + THICK * width * cv2.GaussianBlur(round_.astype(np.float32), (0, 0), 3.0)
