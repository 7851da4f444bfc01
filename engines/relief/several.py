"""Several: further photos of one person fill what the most frontal of them lacks: sides that it shows at a slant or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np

from engines.contract import CROP, FaceObservation, PortraitRejected
from engines.morphable.fit import fit
from engines.morphable.model import load
from engines.relief.facing import FROM, Ahead, covered, evened, facing, turned_aside
from engines.relief.topology import OVAL

MOST = 3
"Front, left and right."
APART = np.radians(12.0)
"Two photos that are turned less from each other show the same."
NEAR = 40.0
"Crop pixels about a landmark within which two photos are laid over each other by it."
BETTER = 0.35
"By how much better a further photo has to see a place (1 straight on, 0 not at all) to be taken for it altogether."
INNER = 0.75
"Of the face's outline: within, eyes, nose and mouth of a frontal photo stay its own, beside the nose too."
STRANGERS = 6.0
"""Millimetres between two fitted heads, in the mean over the face, from which they are two people's. Photos of one woman who turned her
head came to 1.0 to 5.2, those of twelve people beside each other to 1.3 to 8.3: it finds few strangers, and refuses nobody's own."""


def together(portraits: Sequence[FaceObservation]) -> FaceObservation:
    """One portrait of two or three photos of the same person, which have crops and mattes: the most frontal one, with colours of the
    others where they see better. Raises PortraitRejected."""
    if not 2 <= len(portraits) <= MOST:
        raise PortraitRejected(
            "too_many_photos", f"{len(portraits)} photos: bring one from the front, and one from each side at most"
        )
    base, *others = sorted(portraits, key=lambda one: abs(turned_aside(one)))
    _require(base, others)
    turned = abs(turned_aside(base)) > FROM
    front = facing(base) if turned else base
    pad, picture = _picture(front)
    known = _laid(Ahead.of(base), front, pad)[1]
    known = known if turned else np.maximum(known, _inner(front.landmarks, len(picture), pad))
    for other in others:
        picture, known = _with(picture, known, Ahead.of(other), front, pad)
    colours = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
    middle = colours[pad : pad + CROP, pad : pad + CROP]
    if front.around is None:
        return replace(front, crop=middle)
    return replace(front, crop=middle, around=np.dstack([colours, front.around[..., 3]]))


def _require(base: FaceObservation, others: Sequence[FaceObservation]) -> None:
    """Raises PortraitRejected where the photos do not go together."""
    for one, other in combinations([base, *others], 2):
        if apart(one, other) > STRANGERS:
            raise PortraitRejected(
                "different_people", "These photos seem to show different people. Bring photos of one person alone."
            )
        if abs(turned_aside(one) - turned_aside(other)) < APART:
            raise PortraitRejected(
                "same_side",
                "Two of these photos show the face from the same side, and one adds nothing to the other. Bring one from the front, "
                "and others with the head turned 20 to 40 degrees to the left and to the right.",
            )


def apart(one: FaceObservation, other: FaceObservation) -> float:
    """Millimetres between the heads that are fitted to two portraits, at rest, in the mean over the face."""
    head = load()
    found, against = (fit(head, seen.landmarks, seen.head_rotation).identity for seen in (one, other))
    between = np.tensordot(found - against, head.points[1], 1)[:468]
    return 10.0 * float(np.linalg.norm(between, axis=1).mean())


def _picture(front: FaceObservation) -> tuple[int, np.ndarray]:
    """Pixels around the crop, and all that is known of it as [S, S, 3] float32."""
    assert front.crop is not None
    shown = front.crop if front.around is None else front.around[..., :3]
    return (len(shown) - CROP) // 2, shown.astype(np.float32)


def _inner(landmarks: np.ndarray, side: int, pad: int) -> np.ndarray:
    """[side, side] float32: 1 in the middle of a face, whose features are one photo's, `pad` pixels further right and down."""
    outline = landmarks[OVAL, :2]
    ring = outline.mean(axis=0) + INNER * (outline - outline.mean(axis=0)) + pad
    area = cv2.fillPoly(np.zeros((side, side), np.uint8), [ring.round().astype(np.int32)], (1,))
    return cv2.GaussianBlur(area.astype(np.float32), (0, 0), 6.0)


def _with(
    picture: np.ndarray, known: np.ndarray, ahead: Ahead, front: FaceObservation, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """The `picture` [S, S, 3] of `front`, whose places are `known` [S, S] 0..1 so well, with what another portrait sees better; and how
    well its places are known then."""
    place, seen = _laid(ahead, front, pad)
    colours = ahead.photo.at(place, ahead.photo.colours, cv2.INTER_CUBIC).astype(np.float32)
    seen = seen * covered(ahead.photo, place)
    share = cv2.GaussianBlur(np.clip((seen - known) / BETTER, 0.0, 1.0), (0, 0), 2.0)[..., None]
    lit = evened(colours, picture, np.minimum(known, seen))
    return picture * (1 - share) + lit * share, np.maximum(known, seen)


def _laid(ahead: Ahead, front: FaceObservation, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of the picture of `front` with `pad` around: where in the other photo it is [S, S, 2], crop pixels, and how well
    that shows it [S, S] 0..1."""
    to = _between(front.landmarks, ahead.at, CROP + 2 * pad, pad) + ahead.photo.pad - 0.5
    x, y = to[..., 0].astype(np.float32), to[..., 1].astype(np.float32)
    place = cv2.remap(ahead.way.place, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return place, cv2.remap(ahead.way.seen, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _between(here: np.ndarray, there: np.ndarray, side: int, pad: int) -> np.ndarray:
    """[S, S, 2] crop pixels of one picture for each of another's, whose landmarks `here` [478, 3] are `there` [478, 3]: an affine map,
    and about landmarks what they differ from it."""
    known = np.column_stack([here[:468, :2], np.ones(468)])
    affine = np.linalg.lstsq(known, there[:468, :2], rcond=None)[0]
    off = there[:468, :2] - known @ affine
    step = 8
    grid = np.arange(step / 2, side, step) - pad
    far = (grid[None, :, None] - here[:468, 0]) ** 2 + (grid[:, None, None] - here[:468, 1]) ** 2
    share = np.exp(-far / (2 * NEAR**2))
    moved = (share @ off) / np.maximum(share.sum(axis=-1, keepdims=True), 0.5)
    fine = cv2.resize(moved.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-pad : side - pad, -pad : side - pad].astype(np.float32) + 0.5
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ affine.astype(np.float32) + fine
