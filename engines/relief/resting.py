"""Resting: the portrait's figure as its head at rest would be: looking straight ahead, and without the photo's expression.

Both come from the head that is fitted to the portrait's points: what its expression moved is moved back, and its turn turned back, so
that whoever drives the avatar says alone where it looks and what its face does. The picture stays the photo's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.contract import FaceObservation
from engines.morphable.fit import PIXELS_PER_CM, fit
from engines.morphable.model import load
from engines.relief.eyes import gaze
from engines.relief.lips import LIPS_TOUCH, WHOLE, part
from engines.relief.surface import smooth
from engines.relief.topology import CHEEKS, EYES, LOWER_LIP_INNER, UPPER_LIP_INNER

IRISES = slice(468, 478)
UPRIGHT = np.diag([1.0, -1.0, -1.0])
"From the head's axes (y up, z out of the face) to the crop's, and back."
RELIEF = 1.38
"""Depth of the face's middle over that of the fitted head, before its sides recede less: with it FaceMesh, run on the views, reads turns
of 26 to 35 degrees across the 35 that they span (tests/test_relief.py), as it does of heads that are drawn in perspective."""
STEEP_SHARE, SIDE_SHARE = 0.30, 0.55
"""The sides of the face, less than the first (in face widths) before the cheeks' edge, recede by the second only: a frontal photo
has a handful of pixels for them, which would be drawn out to streaks."""
NOSE_SHARE, NOSE_KEPT = 0.62, 0.6
"What stands out further than the first (in face widths) is the nose: deepened like the rest it would be too long in profile."
AT_REST, EXPRESSIVE = 0.13, 0.20
"""Centimetres that a fitted expression moves the face by in the mean: faces at rest are read as 0.09 to 0.15, which is their shape or the
fit's, a frown as 0.18, broad smiles as 0.35. Below the first all stays, from the second on all is taken out."""
DOUBT = 4.0
"""Of landmarks, when asked for an expression: at 1 much of a smile is taken for somebody's shape. Of ICT's smiles of 4.1 mm stay 2.5 at 1,
2.2 at 2 and 2.1 at 4; and depth is off by 8.1, 7.8 and 7.6 mm."""
UNEXPLAINED, MUCH = 0.8, 0.2
"""Share of what a fit misses that belongs to the expression, where that moves a point by so many centimetres: nobody smiles by a model's
actions alone."""
OVERLAP = 0.03
"Centimetres by which lips that were parted overlap at rest, so that nothing shines between them."
INSET = 0.3
WIDER = 1.35
"An eye is opened by this much at most: behind a shut lid a photo has no eye to show."
UNSURE, FURTHEST = 0.05, 0.2
"Eye widths that a portrait's irises may be off the middle without being taken to look aside; and how far they are brought back at most."


@dataclass(frozen=True)
class Rest:
    """How a portrait differs from its head at rest."""

    landmarks: np.ndarray
    "[478, 3] float32 crop pixels: as the photo has them, with a head's depth."
    moves: np.ndarray
    "[478, 3] float32 crop pixels, by which they come to rest, as the head stands in the photo."
    looks: np.ndarray
    "[3] float32 crop pixels, by which irises come to look where the face does."
    shape: np.ndarray
    "[478, 3] float32 canonical centimetres, at rest."
    inset: float
    "Of the lips' inner ring, by which their edges shrink where teeth that they showed lie beside them."
    turn: np.ndarray
    "[3, 3] float32 in crop axes: turns the head of the photo to look straight ahead."


def rest_of(portrait: FaceObservation) -> Rest:
    """What the fitted head says of a portrait whose landmarks are finite."""
    head = load()
    found = fit(head, portrait.landmarks, portrait.head_rotation, DOUBT)
    identity, actions = (
        np.tensordot(found.identity, head.points[1], 1),
        np.tensordot(found.expression, head.points[2], 1),
    )
    seen = found.seen(head.points[0] + identity + actions)
    landmarks = portrait.landmarks.astype(np.float32).copy()
    landmarks[:, 2] = relieved(seen, RELIEF)
    _seat_irises(landmarks)
    moved = found.scale * actions + _unexplained(portrait, seen, found.rotation, actions)
    difference = -(1 - portrait.expression_kept) * _surely(actions) * moved
    difference[IRISES] = 0.0
    _meet(portrait, difference)
    _open(portrait.shape, difference)
    to_crop = PIXELS_PER_CM * UPRIGHT @ found.rotation
    return Rest(
        landmarks,
        (difference @ to_crop.T).astype(np.float32),
        (_looks_back(portrait) @ to_crop.T).astype(np.float32),
        (portrait.shape + difference).astype(np.float32),
        INSET * (1 - portrait.expression_kept) * float(np.max(_apart(portrait)) > LIPS_TOUCH),
        (UPRIGHT @ portrait.head_rotation.T @ UPRIGHT).astype(np.float32),
    )


def _unexplained(portrait: FaceObservation, seen: np.ndarray, rotation: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """[478, 3] centimetres across the face, turned by `rotation` [3, 3]: what is taken for expression of by how much the portrait's points
    miss the fitted head's, `seen` [478, 3], where its `actions` [478, 3] move much."""
    off = np.column_stack([portrait.landmarks[:, :2] - seen[:, :2], np.zeros(len(seen))])
    share = UNEXPLAINED * np.clip(np.linalg.norm(actions, axis=1) / MUCH, 0.0, 1.0)
    eyes = max(portrait.landmarks[eye.lower_fold, 1].max() for eye in EYES)
    share[portrait.landmarks[:, 1] <= eyes] = 0.0  # how they are cut is whose they are
    return share[:, None] * (off @ (UPRIGHT @ rotation)) / PIXELS_PER_CM


def _surely(moves: np.ndarray) -> float:
    """0..1: how far what actions move by, [478, 3] centimetres, is an expression rather than somebody's shape."""
    return float(smooth((np.linalg.norm(moves[:468], axis=1).mean() - AT_REST) / (EXPRESSIVE - AT_REST)))


def relieved(seen: np.ndarray, gain: float) -> np.ndarray:
    """[478] float32 depths for a relief that is looked at from all its views, of points `seen` [478, 3]; about the cheeks' edge.

    All crop pixels; `gain` is what depth is multiplied with in the middle of the face."""
    width = float(np.linalg.norm(seen[CHEEKS[1]] - seen[CHEEKS[0]]))
    z = gain * (seen[:, 2] - seen[CHEEKS, 2].mean())
    steep, nose = -STEEP_SHARE * width, -NOSE_SHARE * width
    z = np.where(z > steep, steep + SIDE_SHARE * (z - steep), z)
    return np.where(z < nose, nose + NOSE_KEPT * (z - nose), z).astype(np.float32)


def _looks_back(portrait: FaceObservation) -> np.ndarray:
    """[3] canonical centimetres by which the portrait's irises come back to the middle of their eyes; up and down they stay."""
    aside = float(np.mean([gaze(portrait.shape, eye)[0] for eye in EYES]))
    beyond = np.sign(aside) * float(np.clip(abs(aside) - UNSURE, 0.0, FURTHEST))
    across = float(np.mean([np.linalg.norm(portrait.shape[e.upper[0]] - portrait.shape[e.upper[-1]]) for e in EYES]))
    return np.array([-(1 - portrait.expression_kept) * beyond * across, 0.0, 0.0])


def _seat_irises(landmarks: np.ndarray) -> None:
    """Give the irises of `landmarks` [478, 3] their lids' depth."""
    for eye in EYES:
        landmarks[eye.iris, 2] = landmarks[eye.ring, 2].mean()


def _meet(portrait: FaceObservation, difference: np.ndarray) -> None:
    """Let the lips of `difference` [478, 3], centimetres, close as a mouth at rest does: where they touch they overlap a little."""
    own = _apart(portrait)
    parted = (own > LIPS_TOUCH) & portrait.mouth_seen
    wanted = np.where(parted, own + (1 - portrait.expression_kept) * (-OVERLAP - own), own)
    part(difference, wanted - (own + difference[UPPER_LIP_INNER, 1] - difference[LOWER_LIP_INNER, 1]), WHOLE)


def _apart(portrait: FaceObservation) -> np.ndarray:
    """[11] centimetres between the inner lips; negative where they overlap."""
    return portrait.shape[UPPER_LIP_INNER, 1] - portrait.shape[LOWER_LIP_INNER, 1]


def _open(shape: np.ndarray, difference: np.ndarray) -> None:
    """Keep `difference` [478, 3] from opening an eye of `shape` [478, 3] beyond WIDER."""
    for eye in EYES:
        own = shape[eye.upper[3:6], 1].mean() - shape[eye.lower[3:6], 1].mean()
        more = difference[eye.upper[3:6], 1].mean() - difference[eye.lower[3:6], 1].mean()
        share = min(1.0, (WIDER - 1.0) * max(float(own), 0.05) / max(float(more), 1e-3))
        for row in (eye.upper, eye.lower, eye.upper_fold, eye.lower_fold):
            difference[row] *= share
