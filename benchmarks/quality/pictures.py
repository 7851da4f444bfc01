"""Pictures: how near one picture is to another, as a whole and where it matters. PSNR and SSIM are exact; masks are the reference's."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.quality.instruments import catalogue, lpips, perceptual
from benchmarks.quality.instruments.face import EYES, MOUTH, OVAL, Look
from benchmarks.quality.seen import SIDE, Picture

IDENTICAL = 100.0
"Decibels, in the place of infinitely many."
DARK = 6
"Levels up to which a pixel inside the figure is a hole."


def compared(truth: Picture, matte: np.ndarray, shown: Picture, perceived: bool = True) -> dict[str, float]:
    """`shown` beside the driver's frame `truth` with its `matte` [512, 512]; by networks too where `perceived`."""
    assert truth.look is not None
    a, b = truth.small, shown.small
    person = cv2.resize(matte, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0.5
    points = truth.look.points[:, :2] * SIDE / len(truth.pixels)
    figures = {
        "psnr": psnr(a, b),
        "ssim": ssim(a, b),
        "psnr_person": psnr(a, b, person),
        "psnr_face": psnr(a, b, _hull(points[OVAL])),
        "psnr_parts": psnr(a, b, _boxes(points)),
    }
    if perceived and catalogue.here("stlpips"):
        figures["stlpips"] = perceptual.distance(truth.features, shown.features)
    for backbone in lpips.here() if perceived else ():
        figures[backbone] = lpips.distance(backbone, truth.perceived(backbone), shown.perceived(backbone))
    return figures


def point_distances(look: Look, shown: Look) -> dict[str, float]:
    """Mean distance of the points, in eye distances of the reference."""
    apart = np.linalg.norm(look.points[:468, :2] - shown.points[:468, :2], axis=1) / look.eye_distance
    return {
        "points": float(apart.mean()),
        "points_mouth": float(apart[MOUTH].mean()),
        "points_eyes": float(apart[EYES].mean()),
    }


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Decibels between pictures [H, W, 3] uint8, over `mask` [H, W] bool; IDENTICAL at most."""
    squared = (a.astype(np.float64) - b) ** 2
    error = squared.mean() if mask is None else squared[mask].mean() if mask.any() else np.nan
    return float(min(10 * np.log10(255**2 / max(error, 1e-12)), IDENTICAL))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, grey, Gaussian window of 11 pixels and 1.5, K = 0.01 and 0.03, mean over the whole picture."""
    x, y = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(np.float64) for one in (a, b))

    def local(picture: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(picture, (11, 11), 1.5)[5:-5, 5:-5]

    mx, my = local(x), local(y)
    vx, vy, vxy = local(x * x) - mx * mx, local(y * y) - my * my, local(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def holes(shown: np.ndarray, look: Look | None = None) -> float:
    """Percent of the figure in `shown` [H, W, 3] uint8 that is black and shut in by it, and no mouth that is open in `look`."""
    dark = (shown.max(axis=2) <= DARK).astype(np.uint8)
    _count, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    height, width = dark.shape
    left, top, wide, high = stats[:, 0], stats[:, 1], stats[:, 2], stats[:, 3]
    outside = (left == 0) | (top == 0) | (left + wide == width) | (top + high == height)
    shut_in = ~outside[labels] & (dark > 0)
    if look is not None:
        shut_in &= ~_hull(look.points[MOUTH, :2], shape=dark.shape)
    figure = int((dark == 0).sum() + shut_in.sum())
    return 100.0 * float(shut_in.sum()) / max(figure, 1)


def recut(pixels: np.ndarray) -> np.ndarray:
    """`pixels` cut out a little differently: turned by 0.4 degrees, larger by 0.4 %, moved by a third of a pixel."""
    side = pixels.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), 0.4, 1.004)
    matrix[:, 2] += 0.35
    return cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR)


def _hull(points: np.ndarray, shape: tuple[int, ...] = (SIDE, SIDE)) -> np.ndarray:
    inside = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(points.round().astype(np.int32)), (1,))
    return inside.astype(bool)


def _boxes(points: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] bool: boxes round mouth and eyes, a sixth of the eye distance wider."""
    room = np.linalg.norm(points[33] - points[263]) / 6
    inside = np.zeros((SIDE, SIDE), bool)
    for part in (MOUTH, EYES[:8], EYES[8:]):
        low = np.clip(points[part].min(0) - room, 0, SIDE - 1).astype(int)
        high = np.clip(points[part].max(0) + room, 0, SIDE - 1).astype(int)
        inside[low[1] : high[1] + 1, low[0] : high[0] + 1] = True
    return inside
