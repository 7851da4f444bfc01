"""Grid: the density grid that all views of one moment share: the box it spans, and what rays read from it."""

# pyright: reportGeneralTypeIssues=false
# (to Python a kernel's parts are functions that may not be called, so their results have no type)

from __future__ import annotations

import triton
import triton.language as tl

from engines.kernels.rays import direction, even_depth, origin, pixels


@triton.jit
def bounds(cam2world, intrinsics,
           corners,  # [2, 3, tiles] float32, out: the least and the greatest x, y and z of each tile's rays
           tiles,
           RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr,
           NEAR: tl.constexpr, FAR: tl.constexpr):  # fmt: skip
    """shared_volume.box_of, a tile of rays at a time."""
    tile = tl.program_id(0)
    view, column, row = pixels(tile, RESOLUTION, TILE_W, TILE_H)
    # pixels beyond the picture repeat its last ones
    column, row = tl.minimum(column, RESOLUTION - 1), tl.minimum(row, RESOLUTION - 1)
    dx, dy, dz = direction(cam2world, intrinsics, view, column, row, RESOLUTION)
    ox, oy, oz = origin(cam2world, view)
    _span(corners + tile, tiles, ox, dx, NEAR, FAR)
    _span(corners + tiles + tile, tiles, oy, dy, NEAR, FAR)
    _span(corners + 2 * tiles + tile, tiles, oz, dz, NEAR, FAR)


@triton.jit
def _span(place, tiles, start, slope, NEAR: tl.constexpr, FAR: tl.constexpr):
    first, last = start + slope * NEAR, start + slope * FAR
    tl.store(place, tl.min(tl.minimum(first, last), 0))
    tl.store(place + 3 * tiles, tl.max(tl.maximum(first, last), 0))


@triton.jit
def _between(place, low, high, GRID: tl.constexpr):
    """Index and share [M] of coordinates along one side of the grid; a point beyond it is at its end."""
    along = tl.minimum(tl.maximum((place - low) / (high - low) * (GRID - 1), 0.0), GRID - 1.0)
    index = tl.minimum(along.to(tl.int32), GRID - 2)
    return index, along - index


@triton.jit
def _pair(corner, share):
    """Two neighbours along x, mixed."""
    left = tl.load(corner)
    return left + share * (tl.load(corner + 1) - left)


@triton.jit
def read_grid(grid,        # [GRID, GRID, GRID] float32, indexed z, y, x
              low, high,   # [3] float32
              cam2world, intrinsics,
              logits,      # [COUNT, slots] float32, out
              slots, steps,
              RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr,
              COUNT: tl.constexpr, GRID: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr):  # fmt: skip
    """The grid's logit, trilinear, at `steps` of the COUNT even depths of a tile's rays; grid (tiles, COUNT / steps)."""
    slot = tl.program_id(0) * TILE_W * TILE_H + tl.arange(0, TILE_W * TILE_H)
    view, column, row = pixels(tl.program_id(0), RESOLUTION, TILE_W, TILE_H)
    ox, oy, oz = origin(cam2world, view)
    dx, dy, dz = direction(cam2world, intrinsics, view, column, row, RESOLUTION)
    for step in range(steps):
        sample = tl.program_id(1) * steps + step
        depth = even_depth(sample, COUNT, NEAR, FAR)
        x, right = _between(ox + dx * depth, tl.load(low), tl.load(high), GRID)
        y, down = _between(oy + dy * depth, tl.load(low + 1), tl.load(high + 1), GRID)
        z, deep = _between(oz + dz * depth, tl.load(low + 2), tl.load(high + 2), GRID)
        corner = grid + (z * GRID + y) * GRID + x
        near_row, far_row = _pair(corner, right), _pair(corner + GRID * GRID, right)
        near_row += down * (_pair(corner + GRID, right) - near_row)
        far_row += down * (_pair(corner + GRID * GRID + GRID, right) - far_row)
        logit = near_row + deep * (far_row - near_row)
        tl.store(logits + sample * slots + slot, logit, mask=(slot >= 0) & (sample < COUNT))
