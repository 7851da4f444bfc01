"""Compositing: where a ray looks again, and what it sees. One ray is one lane, its samples are walked in order: nothing is sorted.

Both kernels merge two sorted rows with two pointers: knots with quantiles, even samples with drawn ones. Neighbouring rays lie
side by side in memory and stand at nearly the same place in their rows, so most of their loads are coalesced.
"""

# pyright: reportGeneralTypeIssues=false
# (to Python a kernel's parts are functions that may not be called, so their results have no type)

from __future__ import annotations

import triton
import triton.language as tl

from engines.kernels.rays import LOG2_E, even, even_depth, exp2, pixels, stopped


@triton.jit
def _weight(logits, index, slots, slot, logit, through, COUNT: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr):
    """The weight of the interval after sample `index`, then logit and light behind it; `logit` and `through` are before it."""
    behind = tl.load(logits + tl.minimum(index + 1, COUNT - 1) * slots + slot)
    alpha = stopped(logit, behind, even_depth(index + 1, COUNT, NEAR, FAR) - even_depth(index, COUNT, NEAR, FAR))
    return alpha * through, behind, through * (1 - alpha + 1e-10)


@triton.jit
def _opening(logits, slots, slot, COUNT: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr):
    """The weights of a ray's first three intervals, then logit and light behind them."""
    logit = tl.load(logits + slot)
    first, logit, through = _weight(logits, slot * 0, slots, slot, logit, logit * 0 + 1, COUNT, NEAR, FAR)
    second, logit, through = _weight(logits, slot * 0 + 1, slots, slot, logit, through, COUNT, NEAR, FAR)
    third, logit, through = _weight(logits, slot * 0 + 2, slots, slot, logit, through, COUNT, NEAR, FAR)
    return first, second, third, logit, through


@triton.jit
def _mass(first, second, third):
    """How likely the middle one of three intervals is looked into: triplane.smoothed, and the official 1e-5."""
    return 0.5 * (tl.maximum(first, second) + tl.maximum(second, third)) + (0.01 + 1e-5)


@triton.jit
def find_depths(logits,   # [COARSE, slots] float32 at even depths
                looked,   # [FINE, slots] float32, out: sorted
                meets,    # [slots] int8, out: whether the ray's opacity passes LEAST
                slots,
                POINTS: tl.constexpr, COARSE: tl.constexpr, FINE: tl.constexpr,
                NEAR: tl.constexpr, FAR: tl.constexpr, LEAST: tl.constexpr):  # fmt: skip
    """triplane.importance_depths of what the intervals between even samples contribute; walks them twice, for their sum first."""
    slot = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    first, second, third, logit, through = _opening(logits, slots, slot, COARSE, NEAR, FAR)
    opacity, total = first + second + third, _mass(first, second, third)
    for index in range(3, COARSE - 1):
        first, second = second, third
        third, logit, through = _weight(logits, index, slots, slot, logit, through, COARSE, NEAR, FAR)
        opacity += third
        total += _mass(first, second, third)
    tl.store(meets + slot, (opacity > LEAST).to(tl.int8))
    first, second, third, logit, through = _opening(logits, slots, slot, COARSE, NEAR, FAR)
    interval, drawn = slot * 0, slot * 0
    low, high = total * 0, _mass(first, second, third) / total
    for _ in range(FINE + COARSE - 4):  # each step draws a depth or goes on to the next of COARSE - 3 intervals
        quantile = even(drawn, FINE, 0.0, 1.0)
        onward = (interval < COARSE - 4) & (high <= quantile)
        corner = even_depth(interval + 1, COARSE, NEAR, FAR)
        begin = (even_depth(interval, COARSE, NEAR, FAR) + corner) * 0.5
        end = (corner + even_depth(interval + 2, COARSE, NEAR, FAR)) * 0.5
        rate = tl.where(high - low < 1e-5, 0.0, tl.minimum((quantile - low) / (high - low), 1.0))
        tl.store(looked + drawn * slots + slot, begin + rate * (end - begin), mask=(drawn < FINE) & (onward == 0))
        fourth, behind, on_through = _weight(logits, interval + 3, slots, slot, logit, through, COARSE, NEAR, FAR)
        first = tl.where(onward, second, first)
        second = tl.where(onward, third, second)
        third = tl.where(onward, fourth, third)
        logit = tl.where(onward, behind, logit)
        through = tl.where(onward, on_through, through)
        low = tl.where(onward, high, low)
        high = tl.where(onward, high + _mass(first, second, third) / total, high)
        interval += onward.to(tl.int32)
        drawn += (onward == 0).to(tl.int32)


@triton.jit
def _colours(colours, sample, KEPT: tl.constexpr):
    """[M, KEPT]: triplane.colour of samples [M]."""
    logit = tl.load(colours + sample[:, None] * KEPT + tl.arange(0, KEPT)[None, :]).to(tl.float32)
    return 1.002 / (1 + exp2(logit * -LOG2_E)) - 0.001


@triton.jit
def composite(logits,    # [COARSE + FINE, slots] float32: even samples first
              colours,   # [COARSE + FINE, slots, KEPT] half or float32 logits
              looked,    # [FINE, slots] float32 sorted depths
              meets,     # [slots] int8: other rays are empty; not read unless SPARSE
              feature,   # [V, COLOURS, RESOLUTION, RESOLUTION] float32, out
              depth,     # [V, 1, RESOLUTION, RESOLUTION] float32, out
              slots,
              RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr,
              COARSE: tl.constexpr, FINE: tl.constexpr, SPARSE: tl.constexpr, NEAR: tl.constexpr, FAR: tl.constexpr,
              COUNT: tl.constexpr, COLOURS: tl.constexpr, KEPT: tl.constexpr):  # fmt: skip
    """triplane.composite of even and drawn samples, front to back; depth is clamped to the range of COUNT even samples."""
    POINTS: tl.constexpr = TILE_W * TILE_H
    slot = tl.program_id(0) * POINTS + tl.arange(0, POINTS)
    total = COARSE + FINE
    if SPARSE:
        alive = tl.load(meets + slot) != 0
        total = tl.where(tl.max(alive.to(tl.int32), 0) == 0, 1, total)
    evens, drawn = slot * 0, slot * 0  # how many of either row lie behind
    even_next = even_depth(evens, COUNT, NEAR, FAR)
    drawn_next = even_next + FAR
    if FINE:
        drawn_next = tl.load(looked + slot)
    logit = even_next * 0
    distance, colour, through = logit, tl.zeros((POINTS, KEPT), tl.float32), logit + 1
    seen, seen_depth, opacity = colour, logit, logit
    for step in range(total):
        take_even = (evens < COARSE) & ((drawn >= FINE) | (even_next <= drawn_next))
        new_distance = tl.where(take_even, even_next, drawn_next)
        sample = tl.where(take_even, evens, COARSE + drawn) * slots + slot
        new_logit, new_colour = tl.load(logits + sample), _colours(colours, sample, KEPT)
        alpha = tl.where(step == 0, 0.0, stopped(logit, new_logit, new_distance - distance))
        weight = alpha * through
        seen += (0.5 * weight)[:, None] * (colour + new_colour)
        seen_depth += weight * (0.5 * (distance + new_distance))
        opacity += weight
        through = tl.where(step == 0, 1.0, through * (1 - alpha + 1e-10))
        distance, logit, colour = new_distance, new_logit, new_colour
        evens += take_even.to(tl.int32)
        drawn += (take_even == 0).to(tl.int32)
        even_next = even_depth(evens, COUNT, NEAR, FAR)
        if FINE:
            drawn_next = tl.load(looked + tl.minimum(drawn, FINE - 1) * slots + slot)
    nearest, farthest = even_depth(0, COUNT, NEAR, FAR), even_depth(COUNT - 1, COUNT, NEAR, FAR)
    seen_depth = tl.where(opacity > 0, seen_depth / tl.where(opacity > 0, opacity, 1.0), farthest)
    if SPARSE:
        seen = tl.where(alive[:, None], seen, 0.0)
        seen_depth = tl.where(alive, seen_depth, farthest)
    seen_depth = tl.minimum(tl.maximum(seen_depth, nearest), farthest)
    _put(feature, depth, seen, seen_depth, RESOLUTION, TILE_W, TILE_H, COLOURS, KEPT)


@triton.jit
def _put(feature, depth, seen, seen_depth, RESOLUTION: tl.constexpr, TILE_W: tl.constexpr, TILE_H: tl.constexpr,
         COLOURS: tl.constexpr, KEPT: tl.constexpr):  # fmt: skip
    """A tile's [M, KEPT] shares of colour (0..1) and [M] depths into the pictures."""
    view, column, row = pixels(tl.program_id(0), RESOLUTION, TILE_W, TILE_H)
    inside = (column < RESOLUTION) & (row < RESOLUTION)
    pixel = row * RESOLUTION + column
    tl.store(depth + view * RESOLUTION * RESOLUTION + pixel, seen_depth, mask=inside)
    one = tl.arange(0, KEPT)[None, :]
    place = ((view * COLOURS + one) * RESOLUTION * RESOLUTION) + pixel[:, None]
    tl.store(feature + place, 2 * seen - 1, mask=inside[:, None] & (one < COLOURS))
