"""Cloud: an avatar as Gaussians at rest, and what each facial action adds to where they are. Knows no files and no cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.geometry.motion import Motion


@dataclass(frozen=True)
class Target:
    """What one facial action moves when it is whole."""

    name: str
    "ARKit's."
    which: np.ndarray
    "[M] int32, rising: indices of Gaussians."
    moves: np.ndarray
    "[M, 3] float32, -1..1, units of the world: what is added to their middles."


@dataclass(frozen=True)
class Cloud:
    """All that is needed of an avatar once. Lengths are units of the world (display/optics.py)."""

    engine: str
    parallel: bool
    "Drawn in parallel projection along each camera's axis; otherwise in perspective."
    points: np.ndarray
    "[N, 3] float32: middles at rest."
    scales: np.ndarray
    "[N, 3] float32: standard deviations along each Gaussian's own axes."
    rotations: np.ndarray
    "[N, 4] float32: unit quaternions x, y, z, w (glTF's order) that turn its axes into the world's."
    colours: np.ndarray
    "[N, 3] float32, 0..1: sRGB as stored."
    opacities: np.ndarray
    "[N] float32, 0..1: at the middle."
    targets: tuple[Target, ...]
    "In the order of a motion's coefficients."
    fade: float = 0.0
    "Share of the crop's height over which the picture fades at its lower edge."


def covariances(cloud: Cloud) -> np.ndarray:
    """[N, 3, 3] float64, square units of the world, at rest."""
    x, y, z, w = cloud.rotations.astype(float).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    axes = np.moveaxis(np.array(rows), 2, 0) * cloud.scales[:, None]
    return axes @ axes.transpose(0, 2, 1)


def placed(cloud: Cloud, motion: Motion) -> np.ndarray:
    """[N, 3] float32: where the middles are as `motion` has them, before its joint turns them all. Raises ValueError where it is of
    another cloud."""
    if len(motion.coefficients) != len(cloud.targets) or len(motion.joints) != 1:
        raise ValueError(
            f"{len(motion.coefficients)} coefficients and {len(motion.joints)} joints move no {cloud.engine}"
        )
    points = cloud.points.copy()
    for share, target in zip(motion.coefficients, cloud.targets, strict=True):
        if share:
            points[target.which] += share * target.moves
    return points
