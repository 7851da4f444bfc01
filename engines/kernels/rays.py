"""Rays: what every march kernel knows of a ray: its tile, its direction, its even depths, what an interval lets through.

A program takes a tile of neighbouring pixels, since they read neighbouring texels. Each ray has a slot: its place in the row
of all tiles, which is where its numbers lie between two kernels; pixels of a tile beyond the picture have slots too.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton import knobs

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)
ON_CHIP = tl.constexpr(not knobs.runtime.interpret)
"Whether kernels are compiled: Triton's interpreter, for machines without a GPU, knows no PTX."


@triton.jit
def pixels(tile, RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr):
    """The view, and the columns and rows [M] of the pixels, of a tile counted over all views."""
    tiles_across: tl.constexpr = (RESOLUTION + TILE_W - 1) // TILE_W
    tiles_down: tl.constexpr = (RESOLUTION + TILE_H - 1) // TILE_H
    in_view = tile % (tiles_across * tiles_down)
    lane = tl.arange(0, TILE_W * TILE_H)
    column = in_view % tiles_across * TILE_W + lane % TILE_W
    row = in_view // tiles_across * TILE_H + lane // TILE_W
    return tile // (tiles_across * tiles_down), column, row


@triton.jit
def origin(cam2world, view):
    """World x, y, z of a view's camera."""
    place = cam2world + view * 16
    return tl.load(place + 3), tl.load(place + 7), tl.load(place + 11)


@triton.jit
def direction(cam2world, intrinsics, view, column, row, RESOLUTION: tl.constexpr):
    """World x, y, z [M] of the unit directions through pixel centres."""
    lens = intrinsics + view * 9
    fx, skew, cx = tl.load(lens), tl.load(lens + 1), tl.load(lens + 2)
    fy, cy = tl.load(lens + 4), tl.load(lens + 5)
    y = tl.div_rn((row + 0.5) / RESOLUTION - cy, fy)
    x = tl.div_rn((column + 0.5) / RESOLUTION - cx - skew * y, fx)
    turn = cam2world + view * 16
    dx = tl.load(turn) * x + tl.load(turn + 1) * y + tl.load(turn + 2)
    dy = tl.load(turn + 4) * x + tl.load(turn + 5) * y + tl.load(turn + 6)
    dz = tl.load(turn + 8) * x + tl.load(turn + 9) * y + tl.load(turn + 10)
    length = tl.sqrt_rn(dx * dx + dy * dy + dz * dz)
    return tl.div_rn(dx, length), tl.div_rn(dy, length), tl.div_rn(dz, length)


@triton.jit
def even(index, COUNT: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr):
    """The index-th of COUNT even steps from LOW to HIGH, counted from the nearer end as torch.linspace does."""
    step: tl.constexpr = (HIGH - LOW) / (COUNT - 1)
    return tl.where(index < COUNT // 2, LOW + step * index, HIGH - step * (COUNT - 1 - index))


@triton.jit
def even_depth(index, COUNT: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr):
    """triplane.coarse_depths: even, shifted by half a step."""
    return even(index, COUNT, NEAR, FAR) + 0.5 * (FAR - NEAR) / (COUNT - 1)


@triton.jit
def exp2(x):
    """2 ** x by the chip's own instruction, to 2e-7; tl.exp2 takes care of denormals, which nothing here can tell from zero."""
    if ON_CHIP:
        return tl.inline_asm_elementwise("ex2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)
    return tl.exp2(x)


@triton.jit
def log2(x):
    """By the chip's own instruction, to 2e-7 of 1 for x from 0.5 to 2; tl.log2 is a polynomial of 13 steps."""
    if ON_CHIP:
        return tl.inline_asm_elementwise("lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], tl.float32, is_pure=True, pack=1)
    return tl.log2(x)


@triton.jit
def softplus(x):
    """To base 2: log2(1 + 2 ** x)."""
    return tl.maximum(x, 0.0) + log2(1 + exp2(-tl.abs(x)))


@triton.jit
def stopped(logit, next_logit, distance):
    """The share of light that an interval between two samples stops: triplane.interval_weights' alpha."""
    return 1 - exp2(-distance * softplus(((logit + next_logit) * 0.5 - 1) * LOG2_E))
