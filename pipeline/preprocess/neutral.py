"""Neutral: what a caller's face looks like at rest, estimated while they talk, blink and turn. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.preprocess.expression import Opening, at_rest

TYPICAL = Opening(mouth=0.03, right_eye=0.95, left_eye=0.95)
"Canonical centimetres, measured over ten faces with closed lips and open eyes: mouth -0.03..0.08, eyes 0.76..1.24."

_EYES = (0.4, 1.4)
"Between these an eye can be open at rest. Shut ones read 0.17..0.33, so narrow eyes are not taken for tired ones."


@dataclass(frozen=True)
class Adaption:
    """How quickly the estimate follows what it sees."""

    quickest: float = 0.5
    "Seconds: no frame, however good, moves the estimate by more than its time over this."
    longest: float = 30.0
    "Seconds of good frames that the estimate remembers."
    frontal_degrees: float = 15.0
    "A head turned this far counts 1/e of a frontal one."
    opening_speed: float = 0.25
    "Centimetres a second that the resting openings can move."


class Neutral:
    """A running mean of shapes put to rest, in which frontal ones count most; the resting openings are running quantiles.

    The mouth rests at its 10 % quantile (lips meet even in constant speech) and the eyes at their 60 % one (blinks take less),
    both held near TYPICAL, so a face met with open mouth, closed eyes or turned away begins right and gets better.
    """

    def __init__(self, adaption: Adaption | None = None) -> None:
        self._adaption = adaption or Adaption()
        self._mean: np.ndarray | None = None
        self._weight = 0.0
        self._rest = TYPICAL
        self._now = 0.0

    def update(self, shape: np.ndarray, turned_degrees: float, now: float) -> np.ndarray:
        """The rest [478, 3] as known at `now`, seconds, given a `shape` [478, 3] seen on a head `turned_degrees` from frontal."""
        frontal = 0.02 + 0.98 * float(np.exp(-np.square(turned_degrees / self._adaption.frontal_degrees)))
        if self._mean is None:
            self._rest = _first_guess(Opening.of(shape))
            self._mean = mean = at_rest(shape, self._rest)
            self._weight, self._now = self._adaption.quickest * frontal, now
            return mean.astype(np.float32)
        step, self._now = max(0.0, now - self._now), max(now, self._now)
        step = min(step, 0.1)  # a pause is not evidence
        self._rest = self._moved(Opening.of(shape), step * frontal)
        self._weight = min(self._weight + step * frontal, self._adaption.longest)
        share = min(step * frontal / max(self._weight, 1e-9), step / self._adaption.quickest)
        self._mean = mean = self._mean + share * (at_rest(shape, self._rest) - self._mean)
        return at_rest(mean, self._rest).astype(np.float32)

    def _moved(self, seen: Opening, seconds: float) -> Opening:
        speed = self._adaption.opening_speed * seconds
        return Opening(
            mouth=_quantile_step(self._rest.mouth, seen.mouth, 0.1, speed, (0.0, 0.35)),
            right_eye=_quantile_step(self._rest.right_eye, seen.right_eye, 0.6, speed, _EYES),
            left_eye=_quantile_step(self._rest.left_eye, seen.left_eye, 0.6, speed, _EYES),
        )


def _first_guess(seen: Opening) -> Opening:
    """Openings that could be those of a face at rest are taken as such; others are replaced by typical ones."""
    return Opening(
        mouth=seen.mouth if seen.mouth < 0.2 else TYPICAL.mouth,
        right_eye=seen.right_eye if 0.45 < seen.right_eye < 1.25 else TYPICAL.right_eye,
        left_eye=seen.left_eye if 0.45 < seen.left_eye < 1.25 else TYPICAL.left_eye,
    )


def _quantile_step(estimate: float, seen: float, quantile: float, speed: float, limits: tuple[float, float]) -> float:
    """One step of `estimate` towards the `quantile` of what is seen: up or down by fixed amounts, so outliers weigh nothing more."""
    near = np.clip((seen - estimate) / 0.05, -1.0, 1.0)  # no chatter once it is there
    moved = estimate + speed * (quantile * max(near, 0.0) + (1.0 - quantile) * min(near, 0.0))
    return float(np.clip(moved, *limits))
