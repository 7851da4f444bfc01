"""Strips: the loops of raster.py, compiled by numba. Rules: plain.py.

A picture is kept in strips eight pixels wide whose rows follow each other, a plane for each colour: what an ellipse covers of a strip is
one run of memory, a multiple of 32 numbers long, which the compiler makes vectors of without a rest. On one core of an AMD EPYC whose
cores others used, blending 18,488 Gaussians into 256 x 256 took 3.9 ms so, and 20.2 row by row.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from engines.splats.plain import BEYOND, BLUR, LEAST, MOST, NEAR

_jit: Any = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
STRIP, ROWS = 8, 4
"Pixels across a strip, and rows that are blended at once."
_LEAST_LOG = np.float32(math.log(LEAST))
_LARGEST = np.float32(1e5)
"Pixels: an ellipse further away or larger is a mistake, and would overflow the loops' 32 bits."
_POWER, _BEND = np.float32(1 / 32), np.float32(0.4817)
"exp(p) = exp(p / 32)^32, and exp(s) = 1 + s + 0.4817 s^2: within 0.3 % where a fragment is drawn (0 > p > -5.6)."
_HALF, _ONE, _MOST = np.float32(0.5), np.float32(1), np.float32(MOST)
_BLUR, _NEAR, _BEYOND = np.float32(BLUR), np.float32(NEAR), np.float32(BEYOND)


@_jit
def pose(
    points: np.ndarray,  # [N, 3] float32 in: at rest, out: posed
    starts: np.ndarray,  # [A + 1] int32, as SplatAvatar has these
    which: np.ndarray,  # [M] int32
    moves: np.ndarray,  # [M, 3] float32
    coefficients: np.ndarray,  # [A] float32
) -> None:
    """SplatAvatar.posed: 0.22 ms of a core for the 188,603 moves of LAM's sample, where numpy takes 2.9."""
    for action in range(coefficients.shape[0]):
        size = coefficients[action]
        if size == 0:
            continue
        for entry in range(starts[action], starts[action + 1]):
            at = which[entry]
            points[at, 0] += size * moves[entry, 0]
            points[at, 1] += size * moves[entry, 1]
            points[at, 2] += size * moves[entry, 2]


@_jit
def project(
    points: np.ndarray,  # [N, 3] float32
    covariances: np.ndarray,  # [N, 6] float32
    logs: np.ndarray,  # [N] float32: of opacities
    look: np.ndarray,  # [3, 4] float32 world to camera
    lens: np.ndarray,  # [4] float32 pixels
    size: np.ndarray,  # [2] float32 width, height
    ellipses: np.ndarray,  # [N, 8] float32 out: see blend
    depths: np.ndarray,  # [N] float32 out
    who: np.ndarray,  # [N] int32 out: which Gaussian each is
) -> int:
    """How many touch the picture: so many rows are written."""
    found = 0
    spare_x, spare_y = _BEYOND * _HALF * size[0] / lens[0], _BEYOND * _HALF * size[1] / lens[1]
    left, right = -lens[2] / lens[0] - spare_x, (size[0] - lens[2]) / lens[0] + spare_x
    above, below = -lens[3] / lens[1] - spare_y, (size[1] - lens[3]) / lens[1] + spare_y
    for n in range(points.shape[0]):
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        z = look[2, 0] * px + look[2, 1] * py + look[2, 2] * pz + look[2, 3]
        reach = logs[n] - _LEAST_LOG
        if not (z > _NEAR and reach > 0):
            continue
        across = (look[0, 0] * px + look[0, 1] * py + look[0, 2] * pz + look[0, 3]) / z
        down = (look[1, 0] * px + look[1, 1] * py + look[1, 2] * pz + look[1, 3]) / z
        flat_x, flat_y = lens[0] / z, lens[1] / z
        slant_x, slant_y = flat_x * min(max(across, left), right), flat_y * min(max(down, above), below)
        ax, ay, az = (flat_x * look[0, 0] - slant_x * look[2, 0], flat_x * look[0, 1] - slant_x * look[2, 1],
                      flat_x * look[0, 2] - slant_x * look[2, 2])  # fmt: skip
        bx, by, bz = (flat_y * look[1, 0] - slant_y * look[2, 0], flat_y * look[1, 1] - slant_y * look[2, 1],
                      flat_y * look[1, 2] - slant_y * look[2, 2])  # fmt: skip
        c = covariances[n]
        hx, hy, hz = (
            c[0] * ax + c[1] * ay + c[2] * az,
            c[1] * ax + c[3] * ay + c[4] * az,
            c[2] * ax + c[4] * ay + c[5] * az,
        )
        gx, gy, gz = (
            c[0] * bx + c[1] * by + c[2] * bz,
            c[1] * bx + c[3] * by + c[4] * bz,
            c[2] * bx + c[4] * by + c[5] * bz,
        )
        xx, xy, yy = (
            ax * hx + ay * hy + az * hz + _BLUR,
            bx * hx + by * hy + bz * hz,
            bx * gx + by * gy + bz * gz + _BLUR,
        )
        area = xx * yy - xy * xy
        x, y = across * lens[0] + lens[2] - _HALF, down * lens[1] + lens[3] - _HALF
        wide, high = math.sqrt(2 * reach * xx), math.sqrt(2 * reach * yy)
        if not (area > 0 and abs(x) + wide < _LARGEST and abs(y) + high < _LARGEST):
            continue
        if x + wide < 0 or x - wide > size[0] or y + high < 0 or y - high > size[1]:
            continue
        to = ellipses[found]
        to[0], to[1], to[2], to[3], to[4] = x, y, _HALF * yy / area, -xy / area, _HALF * xx / area
        to[5], to[6], to[7] = wide, high, logs[n]
        depths[found], who[found] = z, n
        found += 1
    return found


@_jit
def by_depth(bits: np.ndarray) -> np.ndarray:
    """[N] int32: where the N rising numbers [N] int32 stand, none of them negative; equal ones keep their order. Radix sort."""
    count = bits.shape[0]
    order, other = np.arange(count).astype(np.int32), np.empty(count, np.int32)
    for shift in (0, 11, 22):
        starts = np.zeros(2049, np.int64)
        for n in range(count):
            starts[((bits[n] >> shift) & 2047) + 1] += 1
        for k in range(2048):
            starts[k + 1] += starts[k]
        for k in range(count):
            n = order[k]
            digit = (bits[n] >> shift) & 2047
            other[starts[digit]] = n
            starts[digit] += 1
        order, other = other, order
    return order


@_jit
def blend(
    ellipses: np.ndarray,  # [M, 8] float32: x, y (middles of pixels whole), conic xx / 2, xy, yy / 2, half the box, log opacity
    who: np.ndarray,  # [M] int32 of `project`
    order: np.ndarray,  # [M] int32: the nearest first
    colours: np.ndarray,  # [N, 3] float32
    top: int,
    bottom: int,
    planes: np.ndarray,  # [S, 4, (bottom - top + ROWS) * STRIP] float32 in and out: red, green, blue, the share that is let through
) -> None:
    """All ellipses onto the rows from `top` to `bottom`, the furthest first."""
    widest = planes.shape[0] * STRIP - 1
    for k in range(order.shape[0] - 1, -1, -1):
        e, n = ellipses[order[k]], who[order[k]]
        x, y, xx, xy, yy, wide, high, full = e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]
        red, green, blue = colours[n, 0], colours[n, 1], colours[n, 2]
        left, right = max(math.ceil(x - wide), 0), min(math.floor(x + wide), widest)
        reach, by_yy = full - _LEAST_LOG, _ONE / yy
        lean, narrow, tip = _HALF * xy * by_yy, xx - _HALF * _HALF * xy * xy * by_yy, _HALF * xy / xx * high
        for strip in range(left >> 3, (right >> 3) + 1 if right >= left else 0):
            u0 = np.float32(strip * STRIP) - x
            a, b = max(u0, -wide), min(u0 + np.float32(STRIP - 1), wide)
            # the ellipse's upper and lower ends between u = a and u = b: at either, or at its tips
            at_a = math.sqrt(max((reach - narrow * a * a) * by_yy, np.float32(0)))
            at_b = math.sqrt(max((reach - narrow * b * b) * by_yy, np.float32(0)))
            up = -high if a <= tip and tip <= b else min(-lean * a - at_a, -lean * b - at_b)
            down = high if a <= -tip and -tip <= b else max(-lean * a + at_a, -lean * b + at_b)
            first, last = max(math.ceil(y + up), top), min(math.floor(y + down), bottom - 1)
            if last < first:
                continue
            v0 = np.float32(first) - y
            # said not to be negative: otherwise each index is asked whether it counts from the end
            at = max(first - top, 0) * STRIP
            reds, greens, blues, through = planes[strip, 0], planes[strip, 1], planes[strip, 2], planes[strip, 3]
            for j in range(((last - first + ROWS) >> 2) << 5):
                u, v = u0 + np.float32(j & 7), v0 + np.float32(j >> 3)
                power = full - xx * u * u - v * (xy * u + yy * v)
                s = power * _POWER
                s = _ONE + s * (_ONE + s * _BEND)
                s = s * s
                s = s * s
                s = s * s
                s = s * s
                s = s * s
                alpha = min(s, _MOST) if power >= _LEAST_LOG else np.float32(0)
                reds[at + j] += alpha * (red - reds[at + j])
                greens[at + j] += alpha * (green - greens[at + j])
                blues[at + j] += alpha * (blue - blues[at + j])
                through[at + j] -= alpha * through[at + j]


@_jit
def finish(planes: np.ndarray, out: np.ndarray) -> None:
    """Strips [S, 4, (H + ROWS) * STRIP] float32 as rows [H, W, 4] uint8 RGBA, opaque."""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for k in range(3):
                seen = planes[x >> 3, k, y * STRIP + (x & 7)]
                out[y, x, k] = np.uint8(min(max(seen, np.float32(0)), _ONE) * np.float32(255) + _HALF)
            out[y, x, 3] = 255
