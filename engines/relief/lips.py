"""Lips: how far they are apart, and how they are parted. Centimetres of the canonical face; knows no pictures."""

from __future__ import annotations

import numpy as np

from engines.relief.topology import LIP_RINGS_LOWER, LIP_RINGS_UPPER, LOWER_LIP_INNER, UPPER_LIP_INNER

LIPS_TOUCH = 0.07
"Lips nearer than this (cm) are closed: MediaPipe's closed lips are 0.00..0.08 cm apart."


def gaps(shape: np.ndarray) -> np.ndarray:
    """[11] centimetres between the inner lips of `shape` [478, 3]; 0 where they are closed."""
    return np.maximum(shape[UPPER_LIP_INNER, 1] - shape[LOWER_LIP_INNER, 1] - LIPS_TOUCH, 0.0)


SPEAKING, WHOLE = (1.0, 0.75, 0.5, 0.25), (1.0, 0.88, 0.76, 0.64)
"How far each ring of the lips, from the inner to the outer, moves with the inner one: lips that open, and lips that close for good."


def part(moves: np.ndarray, apart: np.ndarray, rings: tuple[float, ...] = SPEAKING) -> None:
    """Add to `moves` [478, 3] what brings the inner lips `apart` [11] further from each other, the outer rings ever less."""
    for ring, weight in enumerate(rings):
        moves[LIP_RINGS_UPPER[ring][1:-1], 1] += 0.4 * weight * apart[1:-1]
        moves[LIP_RINGS_LOWER[ring][1:-1], 1] -= 0.6 * weight * apart[1:-1]
