"""Topology: MediaPipe's 478 face points by name, and the triangles between them. Knows no pictures.

The triangles are the three-cliques of MediaPipe's FACEMESH_TESSELATION edges (854), less the two false ones (279, 294, 358)
and (49, 64, 129), wound alike: 852, the eyes and the mouth being open.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

POINTS = 478

OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
     152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
"The outline of the face, clockwise in the picture from the top."

NOSE_TIP, CHIN, FOREHEAD = 1, 152, 10
CHEEKS = np.array([234, 454])
"Where the face ends before the ears: image left, image right (of an unmirrored picture)."

UPPER_LIP_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
LOWER_LIP_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
UPPER_LIP_OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291])
LOWER_LIP_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291])
LIP_RINGS_UPPER = np.array(
    [UPPER_LIP_INNER, [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292], [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
     UPPER_LIP_OUTER]
)  # fmt: skip
"[4, 11]: from the lip's inner edge to its outer edge, image left to right."
LIP_RINGS_LOWER = np.array(
    [LOWER_LIP_INNER, [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292], [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
     LOWER_LIP_OUTER]
)  # fmt: skip
MOUTH_RING = np.concatenate([UPPER_LIP_INNER, LOWER_LIP_INNER[-2:0:-1]])
"[20]: the inner lips once round, clockwise in the picture."


@dataclass(frozen=True)
class EyePoints:
    """One eye's points; the first of each row lies at the outer corner, the last at the inner one."""

    upper: np.ndarray
    lower: np.ndarray
    upper_fold: np.ndarray
    "The row above the upper lid's edge."
    lower_fold: np.ndarray
    iris: np.ndarray
    "Its centre, then four points of its border."

    @property
    def ring(self) -> np.ndarray:
        """[16] indices of landmarks: the lids' edges once round."""
        return np.concatenate([self.upper, self.lower[-2:0:-1]])


EYES = (
    EyePoints(
        upper=np.array([33, 246, 161, 160, 159, 158, 157, 173, 133]),
        lower=np.array([33, 7, 163, 144, 145, 153, 154, 155, 133]),
        upper_fold=np.array([130, 247, 30, 29, 27, 28, 56, 190, 243]),
        lower_fold=np.array([130, 25, 110, 24, 23, 22, 26, 112, 243]),
        iris=np.arange(468, 473),
    ),
    EyePoints(
        upper=np.array([263, 466, 388, 387, 386, 385, 384, 398, 362]),
        lower=np.array([263, 249, 390, 373, 374, 380, 381, 382, 362]),
        upper_fold=np.array([359, 467, 260, 259, 257, 258, 286, 414, 463]),
        lower_fold=np.array([359, 255, 339, 254, 253, 252, 256, 341, 463]),
        iris=np.arange(473, 478),
    ),
)
"The eye at image left (the subject's right), then the other."


@cache
def face_triangles() -> np.ndarray:
    """[852, 3] int32 into the 478 points."""
    with files("engines.relief").joinpath("face_triangles.npy").open("rb") as stored:
        return np.load(stored).astype(np.int32)


def beside(triangles: np.ndarray) -> np.ndarray:
    """[T, 3] int32: the triangle across the edge from corner k to corner k + 1, or -1 where the sheet ends."""
    across: dict[tuple[int, int], int] = {}
    for t, (a, b, c) in enumerate(triangles.tolist()):
        for edge in ((a, b), (b, c), (c, a)):
            across[edge] = t
    return np.array(
        [[across.get((b, a), -1), across.get((c, b), -1), across.get((a, c), -1)] for a, b, c in triangles.tolist()],
        np.int32,
    ).reshape(-1, 3)
