"""Actions: what a caller's face does, in 51 coefficients (engines/actions.py), from landmarks; what is remembered of the caller for it.

Where a thing can be measured it is: lids as a share of the caller's own open eye, gaze by the irises, the jaw and the parting of lips
by the gap between them. The rest is read by a network where MediaPipe's file was imported, else by a table of our own; its scores
are taken from the caller's own rest and brought to the caller's own range, since MediaPipe's are timid (a broad smile may be 0.6) and
coupled (a face at rest squints by 0.5). Times are arguments. Nothing is smoothed here: landmarks come smoothed (observer.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engines.actions import ACTIONS, INDEX
from pipeline.preprocess.canonical import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from pipeline.preprocess.expression import LID_ROWS, Opening

SHUT_EYE = 0.36
"MediaPipe sees a shut eye this far open, as a share of the open one (0.20..0.33 in talk_frontal.mp4)."
GAZE_ACROSS, GAZE_UP, GAZE_DOWN = 0.50, 0.35, 0.45
"Centimetres of canonical size that an iris goes in a whole look: an eyeball's 1.2 cm by 25, 17 and 22 degrees."
JAW_WHOLE = 6.0
"Centimetres between the lips of a jaw that is open as far as ARKit's coefficient goes. The jaw's own share: lips part as well."
LIPS_PART, LOWER_LIP, UPPER_LIP = 0.4, 0.30, 0.15
"""Lips part before the jaw falls: up to a gap of so many centimetres the lower lip goes down and the upper one up to so much. Without it an
independent tracker sees the sample's mouth shut up to a jaw of 0.15 (correlation with the driver 0.917 instead of 0.982)."""
BY_UPPER_LIP, BY_LOWER_LIP = 1.2, 0.8
"""Centimetres of the gap that whole mouthUpperUp and mouthLowerDown explain (a grin with the teeth closed): those are not the jaw's, up to
half of it, since a jaw that falls is read as lips a little too."""
REST_EVERY = 0.15
"Seconds between two looks at the rest: that moves slowly, and a look costs as much as the face itself."
WHOLE, LEAST_RANGE, FORGETTING = 0.9, 0.6, 60.0
"""A caller's largest is shown as this much. It is never taken for less than LEAST_RANGE, so nothing is enlarged more than 1.5 times; and it
is forgotten by a factor e in so many seconds."""

_SIDES = (("Right", RIGHT_EYE, RIGHT_IRIS), ("Left", LEFT_EYE, LEFT_IRIS))
_LIDDED = tuple(
    np.array([INDEX[f"{name}{side}"] for name in ("eyeLookDown", "eyeSquint", "eyeWide")]) for side, *_ in _SIDES
)
MEASURED = np.array([name.startswith(("eyeBlink", "eyeLook")) or name == "jawOpen" for name in ACTIONS])
"[51] bool: what nobody needs to read, since it is measured."


@dataclass(frozen=True)
class Look:
    """One face, once."""

    landmarks: np.ndarray
    "[478, 3] as FaceObservation.landmarks."
    resting: np.ndarray
    "[478, 3] likewise: where they would be were the face at rest."
    shape: np.ndarray
    "[478, 3] as FaceObservation.shape."
    neutral: np.ndarray
    "[478, 3] as FaceObservation.neutral."


class Scorer(Protocol):
    """Reads a face by itself: 0..1 for each action, which its rest's are to be taken from."""

    def __call__(self, points: np.ndarray) -> np.ndarray: ...


class Table(Protocol):
    """Reads how a face differs from its rest: about 0..1 for each action."""

    def moved(self, difference: np.ndarray) -> np.ndarray: ...


class Actions:
    """One caller's. Used from one thread at a time."""

    def __init__(self, network: Scorer | None, table: Table) -> None:
        self._network, self._table = network, table
        self._rest, self._rested = np.zeros(len(ACTIONS)), -np.inf
        self._range = Range()

    def update(self, look: Look, now: float) -> np.ndarray:
        """[51] float32 0..1 of a face as it is at `now`, seconds."""
        read = self._read(look, now)
        return measured(self._range.brought(read, now), look.shape, look.neutral)

    def _read(self, look: Look, now: float) -> np.ndarray:
        """[51] 0..1, its rest taken off."""
        if self._network is None:
            return np.clip(self._table.moved(look.shape - look.neutral), 0.0, 1.0)
        if not self._rested <= now < self._rested + REST_EVERY:
            self._rest, self._rested = self._network(look.resting), now
        return from_rest(self._network(look.landmarks), self._rest)


def from_rest(scores: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """`scores` [..., 51] 0..1 as shares of what was left above the `rest`'s [..., 51], 0..1."""
    return np.clip((scores - rest) / np.maximum(1.0 - rest, 0.1), 0.0, 1.0)


class Range:
    """How far a caller's coefficients go: what was largest lately is shown as WHOLE. Left and right have one range."""

    def __init__(self) -> None:
        self._largest = np.full(len(ACTIONS), WHOLE)
        self._now: float | None = None

    def brought(self, scores: np.ndarray, now: float) -> np.ndarray:
        """`scores` [51] 0..1 in the caller's own range, 0..1."""
        passed = 0.0 if self._now is None else min(max(now - self._now, 0.0), 1.0)  # a pause is not evidence
        self._now = now
        faded = LEAST_RANGE + (self._largest - LEAST_RANGE) * np.exp(-passed / FORGETTING)
        largest = np.maximum(faded, np.minimum(scores, WHOLE))
        self._largest = np.maximum(largest, largest[OTHER_SIDE])
        return np.where(MEASURED, scores, np.clip(scores * (WHOLE / self._largest), 0.0, 1.0))


def _other_side(name: str) -> int:
    turned = name.removesuffix("Left") + "Right" if name.endswith("Left") else name.removesuffix("Right") + "Left"
    return INDEX.get(turned, INDEX[name])


OTHER_SIDE = np.array([_other_side(name) for name in ACTIONS])
"[51]: of each action the one on the other side of the face, itself where it has none."


def measured(scores: np.ndarray, shape: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """[51] float32: `scores` [51] with lids, gaze, jaw and lips as `shape` and `neutral` [478, 3], canonical centimetres, have them."""
    found = scores.astype(np.float32)
    for side, (name, *_) in enumerate(_SIDES):
        share = _open_share(shape, neutral, side)
        found[INDEX[f"eyeBlink{name}"]] = 1.0 - min(share, 1.0)
    _look(found, shape, neutral)
    for side, (name, *_) in enumerate(_SIDES):  # what a lid does besides is done by an open one
        found[_LIDDED[side]] *= 1.0 - found[INDEX[f"eyeBlink{name}"]]
    _open_mouth(found, Opening.of(shape).mouth - Opening.of(neutral).mouth)
    return np.clip(found, 0.0, 1.0)


def _open_share(shape: np.ndarray, neutral: np.ndarray, side: int) -> float:
    """0 shut .. 1 as at rest, and more."""
    ratio = _lids_apart(shape, side) / max(_lids_apart(neutral, side), 0.05)
    return float(np.clip((ratio - SHUT_EYE) / (1.0 - SHUT_EYE), 0.0, 1.25))


def _lids_apart(shape: np.ndarray, side: int) -> float:
    """Of the eye's width."""
    upper, lower, _ = LID_ROWS[side]
    across = float(np.linalg.norm(shape[upper[0]] - shape[upper[-1]]))
    return float(np.linalg.norm(shape[upper[3:6]] - shape[lower[3:6]], axis=1).mean()) / max(across, 1e-3)


def _look(found: np.ndarray, shape: np.ndarray, neutral: np.ndarray) -> None:
    """Both eyes look where their irises went together."""
    went = np.mean([_iris(shape, *side[1:]) - _iris(neutral, *side[1:]) for side in _SIDES], axis=0)
    left, up = float(went[0]), float(went[1])
    for side in ("Right", "Left"):
        out = left if side == "Left" else -left
        found[INDEX[f"eyeLookOut{side}"]] = out / GAZE_ACROSS
        found[INDEX[f"eyeLookIn{side}"]] = -out / GAZE_ACROSS
        found[INDEX[f"eyeLookUp{side}"]] = up / GAZE_UP
        found[INDEX[f"eyeLookDown{side}"]] = -up / GAZE_DOWN


def _iris(shape: np.ndarray, eye: tuple[int, ...], iris: int) -> np.ndarray:
    """[2] centimetres from the middle between the eye's corners: to the person's left, up."""
    return (shape[iris] - (shape[eye[0]] + shape[eye[1]]) / 2)[:2]


def _open_mouth(found: np.ndarray, gap: float) -> None:
    """`gap`: centimetres that the inner lips are further apart than at rest."""
    lower, upper = ([INDEX[f"{name}{side}"] for side, *_ in _SIDES] for name in ("mouthLowerDown", "mouthUpperUp"))
    by_lips = BY_LOWER_LIP * float(found[lower].mean()) + BY_UPPER_LIP * float(found[upper].mean())
    found[INDEX["jawOpen"]] = (gap - min(by_lips, gap / 2)) / JAW_WHOLE
    part = min(max(gap / LIPS_PART, 0.0), 1.0)
    found[lower] = np.maximum(found[lower], LOWER_LIP * part)
    found[upper] = np.maximum(found[upper], UPPER_LIP * part)
