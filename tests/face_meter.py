"""Face meter: an independent look at rendered or filmed faces. FaceMesh on single pictures, without any smoothing of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mediapipe
import numpy as np

from pipeline.preprocess.framing import stance_of

_EYES = ((159, 145, 33, 133), (386, 374, 263, 362))


@dataclass(frozen=True)
class Reading:
    """One face."""

    yaw: float
    "Degrees; positive turns the face to the picture's right."
    mouth: float
    "Between the inner lips, as a share of the face's height."
    eyes: float
    "Between the lids, as a share of the eye's width; the mean of both."


class Scale:
    """What a meter's yaw means for one head: FaceMesh reads each face somewhat wrong, in its own way, the more it is turned away.

    Calibrated as any instrument is, on turns that are known; rising, by pooling neighbours that are not (isotonic regression).
    """

    def __init__(self, turned: Sequence[float], read: Sequence[float]) -> None:
        """`turned`: degrees, rising; `read`: what the meter reads of each."""
        pools: list[tuple[float, int]] = []
        for one in read:
            pools.append((one, 1))
            while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
                (low, few), (high, more) = pools.pop(), pools.pop()
                pools.append(((low * few + high * more) / (few + more), few + more))
        ends = np.cumsum([size for _, size in pools])
        self._read = [mean for mean, _ in pools]
        self._turned = [float(np.mean(turned[end - size : end])) for end, (_, size) in zip(ends, pools, strict=True)]

    def true(self, read: float) -> float:
        """Degrees that a head is turned by of which the meter reads so many; held where it was calibrated."""
        return float(np.interp(read, self._read, self._turned))


class FaceMeter:
    """Reads pictures one by one."""

    def __init__(self) -> None:
        self._mesh: Any = mediapipe.solutions.face_mesh.FaceMesh(  # type: ignore[attr-defined]
            static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.3
        )

    def read(self, pixels: np.ndarray) -> Reading | None:
        """The face in `pixels` [H, W, 3] uint8 RGB, or None."""
        found = self._mesh.process(np.ascontiguousarray(pixels)).multi_face_landmarks
        if not found:
            return None
        height, width = pixels.shape[:2]
        points = np.array([(p.x, p.y * height / width, p.z) for p in found[0].landmark])
        turned = stance_of(points).rotation
        return Reading(
            yaw=float(np.degrees(np.arctan2(turned[0, 2], turned[2, 2]))),
            mouth=_apart(points, 13, 14) / _apart(points, 10, 152),
            eyes=float(np.mean([_apart(points, a, b) / _apart(points, c, d) for a, b, c, d in _EYES])),
        )


def _apart(points: np.ndarray, i: int, j: int) -> float:
    return float(np.linalg.norm(points[i] - points[j]))
