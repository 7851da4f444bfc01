"""Matte: which pixels of a crop are the person, by MediaPipe's selfie segmentation. At enrolment only: 30 ms."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.preprocess.quiet import without_chatter


class Matting:
    """One segmentation model. Used from one thread at a time."""

    def __init__(self) -> None:
        with without_chatter():
            import mediapipe

            self._segment: Any = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(0)  # type: ignore[attr-defined]
            self._segment.process(np.zeros((64, 64, 3), np.uint8))

    def matte(self, crop: np.ndarray) -> np.ndarray:
        """[H, W] float32 0..1 for `crop` [H, W, 3] uint8 RGB."""
        return refined(crop, self._segment.process(crop).segmentation_mask)

    def close(self) -> None:
        self._segment.close()


def refined(crop: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """`rough` [H, W] with its edge drawn to the crop's own edges (guided filter: He, Sun, Tang, ECCV 2010)."""
    guide = crop.astype(np.float32) / 255
    soft = cv2.ximgproc.guidedFilter(guide, rough.astype(np.float32), 8, 1e-4)
    return np.clip((soft - 0.2) / 0.7, 0.0, 1.0).astype(np.float32)
