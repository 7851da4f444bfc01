"""Painted lips: lips that a photo shows drawn apart by a grin, as they look when they are closed: of their own colour, fuller, with a
shadow where they meet. The photo's own outline and grain stay."""

from __future__ import annotations

import cv2
import numpy as np

from engines.relief.surface import smooth
from engines.relief.texture import PAD
from engines.relief.topology import LIP_RINGS_LOWER, LIP_RINGS_UPPER

STRIPS = 12
"Into which a lip is cut from its inner edge to its outer one."
SHADOW, SHADOWED = 0.30, 0.35
"Of the light, that is lost where lips meet; and the share of a lip over which it comes back."
ROUND = 0.05
"Of the light, that the middle of a lower lip has more."
PAINT, PAINT_OUTSIDE = 0.85, 0.15
"Of the painted colour, at a lip's inner edge and at its outer one."
GRAIN = 0.6
"Of the photo's own detail, that is kept."


def painted(picture: np.ndarray, landmarks: np.ndarray, share: float) -> np.ndarray:
    """`picture` [SIDE, SIDE, 3] with the lips of `landmarks` [478, 3], crop pixels, closed lips' by a `share` of 0..1."""
    out = picture.copy()
    for rings, lower in ((LIP_RINGS_UPPER, False), (LIP_RINGS_LOWER, True)):
        _paint(out, picture, landmarks[rings, :2] + PAD, share, lower)
    return out


def _paint(out: np.ndarray, picture: np.ndarray, rings: np.ndarray, share: float, lower: bool) -> None:
    """One lip, of rings [4, 11, 2] from its inner edge outwards, into `out`."""
    outward = _outward(rings, picture.shape[:2])
    lip = outward >= 0
    inner = lip & (outward > 0.15) & (outward < 0.8)
    if inner.sum() < 30:
        return
    own = _own_colour(picture[inner])
    light = 1.0 - SHADOW * (1.0 - smooth(outward / SHADOWED))
    if lower:
        light = light + ROUND * np.exp(-(((outward - 0.5) / 0.2) ** 2))
    grain = picture - cv2.GaussianBlur(picture, (0, 0), 4.0)
    colour = own * light[..., None] + GRAIN * grain
    mix = share * lip * (PAINT + (PAINT_OUTSIDE - PAINT) * smooth((outward - 0.3) / 0.7))
    mix = cv2.GaussianBlur(mix.astype(np.float32), (0, 0), 1.2)[..., None]
    out[:] = out * (1 - mix) + colour * mix


def _own_colour(shades: np.ndarray) -> np.ndarray:
    """[3] of a lip's colours [n, 3]: without what is skin, and without highlights, which are of a lip that is drawn tight."""
    redness = np.log(shades[:, 0] + 8.0) - np.log(shades[:, 1] + 8.0)
    shades = shades[redness >= np.percentile(redness, 60)]
    bright = shades.mean(axis=1)
    return np.median(shades[bright <= np.percentile(bright, 70)], axis=0)


def _outward(rings: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[H, W] float32: 0 at the inner edge of a lip of rings [4, 11, 2] .. 1 at its outer one; -1 elsewhere."""
    out = np.full(shape[:2], -1.0, np.float32)
    at = np.linspace(0, 3, STRIPS + 1)
    k = np.minimum(at.astype(int), 2)
    f = (at - k)[:, None, None]
    lines = rings[k] * (1 - f) + rings[k + 1] * f
    for number in range(STRIPS):
        ring = np.concatenate([lines[number], lines[number + 1][::-1]])
        cv2.fillPoly(out, [(ring * 16).round().astype(np.int32)], ((number + 0.5) / STRIPS,), shift=4)
    return out
