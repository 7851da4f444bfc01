"""Likeness: what one picture of an avatar says beside its source and its driver: whose face it is, what it does, how it looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.quality import pictures, tracking
from benchmarks.quality.instruments import expression
from benchmarks.quality.instruments.face import Look
from benchmarks.quality.seen import Picture


def figures(
    source: Picture, truth: Picture, matte: np.ndarray, shown: Picture, itself: bool, without: Sequence[str] = ()
) -> dict[str, float]:
    """Columns of `shown` beside the driver's frame `truth`, which is its reference where the driver is the source `itself`."""
    assert truth.look is not None
    values = pictures.compared(truth, matte, shown, "stlpips" not in without) if itself else {}
    values["holes"] = pictures.holes(shown.pixels, shown.look)
    if shown.look is None:
        return values
    if itself:
        values |= pictures.point_distances(truth.look, shown.look)
    values |= _does(truth.look, shown.look) | _whose(shown.faces, source.faces, truth.faces)
    return values | {key: value / max(source.natural[key], 1e-3) for key, value in shown.natural.items()}


def signals(looks: Sequence[Look | None]) -> np.ndarray:
    """[T, 9] as SIGNALS; NaN where no face was seen."""
    return np.stack([np.full(len(tracking.SIGNALS), np.nan) if look is None else look.signals for look in looks])


def _does(driver: Look, shown: Look) -> dict[str, float]:
    off = np.abs((shown.angles - driver.angles + 180) % 360 - 180)
    values: dict[str, float] = dict(zip(("yaw", "pitch", "roll"), off.tolist(), strict=True))
    if driver.blendshapes is not None and shown.blendshapes is not None:
        values["blendshapes"] = float(np.abs(driver.blendshapes - shown.blendshapes).mean())
        if expression.here():
            values["expression"] = expression.distance(driver.blendshapes, shown.blendshapes)
    return values


def _whose(
    shown: dict[str, np.ndarray], source: dict[str, np.ndarray], driver: dict[str, np.ndarray]
) -> dict[str, float]:
    values = {}
    for network, face in shown.items():
        own, other, apart = face @ source[network], face @ driver[network], source[network] @ driver[network]
        values |= {f"source_{network}": float(own), f"driver_{network}": float(other)}
        values |= {f"apart_{network}": float(apart), f"leak_{network}": float(other - apart)}
    return values
