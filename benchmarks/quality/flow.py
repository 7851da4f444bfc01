"""Flow: where each pixel of one picture lies in another (DIS, Kroeger et al., ECCV 2016), and what lies there."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def flow(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[H, W, 2] float32 pixels: from each of `one` [H, W, 3] uint8 to its place in `other`."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (one, other)]
    dense: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dense.calc(grey[0], grey[1], None)


def carried(field: np.ndarray, along: np.ndarray) -> np.ndarray:
    """`field` [H, W, C] where `along` [H, W, 2] leads from each pixel."""
    height, width = field.shape[:2]
    x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
    at_x, at_y = (x + along[..., 0]).astype(np.float32), (y + along[..., 1]).astype(np.float32)
    return cv2.remap(field, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
