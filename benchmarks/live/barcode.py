"""Barcode: a number carried in a picture, readable after video coding. Blocks of luma at the top left, black and white."""

from __future__ import annotations

import cv2
import numpy as np

BITS = 14
"Few enough that a quilt which was made small still holds them: 288 pixels."
CHECK_BITS = 4
BLOCK = 16
"Pixels a side: four coding blocks, so that a hard quantiser still keeps black from white."
WIDTH, HEIGHT = (BITS + CHECK_BITS) * BLOCK, BLOCK
DARK, LIGHT = 20, 230


def draw(plane: np.ndarray, number: int) -> None:
    """Write `number` (modulo 2^14: eleven minutes of 25 a second) into the top left of `plane` ([H, W] or [H, W, C] uint8), in place."""
    bits = _with_check(number % (1 << BITS))
    row = np.repeat(np.where(bits, LIGHT, DARK).astype(np.uint8), BLOCK)
    plane[:HEIGHT, :WIDTH] = row if plane.ndim == 2 else row[:, None]


def read(plane: np.ndarray) -> int | None:
    """The number in the top left of `plane` ([H, W] uint8), or None where there is none or it is damaged."""
    blocks = plane[:HEIGHT, :WIDTH].reshape(HEIGHT, BITS + CHECK_BITS, BLOCK)
    inner = blocks[4:-4, :, 4:-4].mean(axis=(0, 2))
    if (np.abs(inner - (DARK + LIGHT) / 2) < 40).any():
        return None
    number = int(sum(1 << i for i in range(BITS) if inner[i] > 125))
    return number if (_with_check(number) == (inner > 125)).all() else None


def read_scaled(plane: np.ndarray, across: int) -> int | None:
    """The number in `plane` ([H, W] uint8), which was up to `across` pixels wide when it was drawn: a browser that is short of time sends
    its camera's picture smaller than it is."""
    number = read(plane) if plane.shape[1] >= WIDTH else None
    if number is None and plane.shape[1] < across:
        scale = plane.shape[1] / across
        strip = np.ascontiguousarray(plane[: round(HEIGHT * scale), : round(WIDTH * scale)])
        number = read(cv2.resize(strip, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR))
    return number


def _with_check(number: int) -> np.ndarray:
    """The bits of `number`, lowest first, and its CRC-4 (ITU-T G.704: x^4 + x + 1), which no single wrong bit passes."""
    rest = number << CHECK_BITS
    for bit in reversed(range(CHECK_BITS, BITS + CHECK_BITS)):
        if rest >> bit & 1:
            rest ^= 0b10011 << (bit - CHECK_BITS)
    whole = number | rest << BITS
    return np.array([bool(whole >> i & 1) for i in range(BITS + CHECK_BITS)])
