"""Raster: the rules of engines/raster as kernels. Every triangle offers itself to the samples that it may cover, all at once,
and an atomic minimum over depth and index keeps the nearest; then each sample asks for its place on it. Twin: raster/plain.py.

A sample's offer is one 64-bit number: depth in fixed point, 2**-41 of a unit fine, above the triangle's index, so that the
nearer wins, and of equally near ones the lower index, whatever the order in which they come.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from engines.kernels.launch import launch, parts_of
from engines.raster.plain import EPSILON, Fragments

FACES, SAMPLES = 32, 256
"A program's share. Few triangles, since the largest of them sets how long all take: a head's cover some 13 samples each."
MOST_FACES = 1 << 16
NOTHING = (1 << 63) - 1
_EPSILON = tl.constexpr(EPSILON)
_NOTHING = tl.constexpr(NOTHING)
_REACH = tl.constexpr(32.0)
"Depths count between -32 and 32; what lies beyond takes part as if it lay there."
_STEPS = tl.constexpr(float(1 << 41))
_FURTHEST = tl.constexpr((1 << 47) - 1)
_ABOVE = tl.constexpr(MOST_FACES)
"What a depth is multiplied with to stand above the triangle's index."


@triton.jit
def _coordinate(screen, corner, axis, known):
    """[B] float64: of vertices."""
    return tl.load(screen + 3 * corner + axis, mask=known, other=0.0).to(tl.float64)


@triton.jit
def _edge(x, y, ax, ay, bx, by):
    return (x - ax) * (by - ay) - (y - ay) * (bx - ax)


@triton.jit
def _offer(screen,   # [V, N, 3] float32
           faces,    # [F, 3] int32
           offers,   # [V, side * side] int64, in and out
           vertices, count, side, FACES: tl.constexpr):  # fmt: skip
    """Grid (F / FACES, V)."""
    face = tl.program_id(0) * FACES + tl.arange(0, FACES)
    view = tl.program_id(1).to(tl.int64)
    known = face < count
    screen += view * vertices * 3
    a = tl.load(faces + 3 * face, mask=known, other=0)
    b = tl.load(faces + 3 * face + 1, mask=known, other=0)
    c = tl.load(faces + 3 * face + 2, mask=known, other=0)
    ax, ay, az = _coordinate(screen, a, 0, known), _coordinate(screen, a, 1, known), _coordinate(screen, a, 2, known)
    bx, by, bz = _coordinate(screen, b, 0, known), _coordinate(screen, b, 1, known), _coordinate(screen, b, 2, known)
    cx, cy, cz = _coordinate(screen, c, 0, known), _coordinate(screen, c, 1, known), _coordinate(screen, c, 2, known)
    area = _edge(cx, cy, ax, ay, bx, by)
    finite = (tl.abs(area) < float("inf")) & (tl.abs(az + bz + cz) < float("inf"))
    drawn = known & (tl.abs(area) > _EPSILON) & finite
    least_x, most_x = tl.minimum(ax, tl.minimum(bx, cx)), tl.maximum(ax, tl.maximum(bx, cx))
    least_y, most_y = tl.minimum(ay, tl.minimum(by, cy)), tl.maximum(ay, tl.maximum(by, cy))
    half = side * 0.5
    left = tl.clamp(tl.ceil((least_x + 1) * half - 0.5), 0.0, side * 1.0).to(tl.int32)
    right = tl.clamp(tl.floor((most_x + 1) * half - 0.5), -1.0, side - 1.0).to(tl.int32)
    top = tl.clamp(tl.ceil((least_y + 1) * half - 0.5), 0.0, side * 1.0).to(tl.int32)
    bottom = tl.clamp(tl.floor((most_y + 1) * half - 0.5), -1.0, side - 1.0).to(tl.int32)
    wide = tl.maximum(right - left + 1, 1)
    samples = tl.where(drawn & (right >= left), wide * tl.maximum(bottom - top + 1, 0), 0)
    most = tl.max(samples, 0)
    for k in range(most):
        row, column = top + k // wide, left + k % wide
        x, y = -1 + (2 * column + 1).to(tl.float64) / side, -1 + (2 * row + 1).to(tl.float64) / side
        u = _edge(x, y, bx, by, cx, cy) / (area + _EPSILON)
        v = _edge(x, y, cx, cy, ax, ay) / (area + _EPSILON)
        w = _edge(x, y, ax, ay, bx, by) / (area + _EPSILON)
        # no clamp: a symmetric one of float64 becomes an instruction that there is not
        depth = tl.minimum(tl.maximum(u * az + v * bz + w * cz, -_REACH), _REACH)
        place = ((depth + _REACH) * _STEPS).to(tl.int64)
        inside = (k < samples) & (u > 0) & (v > 0) & (w > 0)
        offered = tl.minimum(place, _FURTHEST) * _ABOVE + face
        tl.atomic_min(offers + view * side * side + row * side + column, offered, mask=inside, sem="relaxed")


@triton.jit
def _place(screen,       # [V, N, 3] float32
           faces,        # [F, 3] int32
           offers,       # [V, side * side] int64
           shown,        # [V, side * side] int32, out
           barycentric,  # [V, side * side, 3] float32, out
           vertices, side, SAMPLES: tl.constexpr):  # fmt: skip
    """Grid (side * side / SAMPLES, V)."""
    sample = tl.program_id(0) * SAMPLES + tl.arange(0, SAMPLES)
    view = tl.program_id(1).to(tl.int64)
    within = sample < side * side
    at = view * side * side + sample
    offer = tl.load(offers + at, mask=within, other=_NOTHING)
    covered = offer != _NOTHING
    face = (offer % _ABOVE).to(tl.int32)
    screen += view * vertices * 3
    a = tl.load(faces + 3 * face, mask=covered, other=0)
    b = tl.load(faces + 3 * face + 1, mask=covered, other=0)
    c = tl.load(faces + 3 * face + 2, mask=covered, other=0)
    ax, ay = _coordinate(screen, a, 0, covered), _coordinate(screen, a, 1, covered)
    bx, by = _coordinate(screen, b, 0, covered), _coordinate(screen, b, 1, covered)
    cx, cy = _coordinate(screen, c, 0, covered), _coordinate(screen, c, 1, covered)
    x = -1 + (2 * (sample % side) + 1).to(tl.float64) / side
    y = -1 + (2 * (sample // side) + 1).to(tl.float64) / side
    area = _edge(cx, cy, ax, ay, bx, by) + _EPSILON
    u, v, w = _edge(x, y, bx, by, cx, cy), _edge(x, y, cx, cy, ax, ay), _edge(x, y, ax, ay, bx, by)
    tl.store(shown + at, tl.where(covered, face, -1), mask=within)
    tl.store(barycentric + 3 * at, tl.where(covered, u / area, 0.0).to(tl.float32), mask=within)
    tl.store(barycentric + 3 * at + 1, tl.where(covered, v / area, 0.0).to(tl.float32), mask=within)
    tl.store(barycentric + 3 * at + 2, tl.where(covered, w / area, 0.0).to(tl.float32), mask=within)


def rasterised(screen: Tensor,  # [V, N, 3] float32
               faces: Tensor,   # [F, 3] int32
               side: int) -> Fragments:  # fmt: skip
    """As raster.plain does it, for at most 65536 triangles. Nobody waits for the device."""
    (views, vertices, _), count = screen.shape, len(faces)
    assert count <= MOST_FACES, count
    assert faces.dtype == torch.int32, faces.dtype
    screen, faces = screen.contiguous(), faces.contiguous()
    offers = torch.full((views, side * side), NOTHING, dtype=torch.int64, device=screen.device)
    shown = torch.empty(views, side, side, dtype=torch.int32, device=screen.device)
    barycentric = torch.empty(views, side, side, 3, device=screen.device)
    grid = parts_of(count, FACES), views
    launch(_offer, grid, screen, faces, offers, vertices, count, side, FACES=FACES, warps=1)
    grid = parts_of(side * side, SAMPLES), views
    launch(_place, grid, screen, faces, offers, shown, barycentric, vertices, side, SAMPLES=SAMPLES, warps=4)
    return Fragments(shown, barycentric)
