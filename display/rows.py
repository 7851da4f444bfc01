"""Rows: the loops that turn rows of RGBA pixels into rows of Y, U and V, compiled so that a core does sixteen pixels at once.

A pixel is one 32-bit word, red in its lowest byte. The arithmetic is that of colour.py and label.py, and so are the results, to
the last bit. Two rows are done together, since they share their chroma and are still in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from display.colour import BLACK, BLUENESS, GREY, LUMA, REDNESS, SHIFT

_jit = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

# NumPy's types, since a Python integer has 64 bits to the compiler: half as many pixels at once
_Y, _U, _V = (tuple(np.int32(weight) for weight in weights) for weights in (LUMA, BLUENESS, REDNESS))
_Y0, _C0, _SHIFT = np.int32(BLACK), np.int32(GREY), np.int32(SHIFT)
_BYTE, _EIGHT, _SIXTEEN, _TWO, _MARKED = np.uint32(255), np.uint32(8), np.uint32(16), np.int32(2), np.int32(8)


@_jit
def _rgb(word: np.uint32) -> tuple[np.int32, np.int32, np.int32]:
    return np.int32(word & _BYTE), np.int32((word >> _EIGHT) & _BYTE), np.int32((word >> _SIXTEEN) & _BYTE)


@_jit
def _luma(
    words: np.ndarray,  # [W] uint32
    y: np.ndarray,  # [W] uint8 out
) -> None:
    for x in range(len(words)):
        red, green, blue = _rgb(words[x])
        y[x] = np.uint8((red * _Y[0] + green * _Y[1] + blue * _Y[2] + _Y0) >> _SHIFT)


@_jit
def _chroma(
    upper: np.ndarray,  # [2 W] uint32
    lower: np.ndarray,  # [2 W] uint32: the row below
    u: np.ndarray,  # [W] uint8 out
    v: np.ndarray,  # [W] uint8 out
) -> None:
    """Of the mean of 2x2 pixels each, rounded to 8 bits."""
    for x in range(len(u)):
        r0, g0, b0 = _rgb(upper[2 * x])
        r1, g1, b1 = _rgb(upper[2 * x + 1])
        r2, g2, b2 = _rgb(lower[2 * x])
        r3, g3, b3 = _rgb(lower[2 * x + 1])
        red = (r0 + r1 + r2 + r3 + _TWO) >> _TWO
        green = (g0 + g1 + g2 + g3 + _TWO) >> _TWO
        blue = (b0 + b1 + b2 + b3 + _TWO) >> _TWO
        u[x] = np.uint8((red * _U[0] + green * _U[1] + blue * _U[2] + _C0) >> _SHIFT)
        v[x] = np.uint8((red * _V[0] + green * _V[1] + blue * _V[2] + _C0) >> _SHIFT)


@_jit
def _put_mark(
    words: np.ndarray,  # [W] uint32, changed in place
    keep: np.ndarray,  # [w] int32: a row of label.Mark's
    add: np.ndarray,  # [w] int32: likewise
    left: int,
) -> None:
    for x in range(len(keep)):
        red, green, blue = _rgb(words[left + x])
        red = (red * keep[x] >> _MARKED) + add[x]
        green = (green * keep[x] >> _MARKED) + add[x]
        blue = (blue * keep[x] >> _MARKED) + add[x]
        words[left + x] = np.uint32(red) | np.uint32(green) << _EIGHT | np.uint32(blue) << _SIXTEEN


@_jit
def convert(
    views: np.ndarray,  # [V, h, w] uint32, sides even
    corners: np.ndarray,  # [V, 2] int64: left and top of each one's tile in the picture, even
    keep: np.ndarray,  # [m, n] int32: label.Mark's; [0, 0] where there is none
    add: np.ndarray,  # [m, n] int32: likewise
    left: int,  # where the mark lies in each view
    top: int,
    y: np.ndarray,  # [H, W] uint8 out
    u: np.ndarray,  # [H/2, W/2] uint8 out
    v: np.ndarray,  # [H/2, W/2] uint8 out
) -> None:
    """Each view into its tile of the picture, with the mark laid over it. The rest of the picture stays as it is."""
    height, width = views.shape[1:]
    both = np.empty((2, width), np.uint32)
    for k in range(len(views)):
        right, down = corners[k, 0], corners[k, 1]
        for row in range(0, height, 2):
            upper, lower = views[k, row], views[k, row + 1]
            if top - 2 < row < top + len(keep):
                both[0], both[1] = upper, lower
                for i in range(2):
                    if top <= row + i < top + len(keep):
                        _put_mark(both[i], keep[row + i - top], add[row + i - top], left)
                upper, lower = both[0], both[1]
            at, half, end = (down + row) // 2, right // 2, (right + width) // 2
            _luma(upper, y[down + row, right : right + width])
            _luma(lower, y[down + row + 1, right : right + width])
            _chroma(upper, lower, u[at, half:end], v[at, half:end])
