"""Expression: the few ways a face moves that its rest must be told from, as displacements of canonical landmarks. Pure.

The same fields script the puppet and put a face to rest (neutral.py). All are float32 [478, 3], in canonical centimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.preprocess.canonical import CANONICAL, INNER_LIPS, LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE

_UPPER_LIP_ROWS = (  # from corner to corner, inside to outside
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
    [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
)
_LOWER_LIP_ROWS = (  # from corner to corner, inside to outside
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
    [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
    [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
)
LID_ROWS = (  # upper and lower lid from the outer to the inner corner, and the crease above the upper lid without the corners
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


_EDGES = INNER_LIPS, RIGHT_EYE[2:], LEFT_EYE[2:]


@dataclass(frozen=True)
class Opening:
    """The three openings of a face: how far upper and lower edge stand apart upwards, in canonical centimetres."""

    mouth: float
    right_eye: float
    left_eye: float

    @classmethod
    def of(cls, shape: np.ndarray) -> Opening:
        """Of a shape [478, 3]."""
        return cls(*(float(shape[upper, 1] - shape[lower, 1]) for upper, lower in _EDGES))


def _smooth(x: np.ndarray) -> np.ndarray:
    t = np.clip(x, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _jaw() -> np.ndarray:
    """The mouth opens until the inner lips stand one centimetre further apart.

    The amounts are those of talk_frontal.mp4, by regression on the lips' distance: chin (-0.36 up, -0.44 out), lower lip
    (-0.77, -0.3), upper lip's inner edge +0.28, corners (-0.17, -0.18). Back as well as down: the hinge is at the ears.
    """
    below_lips = CANONICAL[INNER_LIPS[1], 1] - CANONICAL[:, 1]
    share = _smooth(below_lips / 1.5) * np.exp(-np.square(CANONICAL[:, 0] / 5.0))
    field = share[:, None] * np.array([0.0, -0.4, -0.4])
    arch = np.sin(np.linspace(0.0, np.pi, 11))[:, None] ** 0.7
    corner = np.array([0.0, -0.17, -0.18])
    for row, lift in zip(_UPPER_LIP_ROWS, (0.25, 0.2, 0.15, 0.1), strict=True):
        field[row] = arch * [0.0, lift, 0.0] + (1 - arch) * corner
    for row in _LOWER_LIP_ROWS:
        field[row] = arch * [0.0, -0.75, -0.3] + (1 - arch) * corner
    field[468:] = 0.0
    return field


def _lid(side: int) -> np.ndarray:
    """The lids of one eye close by one centimetre. Amounts from the blinks of talk_frontal.mp4, as for the mouth."""
    upper, lower, crease = LID_ROWS[side]
    field = np.zeros((478, 3))
    arch = np.sin(np.linspace(0.0, np.pi, 9))
    field[upper, 1] -= 0.8 * arch
    field[lower, 1] += 0.2 * arch
    field[crease, 1] -= 0.1 * arch[1:-1]
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
    """`shape` [478, 3] with mouth and eyes as far open as `rest`."""
    seen = Opening.of(shape)
    rested = shape + (rest.mouth - seen.mouth) * JAW
    rested = rested - (rest.right_eye - seen.right_eye) * LIDS[0]
    return rested - (rest.left_eye - seen.left_eye) * LIDS[1]
