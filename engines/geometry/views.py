"""Views: where cameras see points, and how a picture ends at its lower edge, as docs/geometry.md, Drawing, says."""

from __future__ import annotations

import numpy as np

from display.optics import LOOK_AT, ORBIT_RADIUS, Cameras


def seen(points: np.ndarray, parallel: bool, cameras: Cameras, view: int) -> np.ndarray:
    """[N, 4]: u and v in shares of the picture, Z into the scene from the plane of the glass, and by what u, v were divided.
    `points` [N, 3] in the world; cameras have no pitch."""
    d = points - LOOK_AT
    yaw = cameras.yaws[view]
    across = d[:, 0] * np.cos(yaw) - d[:, 2] * np.sin(yaw)
    into = -d[:, 0] * np.sin(yaw) - d[:, 2] * np.cos(yaw)
    far = np.full(len(d), ORBIT_RADIUS) if parallel else ORBIT_RADIUS + into
    matrix = cameras.intrinsics[view]
    u = matrix[0, 2] + matrix[0, 0] * across / far
    v = matrix[1, 2] - matrix[1, 1] * d[:, 1] / far
    return np.stack([u, v, into, far], axis=1)


def lower_edge(fade: float, v: np.ndarray, shown: float) -> np.ndarray:
    """[N] share of light at heights `v` [N] (0..1) of a picture that shows `shown` times the crop's height, where a figure fades over
    `fade` of the crop's height."""
    if shown > 1 + fade or fade == 0:
        return np.ones(len(v))
    share = fade / shown
    return 1 - np.clip((v - 1 + share) / share, 0, 1) ** 3
