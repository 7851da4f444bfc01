"""Field: a tri-plane's density and colour at many points, without a feature ever leaving the chip.

A point reads twelve texel rows and is decoded by two matrix products on tensor cores, [M, C] x [C, H] and [M, H] x [H, K].
The density's row of the second is done in float32 beside it, and half-precision weights of the first are two halves each:
rounding them would move surfaces (heads of engines/heads.py: 38..46 dB instead of the 50..82 dB that half-precision planes allow).
Softplus is taken to base 2, which is what the chip has: log2(e) goes into the hidden weights, ln(2) into the others.
"""

# pyright: reportGeneralTypeIssues=false
# (to Python a kernel's parts are functions that may not be called, so their results have no type)

from __future__ import annotations

import triton
import triton.language as tl

from engines.kernels.rays import LN_2, LOG2_E, direction, even, even_depth, origin, pixels, softplus

FLOAT32_BY = tl.constexpr("tf32x3")
"How float32 planes are multiplied: by three products on tensor cores, as good as one in float32."


@triton.jit
def _plane(feature, texels, across, down, SIDE: tl.constexpr, CHANNELS: tl.constexpr):
    """`feature` [M, C] with one plane's bilinear sample added, at texel coordinates [M] of the ringed plane."""
    across = tl.minimum(tl.maximum(across, 0.0), SIDE - 1.0)
    down = tl.minimum(tl.maximum(down, 0.0), SIDE - 1.0)
    column = tl.minimum(across.to(tl.int32), SIDE - 2)
    row = tl.minimum(down.to(tl.int32), SIDE - 2)
    right, lower = across - column, down - row
    left, upper = 1 - right, 1 - lower
    corner = texels + ((row * SIDE + column) * CHANNELS)[:, None] + tl.arange(0, CHANNELS)[None, :]
    feature += tl.load(corner) * (left * upper)[:, None]
    feature += tl.load(corner + CHANNELS) * (right * upper)[:, None]
    feature += tl.load(corner + SIDE * CHANNELS) * (left * lower)[:, None]
    feature += tl.load(corner + (SIDE + 1) * CHANNELS) * (right * lower)[:, None]
    return feature


@triton.jit
def _features(texels, x, y, z, POINTS: tl.constexpr, SIDE: tl.constexpr, CHANNELS: tl.constexpr):
    """[M, C]: the sum of the three planes, at texel coordinates [M] along each world axis."""
    feature = tl.zeros((POINTS, CHANNELS), tl.float32)
    feature = _plane(feature, texels, x, y, SIDE, CHANNELS)
    feature = _plane(feature, texels + SIDE * SIDE * CHANNELS, x, z, SIDE, CHANNELS)
    return _plane(feature, texels + 2 * SIDE * SIDE * CHANNELS, z, y, SIDE, CHANNELS)


@triton.jit
def _hidden_layer(weight, bias, CHANNELS: tl.constexpr, HIDDEN: tl.constexpr, DTYPE: tl.constexpr):
    """[C, H] as the sum of two, and [H], for features summed over three planes and softplus to base 2."""
    channel, unit = tl.arange(0, CHANNELS), tl.arange(0, HIDDEN)
    turned = tl.load(weight + unit[None, :] * CHANNELS + channel[:, None]) * (LOG2_E / 3)
    coarse = turned.to(DTYPE)
    return coarse, (turned - coarse.to(tl.float32)).to(DTYPE), tl.load(bias + unit) * LOG2_E


@triton.jit
def _hidden(feature, weight, rest, bias, DTYPE: tl.constexpr, HALF: tl.constexpr):
    """[M, H]: softplus / ln(2) of the first layer. With half-precision planes its weights are the sum of two halves."""
    feature = feature.to(DTYPE)
    x = tl.dot(feature, weight, input_precision=FLOAT32_BY)
    if HALF:
        x = tl.dot(feature, rest, x)
    return softplus(x + bias[None, :])


@triton.jit
def _density_layer(weight, bias, HIDDEN: tl.constexpr):
    """[H] and a scalar: row 0 of the output layer."""
    return tl.load(weight + tl.arange(0, HIDDEN)) * LN_2, tl.load(bias)


@triton.jit
def _colour_layer(weight, bias,
                  COLOURS: tl.constexpr, COLUMNS: tl.constexpr, HIDDEN: tl.constexpr, DTYPE: tl.constexpr):  # fmt: skip
    """[H, COLUMNS] and [COLUMNS]: the first COLOURS rows after row 0, and zeros up to what a tensor core takes."""
    column, unit = tl.arange(0, COLUMNS), tl.arange(0, HIDDEN)
    wanted = column < COLOURS
    turned = tl.load(weight + (1 + column)[None, :] * HIDDEN + unit[:, None], mask=wanted[None, :], other=0.0) * LN_2
    return turned.to(DTYPE), tl.load(bias + 1 + column, mask=wanted, other=0.0)


@triton.jit
def look(texels,         # [3 * SIDE * SIDE, C] half or float32
         hidden_weight, hidden_bias, out_weight, out_bias,  # the decoder's, float32
         cam2world, intrinsics,                             # [V, 4, 4], [V, 3, 3] float32
         looked,         # [COUNT, slots] float32 depths; not read where EVEN
         meets,          # [slots] int8; a tile of zeros is passed over; not read where EVEN
         logits,         # [COUNT, slots] float32, out
         colours,        # [COUNT, slots, KEPT] as texels, out: colour logits
         slots, steps,
         RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr,
         COUNT: tl.constexpr, EVEN: tl.constexpr, SPARSE: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr,
         SIDE: tl.constexpr, CHANNELS: tl.constexpr, HIDDEN: tl.constexpr,
         COLOURS: tl.constexpr, KEPT: tl.constexpr, COLUMNS: tl.constexpr, HALF: tl.constexpr):  # fmt: skip
    """The field at `steps` samples of each ray of a tile; grid (tiles, COUNT / steps)."""
    POINTS: tl.constexpr = TILE_W * TILE_H
    DTYPE: tl.constexpr = texels.dtype.element_ty
    slot = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    wanted = steps
    if SPARSE:
        wanted = tl.where(tl.max(tl.load(meets + slot).to(tl.int32), 0) == 0, 0, steps)
    view, column, row = pixels(tl.program_id(0), RESOLUTION, TILE_W, TILE_H)
    ox, oy, oz = origin(cam2world, view)
    dx, dy, dz = direction(cam2world, intrinsics, view, column, row, RESOLUTION)
    # world -> texel of the ringed plane with half-pixel centres, done once a ray
    SIZE: tl.constexpr = SIDE - 2
    ox, oy, oz = ox * SIZE + (SIZE + 1) / 2, oy * SIZE + (SIZE + 1) / 2, oz * SIZE + (SIZE + 1) / 2
    dx, dy, dz = dx * SIZE, dy * SIZE, dz * SIZE
    weight, rest, bias = _hidden_layer(hidden_weight, hidden_bias, CHANNELS, HIDDEN, DTYPE)
    density_weight, density_bias = _density_layer(out_weight, out_bias, HIDDEN)
    colour_weight, colour_bias = _colour_layer(out_weight, out_bias, COLOURS, COLUMNS, HIDDEN, DTYPE)
    one_colour = tl.arange(0, COLUMNS)
    for step in range(wanted):
        sample = tl.program_id(1) * steps + step
        if EVEN:
            depth = even_depth(sample, COUNT, NEAR, FAR)
        else:
            depth = tl.load(looked + sample * slots + slot, mask=(slot >= 0) & (sample < COUNT), other=NEAR)
        x, y, z = ox + dx * depth, oy + dy * depth, oz + dz * depth
        hidden = _hidden(_features(texels, x, y, z, POINTS, SIDE, CHANNELS), weight, rest, bias, DTYPE, HALF)
        density = tl.sum(hidden * density_weight[None, :], 1) + density_bias
        tl.store(logits + sample * slots + slot, density, mask=(slot >= 0) & (sample < COUNT))
        colour = tl.dot(hidden.to(DTYPE), colour_weight, input_precision=FLOAT32_BY) + colour_bias[None, :]
        place = colours + (sample * slots + slot)[:, None] * KEPT + one_colour[None, :]
        tl.store(place, colour.to(DTYPE), mask=(one_colour < KEPT)[None, :] & (sample < COUNT))


@triton.jit
def fill_grid(texels, hidden_weight, hidden_bias, out_weight, out_bias,
              low, high,  # [3] float32
              logits,     # [GRID, GRID, GRID] float32, out: indexed z, y, x
              steps,
              GRID: tl.constexpr, POINTS: tl.constexpr,
              SIDE: tl.constexpr, CHANNELS: tl.constexpr, HIDDEN: tl.constexpr, HALF: tl.constexpr):  # fmt: skip
    """The field's density logit at even points of a box; each program takes `steps` runs of POINTS points."""
    DTYPE: tl.constexpr = texels.dtype.element_ty
    SIZE: tl.constexpr = SIDE - 2
    weight, rest, bias = _hidden_layer(hidden_weight, hidden_bias, CHANNELS, HIDDEN, DTYPE)
    density_weight, density_bias = _density_layer(out_weight, out_bias, HIDDEN)
    low_x, low_y, low_z = tl.load(low), tl.load(low + 1), tl.load(low + 2)
    wide, tall, deep = tl.load(high) - low_x, tl.load(high + 1) - low_y, tl.load(high + 2) - low_z
    for step in range(steps):
        point = (tl.program_id(0) * steps + step) * POINTS + tl.arange(0, POINTS)
        x = low_x + wide * even(point % GRID, GRID, 0.0, 1.0)
        y = low_y + tall * even(point // GRID % GRID, GRID, 0.0, 1.0)
        z = low_z + deep * even(point // (GRID * GRID), GRID, 0.0, 1.0)
        x, y, z = x * SIZE + (SIZE + 1) / 2, y * SIZE + (SIZE + 1) / 2, z * SIZE + (SIZE + 1) / 2
        hidden = _hidden(_features(texels, x, y, z, POINTS, SIDE, CHANNELS), weight, rest, bias, DTYPE, HALF)
        density = tl.sum(hidden * density_weight[None, :], 1) + density_bias
        tl.store(logits + point, density, mask=point < GRID * GRID * GRID)
