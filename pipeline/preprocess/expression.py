"""Expression: the few ways a face moves that its rest must be told from, as displacements of canonical landmarks. Pure.

The same fields script the puppet and put a face to rest (neutral.py). All are float32 [478, 3], in canonical centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.preprocess.canonical import CANONICAL, INNER_LIPS, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE

_UPPER_LIP = [0, 11, 12, 13, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185, 191]
_UPPER_LIP += [267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408, 409, 415]
_LOWER_LIP_ROWS = (  # from corner to corner, inside to outside
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
    [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
    [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
)
_LIDS = (  # upper and lower lid from the outer to the inner corner, and the crease above the upper lid without the corners
    (
        [33, 246, 161, 160, 159, 158, 157, 173, 133],
        [33, 7, 163, 144, 145, 153, 154, 155, 133],
        [247, 30, 29, 27, 28, 56, 190],
    ),
    (
        [263, 466, 388, 387, 386, 385, 384, 398, 362],
        [263, 249, 390, 373, 374, 380, 381, 382, 362],
        [467, 260, 259, 257, 258, 286, 414],
    ),
)


@dataclass(frozen=True)
class Opening:
    """The three openings of a face, in canonical centimetres."""

    mouth: float
    right_eye: float
    left_eye: float

    @classmethod
    def of(cls, shape: np.ndarray) -> Opening:
        """Of a shape [478, 3]."""
        gaps = [float(np.linalg.norm(shape[a] - shape[b])) for a, b in (INNER_LIPS, RIGHT_EYE[2:], LEFT_EYE[2:])]
        return cls(*gaps)


def _smooth(x: np.ndarray) -> np.ndarray:
    t = np.clip(x, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _jaw() -> np.ndarray:
    """The jaw drops until the inner lips stand one centimetre further apart."""
    below_lips = CANONICAL[INNER_LIPS[1], 1] - CANONICAL[:, 1]
    share = _smooth(below_lips / 1.5) * np.exp(-np.square(CANONICAL[:, 0] / 5.0))
    share[_UPPER_LIP] = 0.0
    for row in _LOWER_LIP_ROWS:
        share[row] = np.sin(np.linspace(0.0, np.pi, len(row))) ** 0.6
    share[468:] = 0.0
    return share[:, None] * np.array([0.0, -1.0, -0.15])  # back as well as down: the hinge is at the ears


def _lid(side: int) -> np.ndarray:
    """The lids of one eye close by one centimetre."""
    upper, lower, crease = _LIDS[side]
    field = np.zeros((478, 3))
    arch = np.sin(np.linspace(0.0, np.pi, 9)) ** 0.7
    field[upper, 1] -= 0.95 * arch
    field[lower, 1] += 0.05 * arch
    field[crease, 1] -= 0.35 * arch[1:-1]
    return field


def _smile() -> np.ndarray:
    """The corners of the mouth go one centimetre outwards, and up."""
    field = np.zeros((478, 3))
    for corner in MOUTH_CORNERS:
        away = np.linalg.norm((CANONICAL - CANONICAL[corner])[:, :2], axis=1)
        side = np.sign(CANONICAL[corner, 0])
        field += np.exp(-np.square(away / 1.8))[:, None] * np.array([side, 0.7, -0.5])
    field[468:] = 0.0
    return field


JAW = _jaw().astype(np.float32)
LIDS = _lid(0).astype(np.float32), _lid(1).astype(np.float32)
"Of the person's right and left eye."
SMILE = _smile().astype(np.float32)


def at_rest(shape: np.ndarray, rest: Opening) -> np.ndarray:
    """`shape` [478, 3] with its mouth closed to, and its eyes opened to, `rest`; what is closed or open enough already stays."""
    seen = Opening.of(shape)
    rested = shape - max(0.0, seen.mouth - rest.mouth) * JAW
    rested = rested - max(0.0, rest.right_eye - seen.right_eye) * LIDS[0]
    return rested - max(0.0, rest.left_eye - seen.left_eye) * LIDS[1]
