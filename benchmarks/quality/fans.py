"""Fans: the 24 views of an avatar at rest and while it is driven, beside fans that are known to be flawless, still or shuffled."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from benchmarks.quality import fan
from benchmarks.quality.bench import Bench, Subject
from benchmarks.quality.driving import Driver
from benchmarks.quality.instruments.face import Look
from benchmarks.quality.measuring import Failure, Measured, Row
from benchmarks.quality.seen import Picture
from display import optics
from display.optics import Cameras
from display.screen import PRODUCT, screen
from engines.contract import CROP, FaceObservation
from pipeline.preprocess.canonical import CANONICAL

MOMENTS = 5
"Of a driver, at which the fan is measured besides at rest."


def measure(bench: Bench, subject: Subject, driver: Driver, swap: Picture | None) -> Measured:
    """The 24 views of `subject` at rest, and at moments of a driver, with their yardsticks. Raises PortraitRejected."""
    avatar, measured = bench.engine.enrol(subject.portrait), Measured()
    cameras = optics.fan(screen(PRODUCT))
    moments = [(np.nan, replace(subject.portrait, presence=0.0))]
    chosen = np.linspace(0, len(driver.scored) - 1, MOMENTS).round().astype(int) if driver.scored else []
    moments += [(driver.moments[driver.scored[k]].at, driver.moments[driver.scored[k]].seen) for k in chosen]
    for at, seen in moments:
        _add(bench, "as run", at, bench.views(avatar, seen, cameras), cameras, subject, measured)
    still = bench.views(avatar, moments[0][1], cameras)
    middle = still[len(still) // 2]
    beside = {
        "frozen": np.repeat(middle[None], len(still), 0),
        "shuffled": np.random.default_rng(5).permutation(still),
        "meter": _slid(middle, np.degrees(cameras.yaws)),
    }
    if swap is not None:
        beside["swap"] = np.repeat(swap.small[None], len(still), 0)
    for condition, views in beside.items():
        _add(bench, condition, np.nan, views, cameras, subject, measured)
    flipped = mirrored(subject.portrait)
    other = bench.views(bench.engine.enrol(flipped), replace(flipped, presence=0.0), cameras)
    measured.film("as run", {"mirror": fan.mirrored(still, other)})
    return measured


def _add(
    bench: Bench,
    condition: str,
    at: float,
    views: np.ndarray,
    cameras: Cameras,
    subject: Subject,
    measured: Measured,
) -> None:
    def alike(pixels: np.ndarray, look: Look) -> dict[str, float]:
        faces = Picture(pixels, look).faces
        return {network: float(face @ subject.source.faces[network]) for network, face in faces.items()}

    parallel = bench.engine.abilities.parallel
    values, blind = fan.figures(views, np.degrees(cameras.yaws), parallel, bench.looker, alike)
    measured.rows.append(Row(condition, at, values))
    if condition == "as run":
        measured.looked += len(views)
    measured.failures += [Failure(condition, None if np.isnan(at) else at, "no face in a view")] * blind


def mirrored(portrait: FaceObservation) -> FaceObservation:
    """What would be observed of the photo turned left for right."""
    across = np.array([-1.0, 1.0, 1.0], np.float32)
    order = np.linalg.norm((CANONICAL * across)[:, None] - CANONICAL[None], axis=2).argmin(1)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    assert portrait.crop is not None
    assert portrait.matte is not None
    return replace(
        portrait,
        landmarks=(portrait.landmarks[order] * across + np.array([CROP - 1, 0, 0])).astype(np.float32),
        shape=portrait.shape[order] * across,
        neutral=portrait.neutral[order] * across,
        pose=(flip @ portrait.pose @ flip).astype(np.float32),
        crop=np.ascontiguousarray(portrait.crop[:, ::-1]),
        matte=np.ascontiguousarray(portrait.matte[:, ::-1]),
    )


def _slid(view: np.ndarray, yaws: np.ndarray) -> np.ndarray:
    """[V, H, W, 3]: one picture slid sideways by 0.7 pixels a degree: a fan without any flaw, as the instruments see it."""
    moved = [np.array([[1, 0, 0.7 * yaw], [0, 1.0, 0]]) for yaw in yaws]
    return np.stack([cv2.warpAffine(view, one, view.shape[1::-1]) for one in moved])
