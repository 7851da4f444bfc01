"""Steadiness: how much an avatar trembles while its driver holds still, and beyond what its driver does while moving."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.quality.flow import carried, flow
from benchmarks.quality.instruments.face import OVAL, Look

NOISE = 2.0
"Levels of a camera's noise, standard deviation."
HELD = 24
"Frames for which a driver is held still; the first third of them settles the filters and is not counted."
RATE = 25.0


def noisy(pixels: np.ndarray) -> list[np.ndarray]:
    """HELD pictures of one held still, [H, W, 3] uint8, each with noise of its own."""
    random = np.random.default_rng(11)
    return [np.clip(pixels + random.normal(0, NOISE, pixels.shape) + 0.5, 0, 255).astype(np.uint8) for _ in range(HELD)]


def at_rest(pictures: Sequence[np.ndarray], looks: Sequence[Look | None]) -> dict[str, float]:
    """Trembling of points, in thousandths of the eye distance, and of the face's pixels, in levels."""
    settled = [(picture, look) for picture, look in zip(pictures, looks, strict=True) if look is not None][HELD // 3 :]
    if len(settled) < 4:
        return {}
    points = np.stack([look.points[:468, :2] / look.eye_distance for _, look in settled])
    inside = np.zeros(settled[0][0].shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(settled[0][1].points[OVAL, :2].round().astype(np.int32)), (1,))
    pixels = np.stack([picture[inside > 0] for picture, _ in settled]).astype(np.float32)
    return {
        "rest_points": 1000 * float(np.linalg.norm(points.std(0), axis=1).mean()),
        "rest_pixels": float(pixels.std(0).mean()),
    }


def moving(driver: Sequence[Look | None], shown: Sequence[Look | None]) -> dict[str, float]:
    """Third differences of the avatar's points over those of the driver's: below 1 it is steadier than the driver as seen."""
    both = [_third(looks) for looks in (driver, shown)]
    known = np.isfinite(both[0]) & np.isfinite(both[1])
    if known.sum() < 4:
        return {}
    return {"moving": float(both[1][known].mean() / max(both[0][known].mean(), 1e-9))}


def unexplained(before: np.ndarray, after: np.ndarray, shown_before: np.ndarray, shown_after: np.ndarray) -> float:
    """What the reference's motion from `before` to `after` leaves unexplained of the avatar's change, over the same of the
    reference itself. Pictures [H, W, 3] uint8."""
    moved = flow(after, before)
    own = _left_over(before, after, moved)
    return _left_over(shown_before, shown_after, moved) / max(own, 0.05)


def _third(looks: Sequence[Look | None]) -> np.ndarray:
    """[T - 3] the mean length of the third differences of points, NaN where a face was not seen."""
    blank = np.full((468, 2), np.nan)
    points = np.stack([blank if look is None else look.points[:468, :2] / look.eye_distance for look in looks])
    return np.linalg.norm(np.diff(points, n=3, axis=0), axis=2).mean(1) if len(points) > 3 else np.empty(0)


def _left_over(before: np.ndarray, after: np.ndarray, moved: np.ndarray) -> float:
    """Levels, over the figure."""
    figure = after.max(axis=2) > 6
    return float(np.abs(carried(before, moved).astype(np.float32) - after)[figure].mean()) if figure.any() else 0.0
