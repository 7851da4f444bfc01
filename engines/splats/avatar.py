"""Avatar: a head as Gaussians at rest and what each facial action adds to their places. Knows no files and no cameras.

World and units are display/optics.py's (y up, the face looks along +z, 2.7 units a metre): whoever imports brings it there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.actions import ACTIONS

NECK = (-0.46, -0.32)
"World height, which is a picture's lower edge and a little below: a bust is gone below the one and whole above the other."


@dataclass(frozen=True, eq=False)
class SplatAvatar:
    """N Gaussians. An action moves their middles and nothing else: sizes, turns, colours and opacities stay."""

    points: np.ndarray
    "[N, 3] float32, world units: middles at rest."
    starts: np.ndarray
    "[52] int32: what action k moves stands in which[starts[k]:starts[k + 1]] and moves[starts[k]:starts[k + 1]]."
    which: np.ndarray
    "[M] int32: indices of Gaussians; within an action each at most once, rising."
    moves: np.ndarray
    "[M, 3] float32, world units: what a whole action adds to the Gaussian's middle."
    colours: np.ndarray
    "[N, 3] float32, 0..1: sRGB, the same from all sides."
    opacities: np.ndarray
    "[N] float32, 0..1: at the middle."
    scales: np.ndarray
    "[N, 3] float32, world units: standard deviations along the Gaussian's own axes."
    rotations: np.ndarray
    "[N, 4] float32: unit quaternions w, x, y, z that turn its axes into the world's."
    eyes: np.ndarray
    "[2, 3] float32, world units: the middles of the eyeballs, the person's right one first."

    def __post_init__(self) -> None:
        count, moved = len(self.points), len(self.which)
        shapes = {
            "points": (count, 3), "starts": (len(ACTIONS) + 1,), "which": (moved,), "moves": (moved, 3), "colours": (count, 3),
            "opacities": (count,), "scales": (count, 3), "rotations": (count, 4), "eyes": (2, 3),
        }  # fmt: skip
        for name, shape in shapes.items():
            assert getattr(self, name).shape == shape, (name, getattr(self, name).shape, shape)

    def __len__(self) -> int:
        return len(self.points)

    def posed(self, coefficients: np.ndarray) -> np.ndarray:
        """[N, 3] float32: the middles when each action is as large as `coefficients` [51] say, 0..1 in the order of ACTIONS."""
        points = self.points.copy()
        for action in np.flatnonzero(coefficients):
            own = slice(self.starts[action], self.starts[action + 1])
            points[self.which[own]] += np.float32(coefficients[action]) * self.moves[own]
        return points


def neck_share(points: np.ndarray) -> np.ndarray:
    """[N] float32 0..1: what an opacity is multiplied with at a place at rest [N, 3], so that a bust has no cut edge."""
    share = np.clip((points[:, 1] - NECK[0]) / (NECK[1] - NECK[0]), 0, 1)
    return (share * share * (3 - 2 * share)).astype(np.float32)
