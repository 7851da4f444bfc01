"""Eyes: an eyeball behind the lids whose iris moves by itself, so that gaze slides under the lids and blinks cover it.

The eyeball's picture is the portrait's own, with the iris taken out and the white continued beneath the lids; the iris is a
piece of its own, completed where a lid covered it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engines.relief.surface import Sheet, grid_triangles, wound
from engines.relief.texture import PAD, Atlas, bled, rgba
from engines.relief.topology import EyePoints

BALL_BEHIND, IRIS_BEHIND = 0.030, 0.022
"How far the eyeball and the iris lie behind the lids' edges, in face widths."

RIM_BEHIND = 0.014
"The eyeball's rim comes up to the skin as near as this, so that nobody looks past it into the head."

OVERLAP = 1.5
"The eyeball reaches this far beyond the lids' edges, as a multiple of the opening."


@dataclass(frozen=True)
class Eye:
    """One eye's sheets."""

    ball: Sheet
    iris: Sheet


def _box(points: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in continued-crop pixels around the points [n, 3] of an eye, with room for the wide-open lids."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    size = high - low
    middle = (low + high) / 2 + PAD
    half = np.array([0.68 * size[0] + 4.0, max(0.5 * size[1] * 2.2, 0.36 * size[0]) + 6.0])
    left, top = np.floor(middle - half).astype(int)
    right, bottom = np.ceil(middle + half).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _white(patch: np.ndarray, opening: np.ndarray, from_iris: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """The patch [h, w, 3] with the iris replaced by the white of the eye and continued; `opening`, `from_iris` [h, w], `skin` [3]."""
    known = ((opening > 0.5) & (from_iris > 1.12)).astype(np.float32)
    luminance = patch.mean(axis=2)
    if known.sum() > 12:
        bright = np.percentile(luminance[known > 0], 60)
        sure = known * (luminance > 0.72 * bright)
    else:
        sure = known
    if sure.sum() < 8:
        return np.broadcast_to(0.35 * skin + 0.65 * skin.mean() * 1.05, patch.shape).astype(np.float32)
    filled = bled(patch, sure)
    return cv2.GaussianBlur(filled, (0, 0), 1.2)


def _completed_iris(patch: np.ndarray, opening: np.ndarray, from_iris: np.ndarray) -> np.ndarray:
    """The patch [h, w, 3] with what the lids hide of the iris filled by what is seen at the same distance from its centre.

    `opening` [h, w] 0..1; `from_iris` [h, w] in radii."""
    seen = (opening > 0.5) & (from_iris < 1.25)
    rings = np.clip((from_iris * 12).astype(int), 0, 15)
    profile = np.zeros((16, 3), np.float32)
    last = patch[seen].mean(axis=0) if seen.any() else np.array([60.0, 45.0, 35.0], np.float32)
    for k in range(16):
        here = seen & (rings == k)
        if here.sum() >= 3:
            last = np.median(patch[here], axis=0)
        profile[k] = last
    fine = np.clip(from_iris * 12 - 0.5, 0, 14.99)
    k = fine.astype(int)
    f = (fine - k)[..., None]
    typical = (profile[k] * (1 - f) + profile[np.minimum(k + 1, 15)] * f) * 0.82
    mix = opening[..., None]
    return patch * mix + typical * (1 - mix)


def build(
    points: EyePoints, landmarks: np.ndarray, width: float, picture: np.ndarray, atlas: Atlas, skin: np.ndarray
) -> Eye:
    """One eye. `landmarks` with final depth, `picture` [SIDE, SIDE, 3] the continued crop, `skin` [3] its colour."""
    ring = landmarks[points.ring]
    left, top, right, bottom = _box(ring)
    patch = picture[top:bottom, left:right].astype(np.float32)
    corner = np.array([left - PAD, top - PAD], np.float32)
    polygon = ((ring[:, :2] - corner) * 16).round().astype(np.int32)
    opening = cv2.fillPoly(np.zeros(patch.shape[:2], np.float32), [polygon], (1.0,), lineType=cv2.LINE_AA, shift=4)
    centre = landmarks[points.iris[0], :2] - corner
    radius = float(np.linalg.norm(landmarks[points.iris[1:], :2] - landmarks[points.iris[0], :2], axis=1).mean())
    ys, xs = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32) + 0.5
    from_iris = np.hypot(xs - centre[0], ys - centre[1]) / radius
    opened = cv2.erode(opening, np.ones((3, 3), np.uint8))
    white = _white(patch, opened, from_iris, skin)
    keep = (cv2.GaussianBlur(opening, (0, 0), 0.8) * np.clip((from_iris - 1.05) / 0.15, 0, 1))[..., None]
    ball_at = atlas.add(rgba(white * (1 - keep) + patch * keep))
    iris = _completed_iris(patch, cv2.GaussianBlur(opened, (0, 0), 0.7), from_iris)
    iris_at = atlas.add(rgba(iris, np.clip((1.22 - from_iris) / 0.16, 0, 1)))
    plane = _plane(ring)
    ball = _ball(ring, landmarks, corner, ball_at, plane, width)
    return Eye(ball, _iris(centre + corner, radius, corner, iris_at, plane, width))


def _plane(ring: np.ndarray) -> np.ndarray:
    """[3] of the plane through a ring [n, 3] of lids: depth = (x, y, 1) @ plane."""
    flat = np.column_stack([ring[:, :2], np.ones(len(ring))])
    return np.linalg.lstsq(flat, ring[:, 2], rcond=None)[0]


def slant(ring: np.ndarray) -> np.ndarray:
    """[2] float32 dz/dx, dz/dy of the plane through a ring [n, 3] of lids, by which an iris's depth follows its movement."""
    return _plane(ring)[:2].astype(np.float32)


def _ball(
    ring: np.ndarray,
    landmarks: np.ndarray,
    corner: np.ndarray,
    at: tuple[float, float],
    plane: np.ndarray,
    width: float,
) -> Sheet:
    """The eyeball within `ring` [n, 3] of the lids, crop pixels; `plane` [3] gives depth = (x, y, 1) @ plane."""
    middle = ring.mean(axis=0)
    size = np.ptp(ring[:, :2], axis=0)
    stretch = np.array([1.3, max(OVERLAP, 0.30 * size[0] * 2 / max(size[1], 1.0))])
    outer = middle[:2] + (ring[:, :2] - middle[:2]) * np.minimum(stretch, [1.3, 4.0])
    xy = np.concatenate([middle[None, :2], ring[:, :2], outer])
    z = np.column_stack([xy, np.ones(len(xy))]) @ plane + BALL_BEHIND * width
    z[1 : 1 + len(ring)] = np.maximum(z[1 : 1 + len(ring)], ring[:, 2] + 0.6 * BALL_BEHIND * width)
    near = np.argsort(np.linalg.norm(landmarks[None, :468, :2] - outer[:, None], axis=2), axis=1)[:, :3]
    z[1 + len(ring) :] = landmarks[near, 2].max(axis=1) + RIM_BEHIND * width
    n = len(ring)
    fan = [(0, 1 + i, 1 + (i + 1) % n) for i in range(n)]
    band = [(1 + i, 1 + n + i, 1 + n + (i + 1) % n) for i in range(n)]
    band += [(1 + i, 1 + n + (i + 1) % n, 1 + (i + 1) % n) for i in range(n)]
    points = np.column_stack([xy, z]).astype(np.float32)
    triangles = wound(points, np.array(fan + band, np.int32))
    return Sheet(points, (xy - corner + at).astype(np.float32), triangles, np.ones(len(points), np.float32))


def _iris(
    centre: np.ndarray, radius: float, corner: np.ndarray, at: tuple[float, float], plane: np.ndarray, width: float
) -> Sheet:
    """A square about `centre` [2], crop pixels; `plane` [3] gives depth = (x, y, 1) @ plane."""
    ys, xs = np.mgrid[-1:2, -1:2]
    xy = centre + np.stack([xs.ravel(), ys.ravel()], 1) * radius * 1.24
    z = np.column_stack([xy, np.ones(len(xy))]) @ plane + IRIS_BEHIND * width
    points = np.column_stack([xy, z]).astype(np.float32)
    uv = (xy - corner + at).astype(np.float32)
    return Sheet(points, uv, grid_triangles(3, 3), np.ones(len(points), np.float32))


def gaze(shape: np.ndarray, eye: EyePoints) -> np.ndarray:
    """[2] where the iris of `shape` [478, 3] is between the eye's corners, in eye widths: image right, down."""
    a, b = shape[eye.upper[0]], shape[eye.upper[-1]]
    across = np.linalg.norm(b - a)
    return (shape[eye.iris[0]] - (a + b) / 2)[:2] * [1.0, -1.0] / max(float(across), 1e-3)
