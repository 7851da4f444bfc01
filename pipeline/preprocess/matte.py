"""Matte: which pixels of a crop are the person, by MediaPipe's selfie segmentation. At enrolment 45 ms; live, for engines that ask, 13."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from engines.contract import CROP
from pipeline.preprocess.quiet import without_chatter

_WIDER = 1.6
"""The model sees this much more than the crop: it was trained on head and shoulders, and on the crop alone it loses hair and caps
that touch the upper edge. It is asked twice, the second time about the mirrored picture: what it takes for the person in one only,
such as the cord of a flag beside a cap, falls below the ramp's foot."""


class Matting:
    """One segmentation model. Used from one thread at a time."""

    def __init__(self) -> None:
        with without_chatter():
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._model: Any = SelfieSegmentation(model_selection=0)
            self._model.process(np.zeros((64, 64, 3), np.uint8))

    def matte(self, pixels: np.ndarray, to_crop: np.ndarray, crop: np.ndarray, fine: bool) -> np.ndarray:
        """[512, 512] float32 0..1 for `crop` [512, 512, 3], which `to_crop` [2, 3] cut from `pixels` [H, W, 3], uint8 RGB; or for one that
        shows more on all sides, alike.

        `fine`, for portraits, asks the model twice and follows edges of colour; else once, and edges of brightness.
        """
        margin = CROP / 2 * (1 - 1 / _WIDER)
        to_wide = to_crop / _WIDER + [[0.0, 0.0, margin], [0.0, 0.0, margin]]
        wide = cv2.warpAffine(pixels, to_wide, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rough = self._segment(wide)
        if fine:
            rough = (rough + self._segment(wide[:, ::-1])[:, ::-1]) / 2
        side = len(crop)
        begin = (side - CROP) / 2 - margin * _WIDER
        to_narrow = np.array([[_WIDER, 0.0, begin], [0.0, _WIDER, begin]])
        rough = cv2.warpAffine(rough, to_narrow, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return one_person(refined(crop if fine else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), rough))

    def _segment(self, picture: np.ndarray) -> np.ndarray:
        return self._model.process(np.ascontiguousarray(picture)).segmentation_mask

    def close(self) -> None:
        self._model.close()


def refined(crop: np.ndarray, rough: np.ndarray) -> np.ndarray:
    """`rough` [H, W] with its edge drawn to the edges of `crop` [H, W] or [H, W, 3] uint8 (guided filter: He, Sun, Tang, ECCV 2010).

    The ramps end inside the person, so that no background shines through at the rim; hair stays soft.
    """
    person = np.clip((rough - 0.72) / 0.25, 0.0, 1.0).astype(np.float32)
    soft = cv2.ximgproc.guidedFilter(crop, person, radius=8, eps=0.65)
    return np.clip((soft - 0.3) / 0.6, 0.0, 1.0).astype(np.float32)


def one_person(matte: np.ndarray) -> np.ndarray:
    """`matte` [H, W] without islands and hangers-on: what is solid and holds together with the middle stays, and 10 px around."""
    small = cv2.resize(matte, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)  # 1 ms instead of 14
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    solid = cv2.morphologyEx((small > 0.4).astype(np.uint8), cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE)
    count, labels = cv2.connectedComponents(solid)
    height, width = small.shape
    middle = labels[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    sizes = np.bincount(middle[middle > 0], minlength=count)
    if not sizes.any():
        return matte  # nobody in the middle: nothing to hang on to
    near = cv2.dilate((labels == sizes.argmax()).astype(np.float32), disc)
    return matte * cv2.resize(near, matte.shape[::-1], interpolation=cv2.INTER_LINEAR)
