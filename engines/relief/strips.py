"""Strips: the renderer's inner loops, over scanline spans. A turn about the vertical axis keeps every point in its pixel row, so
all views share one cut of the mesh into rows. Per frame each row is cut once, textured once and thinned to a few straight pieces
("strips"); per view only the ends of the strips are turned and their ready colours laid out, nearest first.

Knows nothing of faces. All lengths are tile pixels, x right, y down, z into the scene. Pixels are RGBA packed little-endian.
The plain twin is plain_raster.py.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SAMPLES_PER_PIXEL = 4.0
"Colours stored per texel of strip, so that a view may take the nearest one: 1/8 px of error cannot be seen."

STRAIGHT = 0.2
"Points that lie this close (px) to the line between their neighbours are dropped: at 17.5 degrees, 0.06 px of picture, at 35 0.11."

BLACK = np.uint32(0xFF000000)

_jit = njit(nogil=True, cache=True, fastmath=True, error_model="numpy", boundscheck=False)


@_jit
def count_rows(
    y: np.ndarray,  # [N] float32 of every vertex
    triangles: np.ndarray,  # [T, 3] int32
    row0: int,
    row1: int,
    first: np.ndarray,  # [T] int32 out: the first row that cuts the triangle
    base: np.ndarray,  # [T] int32 out: the index of its first span
    per_row: np.ndarray,  # [row1 - row0] int32 out: how many spans each row has
) -> int:
    """Where each triangle's spans will lie. Returns how many spans there are."""
    per_row[:] = 0
    total = 0
    for t in range(triangles.shape[0]):
        a, b, c = y[triangles[t, 0]], y[triangles[t, 1]], y[triangles[t, 2]]
        top = max(math.floor(min(a, min(b, c)) - 0.5) + 1, row0)
        end = min(math.floor(max(a, max(b, c)) - 0.5) + 1, row1)
        first[t] = top
        base[t] = total
        for row in range(top, end):
            per_row[row - row0] += 1
        total += max(end - top, 0)
    return total


@_jit
def cut(
    points: np.ndarray,  # [N, 6] float32: x, y, z, u, v, light
    triangles: np.ndarray,  # [T, 3] int32, one winding throughout each sheet
    beside: np.ndarray,  # [T, 3] int32: the triangle across edge k (from corner k to k+1), or -1
    row0: int,
    row1: int,
    first: np.ndarray,  # [T] int32, as count_rows left it
    base: np.ndarray,  # [T] int32, likewise
    at: np.ndarray,  # [rows] int32: where in `listed` each row's next span goes; moved on
    ends: np.ndarray,  # [S, 10] float32 out: x, z, u, v, light where the span begins, then where it ends
    links: np.ndarray,  # [S, 2] int32 out: the neighbouring triangle before and after, or -1
    owner: np.ndarray,  # [S] int32 out: the span's triangle
    listed: np.ndarray,  # [S] int32 out: span indices, row by row
) -> None:
    """Cut each triangle at the centres of its pixel rows.

    A span begins where its triangle's outline rises through the row and ends where it falls, so that with one winding the end
    of a span is the beginning of the span next to it.
    """
    for t in range(triangles.shape[0]):
        i0, i1, i2 = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        a, b, c = points[i0, 1], points[i1, 1], points[i2, 1]
        end = min(math.floor(max(a, max(b, c)) - 0.5) + 1, row1)
        for row in range(first[t], end):
            s = base[t] + row - first[t]
            centre = row + 0.5
            owner[s] = t
            for k in range(3):
                i = triangles[t, k]
                j = triangles[t, (k + 1) % 3]
                below_i = points[i, 1] >= centre
                below_j = points[j, 1] >= centre
                if below_i == below_j:
                    continue
                side = 0 if below_i else 1
                links[s, side] = beside[t, k]
                if j < i:  # the same corner order from both sides gives the same point to the last bit
                    i, j = j, i
                f = (centre - points[i, 1]) / (points[j, 1] - points[i, 1])
                o = 5 * side
                ends[s, o] = points[i, 0] + (points[j, 0] - points[i, 0]) * f
                for q in range(4):
                    ends[s, o + 1 + q] = points[i, 2 + q] + (points[j, 2 + q] - points[i, 2 + q]) * f
            listed[at[row - row0]] = s
            at[row - row0] += 1


@_jit
def _texel(texture: np.ndarray, u: int, v: int) -> np.uint32:
    """The texture [H, W] uint32 at (u, v) in 1/65536 texels from the middle of the first one, bilinear. No border check: _fixed
    keeps off it."""
    x, y = u >> 16, v >> 16
    wx = np.uint32((u >> 8) & 255)
    wy = np.uint32((v >> 8) & 255)
    mask = np.uint32(0x00FF00FF)
    eight = np.uint32(8)
    p, q = texture[y, x], texture[y, x + 1]
    r, s = texture[y + 1, x], texture[y + 1, x + 1]
    iwx, iwy = np.uint32(256) - wx, np.uint32(256) - wy
    top_rb = (((p & mask) * iwx + (q & mask) * wx) >> eight) & mask
    top_ga = (((p >> eight) & mask) * iwx + ((q >> eight) & mask) * wx) >> eight & mask
    low_rb = (((r & mask) * iwx + (s & mask) * wx) >> eight) & mask
    low_ga = (((r >> eight) & mask) * iwx + ((s >> eight) & mask) * wx) >> eight & mask
    rb = ((top_rb * iwy + low_rb * wy) >> eight) & mask
    ga = (top_ga * iwy + low_ga * wy) & np.uint32(0xFF00FF00)
    return np.uint32(rb | ga)


@_jit
def _dim(pixel: np.uint32, light: float) -> np.uint32:
    """The pixel's colours times `light`, 0..2; alpha as it is."""
    r = min(int((pixel & np.uint32(255)) * light), 255)
    g = min(int(((pixel >> np.uint32(8)) & np.uint32(255)) * light), 255)
    b = min(int(((pixel >> np.uint32(16)) & np.uint32(255)) * light), 255)
    return np.uint32(r | (g << 8) | (b << 16)) | (pixel & np.uint32(0xFF000000))


@_jit
def _over(under: np.uint32, pixel: np.uint32, weight: np.uint32) -> np.uint32:
    """`pixel` laid over `under` with weight 0..256; the result is opaque."""
    mask = np.uint32(0x00FF00FF)
    rest = np.uint32(256) - weight
    rb = (((under & mask) * rest + (pixel & mask) * weight) >> np.uint32(8)) & mask
    g = ((((under >> np.uint32(8)) & mask) * rest + ((pixel >> np.uint32(8)) & mask) * weight) >> np.uint32(8)) & mask
    return np.uint32(rb | (g << np.uint32(8)) | np.uint32(0xFF000000))


@_jit
def _straight_until(chain: np.ndarray, i: int, n: int) -> int:
    """The furthest of the first `n` points of `chain` [M, 5] (x, z, u, v, light) up to which points i.. are one straight piece in
    x and z, within STRAIGHT; at most 25 spans on."""
    j = i + 1
    while j + 1 < n and j + 1 - i <= 24:
        k = j + 1
        dx, dz = chain[k, 0] - chain[i, 0], chain[k, 1] - chain[i, 1]
        length2 = dx * dx + dz * dz
        if length2 < 1e-6:
            return j
        fits = True
        for m in range(i + 1, k):
            ex, ez = chain[m, 0] - chain[i, 0], chain[m, 1] - chain[i, 1]
            off = ex * dz - ez * dx
            along = ex * dx + ez * dz
            if off * off > STRAIGHT * STRAIGHT * length2 or along < 0.0 or along > length2:
                fits = False
                break
        if not fits:
            return j
        j = k
    return j


@_jit
def _fixed(place: float, size: int) -> int:
    """A texture coordinate in pixels as 1/65536 texels from the middle of the first one, kept off the border."""
    return int(min(max(place - 0.5, 0.01), size - 1.02) * 65536.0)


@_jit
def _sample_piece(
    chain: np.ndarray,  # [M, 5] float32: x, z, u, v, light
    i: int,
    j: int,
    texture: np.ndarray,  # [H, W] uint32
    colours: np.ndarray,  # [C] uint32 out
    at: int,
) -> tuple[int, bool | np.bool_]:
    """Colours along chain points i..j, evenly spaced in place, into colours[at:]. Returns (how many, whether all opaque); -1 of
    them where there is no room."""
    dx, dz = chain[j, 0] - chain[i, 0], chain[j, 1] - chain[i, 1]
    texels = 0.0
    for m in range(i, j):
        texels += math.hypot(chain[m + 1, 2] - chain[m, 2], chain[m + 1, 3] - chain[m, 3])
    n = int(SAMPLES_PER_PIXEL * texels) + 1
    if n > colours.shape[0] - at:
        return -1, False
    inverse = 1.0 / max(dx * dx + dz * dz, 1e-6)
    height, width = texture.shape
    common = np.uint32(0xFF000000)
    k = 0
    begin = 0.0
    for m in range(i, j):
        close = 1.0
        if m + 1 < j:
            close = ((chain[m + 1, 0] - chain[i, 0]) * dx + (chain[m + 1, 1] - chain[i, 1]) * dz) * inverse
        end = n if m + 1 == j else min(int(close * n + 0.5), n)
        if end > k:
            u, v = _fixed(chain[m, 2], width), _fixed(chain[m, 3], height)
            per_sample = 1.0 / (max(close - begin, 1e-6) * n)
            first = min(max((k + 0.5 - begin * n) * per_sample, 0.0), 1.0)
            step = min(per_sample, (1.0 - first) / max(end - 1 - k, 1))
            across, down = _fixed(chain[m + 1, 2], width) - u, _fixed(chain[m + 1, 3], height) - v
            u, v = u + int(across * first), v + int(down * first)
            du, dv = int(across * step), int(down * step)
            lit, brighter = chain[m, 4], chain[m + 1, 4] - chain[m, 4]
            if abs(lit - 1.0) < 0.002 and abs(brighter) < 0.002:
                for c in range(at + k, at + end):
                    pixel = _texel(texture, u, v)
                    common &= pixel
                    colours[c] = pixel
                    u += du
                    v += dv
            else:
                lit += brighter * first
                for c in range(at + k, at + end):
                    pixel = _texel(texture, u, v)
                    common &= pixel
                    colours[c] = _dim(pixel, lit)
                    u += du
                    v += dv
                    lit += brighter * step
            k = end
        begin = close
    return n, (common >> np.uint32(24)) >= np.uint32(250)


@_jit
def _ever_seen(dx: float, dz: float, cosines: np.ndarray, sines: np.ndarray) -> bool:
    """Whether a piece of this extent in x and z faces any of the V views; `cosines` and `sines` [V] as in render_rows."""
    most = 0.0
    for k in range(len(cosines)):
        most = max(most, dx * cosines[k] + dz * sines[k])
    return most > 0.0


@_jit
def _string(
    spans: np.ndarray,  # [K] span indices of one row
    row: int,
    first: np.ndarray,  # [T] int32, as count_rows left it
    base: np.ndarray,  # [T] int32, likewise
    ends: np.ndarray,  # [S, 10] float32, as cut left it
    links: np.ndarray,  # [S, 2] int32, likewise
    owner: np.ndarray,  # [S] int32, likewise
    culled: np.ndarray,  # [T] bool: only seen from its front
    cosines: np.ndarray,  # [V] float32
    sines: np.ndarray,  # [V] float32
    texture: np.ndarray,  # [H, W] uint32
    taken: np.ndarray,  # [S] bool scratch, False on entry
    chain: np.ndarray,  # [M, 5] float32 scratch: x, z, u, v, light
    knots: np.ndarray,  # [M, 2] float32 out: x, z of every strip end
    strips: np.ndarray,  # [M, 4] int32 out: first knot (the next is its second), first colour, how many (0: never seen), flags
    colours: np.ndarray,  # [C] uint32 out
) -> int:
    """String one row's spans into chains, thin each to straight pieces and colour them. Returns the number of strips; -1 where
    `colours` is too small for them.

    Flags: 1 all colours opaque, 2 only seen from its front, 4 a chain begins here, 8 a chain ends here.
    """
    n_knots, n_strips, n_colours = 0, 0, 0
    for loops in range(2):
        for entry in range(spans.shape[0]):
            s = spans[entry]
            if taken[s] or (loops == 0 and links[s, 0] >= 0):
                continue
            length = 1
            for q in range(5):
                chain[0, q] = ends[s, q]
            cull = culled[owner[s]]
            while True:
                taken[s] = True
                for q in range(5):
                    chain[length, q] = ends[s, 5 + q]
                length += 1
                after = links[s, 1]
                if after < 0 or length >= chain.shape[0]:
                    break
                s = base[after] + row - first[after]
                if taken[s]:
                    break
            i = 0
            while i + 1 < length:
                j = _straight_until(chain, i, length)
                knots[n_knots, 0], knots[n_knots, 1] = chain[i, 0], chain[i, 1]
                count, opaque = 0, True
                if not cull or _ever_seen(chain[j, 0] - chain[i, 0], chain[j, 1] - chain[i, 1], cosines, sines):
                    count, opaque = _sample_piece(chain, i, j, texture, colours, n_colours)
                    if count < 0:
                        return -1
                strips[n_strips, 0] = n_knots
                strips[n_strips, 1] = n_colours
                strips[n_strips, 2] = count
                strips[n_strips, 3] = (
                    (1 if opaque else 0) | (2 if cull else 0) | (4 if i == 0 else 0) | (8 if j + 1 >= length else 0)
                )
                n_knots += 1
                n_strips += 1
                n_colours += count
                i = j
            knots[n_knots, 0], knots[n_knots, 1] = chain[length - 1, 0], chain[length - 1, 1]
            n_knots += 1
    return n_strips


@_jit
def _lay(
    strips: np.ndarray,  # [M, 4] int32, as _string left it
    n_strips: int,  # how many of them count
    x: np.ndarray,  # [M] float32: knots as this view sees them
    z: np.ndarray,  # [M] float32: their depth
    colours: np.ndarray,  # [C] uint32, as _string left it
    out: np.ndarray,  # [W] uint32 one row of one view
    depth: np.ndarray,  # [W] float32 scratch
) -> None:
    """Lay one row's strips into one view's row, nearest first."""
    width = out.shape[0]
    for i in range(width):
        out[i] = BLACK
        depth[i] = 1e9
    for k in range(n_strips):
        knot, colour, count, flags = strips[k, 0], strips[k, 1], strips[k, 2], strips[k, 3]
        xa, xb = x[knot], x[knot + 1]
        backwards = xb < xa
        if count == 0 or (backwards and flags & 2):
            continue
        left, right = (xb, xa) if backwards else (xa, xb)
        start = max(math.ceil(left - 0.5), 0)
        end = min(math.ceil(right - 0.5), width)
        if start >= end:
            continue
        inverse = 1.0 / (xb - xa)
        f = (start + 0.5 - xa) * inverse
        slope = (z[knot + 1] - z[knot]) * inverse
        near = z[knot] + (z[knot + 1] - z[knot]) * f
        step = int(count * inverse * 65536.0)
        place = min(max(int(f * count * 65536.0), 0), count * 65536 - 1)
        last = place + step * (end - 1 - start)
        if last < 0 or last >= count * 65536:  # rounding; keep inside by shrinking the step
            step = int(((0 if step < 0 else count * 65536 - 1) - place) / max(end - 1 - start, 1))
        if flags & 1:
            for i in range(start, end):
                if near < depth[i]:
                    depth[i] = near
                    out[i] = colours[colour + (place >> 16)] | BLACK
                near += slope
                place += step
        else:
            for i in range(start, end):
                if near < depth[i]:
                    pixel = colours[colour + (place >> 16)]
                    alpha = pixel >> np.uint32(24)
                    if alpha >= np.uint32(128):
                        depth[i] = near
                    if alpha > np.uint32(3):
                        out[i] = _over(out[i], pixel, alpha + (alpha >> np.uint32(7)))
                near += slope
                place += step


@_jit
def _soften_edge(out: np.ndarray, depth: np.ndarray, x: float, z: float, solid_left: bool) -> None:
    """Blend the pixel of `out` [W] uint32 that a silhouette at x, of depth z, passes through by how much of it is covered. `depth`
    [W] float32 as _lay left it; `solid_left`: the surface lies left of x."""
    width = out.shape[0]
    p = math.floor(x)
    if p < 1 or p >= width - 1:
        return
    covered = x - p if solid_left else 1.0 - (x - p)
    if covered > 0.5:
        front, behind = p, p + 1 if solid_left else p - 1
    else:
        front, behind = p - 1 if solid_left else p + 1, p
    if abs(depth[front] - z) > 2.0 or depth[behind] < z + 1.5:
        return
    out[p] = _over(out[behind], out[front], np.uint32(covered * 256.0))


@_jit
def _soften(
    strips: np.ndarray,  # [M, 4] int32, as _string left it
    n_strips: int,
    x: np.ndarray,  # [M] float32: knots as this view sees them
    z: np.ndarray,  # [M] float32: their depth
    out: np.ndarray,  # [W] uint32: one row of one view, changed in place
    depth: np.ndarray,  # [W] float32, as _lay left it
) -> None:
    """Antialias where a surface turns away or stops in front of another."""
    for k in range(n_strips):
        flags = strips[k, 3]
        knot = strips[k, 0]
        xa, xb = x[knot], x[knot + 1]
        if not (flags & 1 or (flags & 2 and xb < xa)):  # a soft fringe needs no help; what turns away has no say
            continue
        if flags & 4 and not (flags & 2 and xb < xa):
            _soften_edge(out, depth, xa, z[knot], xb < xa)
        if flags & 8:
            if not (flags & 2 and xb < xa):
                _soften_edge(out, depth, xb, z[knot + 1], xb > xa)
        else:
            xc = x[knot + 2]
            if (xb - xa) * (xc - xb) < 0.0:
                _soften_edge(out, depth, xb, z[knot + 1], xb > xa)


@_jit
def render_rows(
    points: np.ndarray,  # [N, 6] float32: x, y, z, u, v, light
    triangles: np.ndarray,  # [T, 3] int32, back layers first
    beside: np.ndarray,  # [T, 3] int32
    culled: np.ndarray,  # [T] bool: only seen from its front
    texture: np.ndarray,  # [H, W] uint32
    axis: tuple[float, float],  # x, z of the axis that the views turn about
    cosines: np.ndarray,  # [V] float32, times how much wider than the points a view is
    sines: np.ndarray,  # likewise
    slides: np.ndarray,  # [V] float32: how far right of the axis's x each view shows it
    gain: np.ndarray,  # [H] float32: the share of light that each row keeps
    row0: int,
    row1: int,
    out: np.ndarray,  # [V, H, W] uint32
) -> None:
    """Rows row0..row1 of every view."""
    first = np.empty(triangles.shape[0], np.int32)
    base = np.empty(triangles.shape[0], np.int32)
    per_row = np.empty(row1 - row0, np.int32)
    total = count_rows(points[:, 1], triangles, row0, row1, first, base, per_row)
    begins = np.empty(row1 - row0 + 1, np.int32)
    begins[0] = 0
    widest = 0
    for r in range(row1 - row0):
        begins[r + 1] = begins[r] + per_row[r]
        widest = max(widest, per_row[r])
    ends = np.empty((total, 10), np.float32)
    links = np.full((total, 2), -1, np.int32)
    owner = np.empty(total, np.int32)
    listed = np.empty(total, np.int32)
    cut(points, triangles, beside, row0, row1, first, base, begins[:-1].copy(), ends, links, owner, listed)
    taken = np.zeros(total, np.bool_)
    chain = np.empty((widest + 2, 5), np.float32)
    knots = np.empty((2 * widest + 2, 2), np.float32)
    strips = np.empty((widest + 1, 4), np.int32)
    width = out.shape[2]
    colours = np.empty(64 * width + 4096, np.uint32)
    x = np.empty(2 * widest + 2, np.float32)
    z = np.empty(2 * widest + 2, np.float32)
    depth = np.empty(width, np.float32)
    cx, cz = axis
    for row in range(row0, row1):
        r = row - row0
        spans = listed[begins[r] : begins[r + 1]]
        n_strips = -1
        while n_strips < 0:
            n_strips = _string(
                spans, row, first, base, ends, links, owner, culled, cosines, sines, texture, taken, chain, knots, strips, colours
            )  # fmt: skip
            if n_strips < 0:  # more layers, or more texels a pixel, than any face has
                colours = np.empty(2 * colours.shape[0], np.uint32)
                for s in spans:
                    taken[s] = False
        n_knots = strips[n_strips - 1, 0] + 2 if n_strips else 0
        for view in range(len(cosines)):
            c, s, middle = cosines[view], sines[view], cx + slides[view]
            for k in range(n_knots):
                dx, dz = knots[k, 0] - cx, knots[k, 1] - cz
                x[k] = dx * c + dz * s + middle
                z[k] = dz * c - dx * s
            _lay(strips, n_strips, x, z, colours, out[view, row], depth)
            _soften(strips, n_strips, x, z, out[view, row], depth)
            if gain[row] < 1.0:
                for i in range(width):
                    out[view, row, i] = _dim(out[view, row, i], gain[row])


def compile_all() -> None:
    """Compile (or load from numba's cache) by rendering one triangle."""
    corners = np.array([[0, 0, 0, 0, 0, 1], [4, 0, 0, 4, 0, 1], [4, 4, 0, 4, 4, 1]], np.float32)
    turns = np.zeros(1, np.float32)
    render_rows(
        corners, np.array([[0, 1, 2]], np.int32), np.full((1, 3), -1, np.int32), np.zeros(1, np.bool_),
        np.zeros((4, 4), np.uint32), (2.0, 0.0), turns + 1, turns, turns, np.ones(4, np.float32), 0, 4, np.empty((1, 4, 4), np.uint32),
    )  # fmt: skip
