"""Splatting: pictures of Gaussians as kernels. The definition is engines/splats/plain.py's, whose numbers come in as Rules.

A key of view and depth for each Gaussian in each view, sorted by torch (a radix sort on a GPU); all of them projected in that order;
for each tile of 16 x 16 pixels a bit for each Gaussian, whether its box touches it; then each tile blends those whose bits are set, the
nearest first, until nothing is let through. Nothing's size depends on what is seen, so nobody waits to be told it: lists of pairs of
tile and Gaussian would be of a length that only the GPU knows.
"""

# pyright: reportGeneralTypeIssues=false
# (to Python a kernel's parts are functions that may not be called, so their results have no type)

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from engines.kernels.launch import launch, parts_of

TILE, BITS = 16, 32
"Pixels along a tile's side, and Gaussians to a word."
GAUSSIANS, WORDS = 128, 16
"A program's share: of what is projected, and of what is asked for a row of tiles."
LARGEST_SIDE = 127 * TILE
"Of a picture: a box of tiles is four numbers of eight bits, one of them with a sign."
RECORD = 12
"Numbers of a projected Gaussian, of which ten are used: 48 bytes, which are fetched together."
_LARGEST = tl.constexpr(1e5)
_LAST = tl.constexpr(0x7F800000)
"Above the bits of all depths that are drawn: infinity's."
_TILE, _BITS, _RECORD = tl.constexpr(TILE), tl.constexpr(BITS), tl.constexpr(RECORD)
_NOWHERE = tl.constexpr(1)
"A box that begins at tile 1 and ends with tile 0."
_STOP = tl.constexpr(1e-6)
"The share of light below which what is behind is not asked for: 120 dB."


@dataclass(frozen=True)
class Rules:
    """The numbers of plain.py: BLUR, LEAST, MOST, NEAR, BEYOND."""

    blur: float
    least: float
    most: float
    near: float
    beyond: float


@triton.jit
def _key(points,    # [P, 3] float32
         logs,      # [P] float32: of opacities
         whose,     # [V, 2] int32: first Gaussian, how many
         look,      # [V, 12] float32: world to camera
         keys,      # [V, COUNT] int64, out
         count, LEAST_LOG: tl.constexpr, NEAR: tl.constexpr, SHARE: tl.constexpr):  # fmt: skip
    """Grid (COUNT / SHARE, V): the view above the bits of the depth, which rise with it as it is positive."""
    place = tl.program_id(0) * SHARE + tl.arange(0, SHARE)
    view = tl.program_id(1)
    own = place < tl.load(whose + 2 * view + 1)
    at = tl.load(whose + 2 * view) + place
    look += 12 * view + 8
    z = tl.load(look) * tl.load(points + 3 * at, mask=own, other=0.0)
    z += tl.load(look + 1) * tl.load(points + 3 * at + 1, mask=own, other=0.0)
    z += tl.load(look + 2) * tl.load(points + 3 * at + 2, mask=own, other=0.0)
    z += tl.load(look + 3)
    drawn = own & (z > NEAR) & (tl.load(logs + at, mask=own, other=-1e9) > LEAST_LOG) & (z < _LARGEST)
    bits = tl.where(drawn, z.to(tl.int32, bitcast=True), _LAST)
    key = (view.to(tl.int64) << 32) + bits.to(tl.int64)
    tl.store(keys + view.to(tl.int64) * count + place, key, mask=place < count)


@triton.jit
def _project(points, covariances, logs, colours,   # [P, 3], [P, 6], [P], [P, 3] float32
             whose, look, lens,                    # [V, 2] int32, [V, 12], [V, 4] float32
             keys, order,                          # [V, COUNT] int64, sorted, and whose they were
             records,                              # [V, COUNT, RECORD] float32, out
             boxes,                                # [V, COUNT] int32, out: tiles left, right, top, bottom
             count, width, height, BLUR: tl.constexpr, LEAST_LOG: tl.constexpr, BEYOND: tl.constexpr,
             SHARE: tl.constexpr):  # fmt: skip
    """Grid (COUNT / SHARE, V)."""
    place = tl.program_id(0) * SHARE + tl.arange(0, SHARE)
    view = tl.program_id(1).to(tl.int64)
    inside = place < count
    row = view * count + place
    bits = (tl.load(keys + row, mask=inside, other=_LAST) & 0xFFFFFFFF).to(tl.int32)
    drawn = inside & (bits < _LAST)
    at = tl.load(whose + 2 * view) + tl.load(order + row, mask=drawn, other=0) - view * count
    at = tl.where(drawn, at, 0)
    px, py = tl.load(points + 3 * at, mask=drawn, other=0.0), tl.load(points + 3 * at + 1, mask=drawn, other=0.0)
    pz, z = tl.load(points + 3 * at + 2, mask=drawn, other=0.0), tl.where(drawn, bits.to(tl.float32, bitcast=True), 1.0)
    look, lens = look + 12 * view, lens + 4 * view
    r00, r01, r02, r03 = tl.load(look), tl.load(look + 1), tl.load(look + 2), tl.load(look + 3)
    r10, r11, r12, r13 = tl.load(look + 4), tl.load(look + 5), tl.load(look + 6), tl.load(look + 7)
    r20, r21, r22 = tl.load(look + 8), tl.load(look + 9), tl.load(look + 10)
    focal_x, focal_y, middle_x, middle_y = tl.load(lens), tl.load(lens + 1), tl.load(lens + 2), tl.load(lens + 3)
    across = (r00 * px + r01 * py + r02 * pz + r03) / z
    down = (r10 * px + r11 * py + r12 * pz + r13) / z
    spare_x, spare_y = BEYOND * 0.5 * width / focal_x, BEYOND * 0.5 * height / focal_y
    held_x = tl.minimum(tl.maximum(across, -middle_x / focal_x - spare_x), (width - middle_x) / focal_x + spare_x)
    held_y = tl.minimum(tl.maximum(down, -middle_y / focal_y - spare_y), (height - middle_y) / focal_y + spare_y)
    flat_x, flat_y = focal_x / z, focal_y / z
    ax, ay, az = flat_x * (r00 - held_x * r20), flat_x * (r01 - held_x * r21), flat_x * (r02 - held_x * r22)
    bx, by, bz = flat_y * (r10 - held_y * r20), flat_y * (r11 - held_y * r21), flat_y * (r12 - held_y * r22)
    upper = covariances + 6 * at
    c0, c1 = tl.load(upper, mask=drawn, other=0.0), tl.load(upper + 1, mask=drawn, other=0.0)
    c2, c3 = tl.load(upper + 2, mask=drawn, other=0.0), tl.load(upper + 3, mask=drawn, other=0.0)
    c4, c5 = tl.load(upper + 4, mask=drawn, other=0.0), tl.load(upper + 5, mask=drawn, other=0.0)
    hx, hy, hz = c0 * bx + c1 * by + c2 * bz, c1 * bx + c3 * by + c4 * bz, c2 * bx + c4 * by + c5 * bz
    xy, yy = ax * hx + ay * hy + az * hz, bx * hx + by * hy + bz * hz + BLUR
    xx = (
        ax * (c0 * ax + c1 * ay + c2 * az)
        + ay * (c1 * ax + c3 * ay + c4 * az)
        + az * (c2 * ax + c4 * ay + c5 * az)
        + BLUR
    )
    area = xx * yy - xy * xy
    full = tl.load(logs + at, mask=drawn, other=0.0)
    reach = tl.maximum(2 * (full - LEAST_LOG), 0.0)
    x, y = across * focal_x + middle_x - 0.5, down * focal_y + middle_y - 0.5
    wide, high = tl.sqrt(reach * xx), tl.sqrt(reach * yy)
    drawn = drawn & (area > 0) & (tl.abs(x) + wide < _LARGEST) & (tl.abs(y) + high < _LARGEST)
    left, right = (
        tl.ceil(tl.where(drawn, x - wide, 0.0)).to(tl.int32),
        tl.floor(tl.where(drawn, x + wide, 0.0)).to(tl.int32),
    )
    top, bottom = (
        tl.ceil(tl.where(drawn, y - high, 0.0)).to(tl.int32),
        tl.floor(tl.where(drawn, y + high, 0.0)).to(tl.int32),
    )
    left, right = tl.maximum(left, 0), tl.minimum(right, width - 1)
    top, bottom = tl.maximum(top, 0), tl.minimum(bottom, height - 1)
    seen = drawn & (left <= right) & (top <= bottom)
    box = left // _TILE + ((right // _TILE) << 8) + ((top // _TILE) << 16) + ((bottom // _TILE) << 24)
    tl.store(boxes + row, tl.where(seen, box, _NOWHERE), mask=inside)
    to = records + row * _RECORD
    tl.store(to, x, mask=seen)
    tl.store(to + 1, y, mask=seen)
    tl.store(to + 2, 0.5 * yy / area, mask=seen)
    tl.store(to + 3, -xy / area, mask=seen)
    tl.store(to + 4, 0.5 * xx / area, mask=seen)
    tl.store(to + 5, full, mask=seen)
    tl.store(to + 6, tl.load(colours + 3 * at, mask=seen, other=0.0), mask=seen)
    tl.store(to + 7, tl.load(colours + 3 * at + 1, mask=seen, other=0.0), mask=seen)
    tl.store(to + 8, tl.load(colours + 3 * at + 2, mask=seen, other=0.0), mask=seen)
    tl.store(to + 9, z, mask=seen)


@triton.jit
def _touch(boxes,    # [V, COUNT] int32
           touched,  # [V, rows, columns, words] int32, out: a bit for each Gaussian
           count, words, columns, rows, WORDS: tl.constexpr):  # fmt: skip
    """Grid (words / WORDS, rows, V)."""
    word = tl.program_id(0) * WORDS + tl.arange(0, WORDS)
    row, view = tl.program_id(1), tl.program_id(2).to(tl.int64)
    bit = tl.arange(0, _BITS)
    place = word[:, None] * _BITS + bit[None, :]
    box = tl.load(boxes + view * count + place, mask=place < count, other=_NOWHERE)
    left, right, top, bottom = box & 255, (box >> 8) & 255, (box >> 16) & 255, box >> 24
    crosses = (top <= row) & (row <= bottom)
    value = tl.where(crosses, 1 << bit[None, :], 0)
    to = touched + (view * rows + row) * columns * words + word
    for column in range(columns):
        hit = tl.where((left <= column) & (column <= right), value, 0)
        tl.store(to + column * words, tl.sum(hit, 1), mask=word < words)


@triton.jit
def _blend(records,  # [V, COUNT, RECORD] float32
           touched,  # [V, rows, columns, words] int32
           out,      # [V, height, width] int32 RGBA or, if EXACT, [V, height, width, 5] float32: colours, alpha, depth times alpha
           count, words, columns, width, height, LEAST_LOG: tl.constexpr, MOST: tl.constexpr,
           EXACT: tl.constexpr):  # fmt: skip
    """Grid (rows * columns, V)."""
    tile, view = tl.program_id(0), tl.program_id(1).to(tl.int64)
    pixel = tl.arange(0, _TILE * _TILE)
    column, row = (tile % columns) * _TILE + pixel % _TILE, (tile // columns) * _TILE + pixel // _TILE
    inside = (column < width) & (row < height)
    touched += (view * tl.num_programs(0) + tile) * words
    records += view * count * _RECORD
    through = tl.where(inside, 1.0, 0.0)
    red = tl.zeros((_TILE * _TILE,), tl.float32)
    green, blue, deep = red, red, red
    word, most = 0, 1.0
    while (word < words) & (most > _STOP):
        bits = tl.load(touched + word).to(tl.int64) & 0xFFFFFFFF
        some = bits != 0
        while bits != 0:
            lowest = bits & -bits
            place = (lowest.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127
            one = records + (word * _BITS + place) * _RECORD
            u, v = column - tl.load(one), row - tl.load(one + 1)
            power = tl.load(one + 5) - tl.load(one + 2) * u * u - v * (tl.load(one + 3) * u + tl.load(one + 4) * v)
            alpha = tl.where(power >= LEAST_LOG, tl.minimum(tl.exp(power), MOST), 0.0)
            weight = alpha * through
            red += weight * tl.load(one + 6)
            green += weight * tl.load(one + 7)
            blue += weight * tl.load(one + 8)
            if EXACT:
                deep += weight * tl.load(one + 9)
            through -= weight
            bits = bits - lowest
        if some:
            most = tl.max(through, 0)
        word += 1
    at = (view * height + row) * width + column
    if EXACT:
        tl.store(out + 5 * at, red, mask=inside)
        tl.store(out + 5 * at + 1, green, mask=inside)
        tl.store(out + 5 * at + 2, blue, mask=inside)
        tl.store(out + 5 * at + 3, 1.0 - through, mask=inside)
        tl.store(out + 5 * at + 4, deep, mask=inside)
    else:
        red = tl.minimum(red * 255.0 + 0.5, 255.0).to(tl.int32)
        green = tl.minimum(green * 255.0 + 0.5, 255.0).to(tl.int32)
        blue = tl.minimum(blue * 255.0 + 0.5, 255.0).to(tl.int32)
        tl.store(out + at, red + (green << 8) + (blue << 16) - (1 << 24), mask=inside)


def scratch_bytes(views: int, count: int, width: int, height: int) -> int:
    """What `draw` takes besides its pictures: keys twice and what sorts them, records, boxes and bits."""
    tiles = parts_of(width, TILE) * parts_of(height, TILE)
    return views * (count * (4 * 8 + 8 + 4 * RECORD + 4) + 4 * tiles * parts_of(count, BITS))


def draw(
    points: Tensor,  # [P, 3] float32: posed, of all heads one after another
    covariances: Tensor,  # [P, 6] float32
    logs: Tensor,  # [P] float32: of opacities
    colours: Tensor,  # [P, 3] float32
    whose: Tensor,  # [V, 2] int32: of each view the head's first Gaussian, and how many it has
    look: Tensor,  # [V, 12] float32: world to camera, row by row
    lens: Tensor,  # [V, 4] float32 pixels: focal lengths, principal point
    count: int,  # Gaussians of the head that has most
    width: int,
    height: int,
    rules: Rules,
    exact: bool = False,
) -> Tensor:
    """[V, height, width, 4] uint8 RGBA on black, opaque; if exact [V, height, width, 5] float32: colours, alpha, depth times alpha."""
    assert max(width, height) <= LARGEST_SIDE, (width, height)
    views, device = len(look), points.device
    columns, rows, words = parts_of(width, TILE), parts_of(height, TILE), parts_of(count, BITS)
    least = math.log(rules.least)
    keys = torch.empty(views, count, dtype=torch.int64, device=device)
    grid = parts_of(count, GAUSSIANS), views
    launch(
        _key, grid, points, logs, whose, look, keys, count, LEAST_LOG=least, NEAR=rules.near, SHARE=GAUSSIANS, warps=4
    )
    keys, order = torch.sort(keys.view(-1), stable=True)
    records = torch.empty(views, count, RECORD, device=device)
    boxes = torch.empty(views, count, dtype=torch.int32, device=device)
    launch(
        _project, grid, points, covariances, logs, colours, whose, look, lens, keys, order, records, boxes, count, width, height,
        BLUR=rules.blur, LEAST_LOG=least, BEYOND=rules.beyond, SHARE=GAUSSIANS, warps=4,
    )  # fmt: skip
    touched = torch.empty(views, rows, columns, words, dtype=torch.int32, device=device)
    launch(
        _touch, (parts_of(words, WORDS), rows, views), boxes, touched, count, words, columns, rows, WORDS=WORDS, warps=4
    )
    out = torch.empty(views, height, width, 5, device=device) if exact else torch.empty(
        views, height, width, dtype=torch.int32, device=device
    )  # fmt: skip
    launch(
        _blend, (rows * columns, views), records, touched, out, count, words, columns, width, height,
        LEAST_LOG=least, MOST=rules.most, EXACT=exact, warps=4,
    )  # fmt: skip
    return out if exact else out.view(torch.uint8).view(views, height, width, 4)
