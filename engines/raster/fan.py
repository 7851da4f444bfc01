"""Fan: coloured, textured triangles as sixteen cameras see them at once. Its twin, and the definition of what is seen, is textured.py.

A head's triangles cover two or three pixels of a tile, so that finding out where one lies costs more than filling it. Here one is
set up for all cameras together, a camera a lane of the processor's vectors: hence the flat arrays in which number k of each run of
LANES belongs to camera k, and the loops over them without a branch. LANES is a constant, or else the compiler does scalars.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_jit: Any = numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy", boundscheck=False)
_inlined: Any = numba.njit(inline="always")
"What is called for each pixel: a call would count references to the arrays that it is given."
_f: Any = np.float32

LANES = 16
Y, Z = LANES, 2 * LANES
"Where the rows and the depths of a vertex's places begin; its columns begin at 0."
SETUP = 17 * LANES
LEFT, RIGHT, TOP, BOTTOM = (k * LANES for k in range(4))
A0, AX, AY, A_PER, B0, BX, BY, B_PER, C_PER, NEAR, NEAR_A, NEAR_B, LOW = (k * LANES for k in range(4, 17))
FURTHEST = 1e4
"World units: beyond them 32 bits would overflow."
FAR = _f(1e30)
FLAT = _f(1e-9)
"Twice the area in square pixels up to which a triangle is not drawn: textured.draw's."
_Look = tuple[float, float, float, float, float, float, float]
"Red, green, blue, share of the texture, light, u, v of a corner."
BYTES, HALVES = np.uint64(0x000000FF00FF00FF), np.uint64(0x0000008000800080)
"Of a texel's three colours: where they lie, and the half that rounds."
OPAQUE = np.uint32(0xFF000000)


def draw(
    points: np.ndarray,  # [N, 3] float32 world
    cam2world: np.ndarray,  # [V, 4, 4], V <= LANES
    intrinsics: np.ndarray,  # [V, 3, 3], as display/optics.py has them
    triangles: np.ndarray,  # [T, 3] int32, counter-clockwise from outside; quickest where neighbours in a picture follow each other
    look: np.ndarray,  # [N, 8] float32, as `look` makes it
    texture: np.ndarray,  # [TH, TW] uint64, as `words` makes it
    out: np.ndarray,  # [V, H, W] uint32 out: RGBA on black
) -> None:
    """V pictures: textured.draw's, but that texels are mixed by weights of 1/256, and what lies within 1e-5 of an edge may be either
    side's: a colour is 1 of 255 off at times, hardly ever 2."""
    views, height, width = out.shape
    assert views <= LANES, views
    # the loops below index by these numbers and check nothing
    assert np.abs(points).max(initial=0.0) < FURTHEST, "a vertex is not finite, or not in the world"
    cameras = _lanes(cam2world, intrinsics, width, height)
    places, depth = np.empty((len(points), 3 * LANES), np.float32), np.empty(out.shape, np.float32)
    _draw(np.ascontiguousarray(points, np.float32), cameras, triangles, look, texture, places, depth, out)


def look(uv: np.ndarray, colours: np.ndarray, light: np.ndarray) -> np.ndarray:
    """[N, 8] float32 of what textured.draw takes: uv [N, 2], colours [N, 4], light [N]."""
    return np.concatenate([colours, light[:, None], uv, np.zeros((len(uv), 1))], axis=1, dtype=np.float32)


def words(texture: np.ndarray) -> np.ndarray:
    """[TH, TW] uint64 of a texture [TH, TW, 3] uint8: 16 bits a colour, so that all three are weighed by one multiplication."""
    return np.concatenate([texture, np.zeros_like(texture[..., :1])], 2).astype("<u2").view(np.uint64)[..., 0]


def compile_all() -> None:
    """Compile (or load from numba's cache) by drawing nothing."""
    nothing = np.zeros((0, 8), np.float32)
    draw(nothing[:, :3], np.eye(4)[None], np.eye(3)[None], np.zeros((0, 3), np.int32), nothing, words(np.zeros((2, 2, 3), np.uint8)),
         np.empty((1, 4, 4), np.uint32))  # fmt: skip


def _lanes(cam2world: np.ndarray, intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """[14 * LANES] float32: the rows of each camera's [3, 4] from the world to pixels times depth and depth, and its middle. Cameras
    that there are not see nothing, since to them everything lies in one point."""
    rows = np.zeros((14, LANES))
    to_camera = cam2world[:, :3, :3].transpose(0, 2, 1).astype(np.float64)
    away = -np.einsum("vij,vj->vi", to_camera, cam2world[:, :3, 3])
    scale = np.stack([intrinsics[:, 0, 0] * width, intrinsics[:, 1, 1] * height, np.ones(len(intrinsics))], 1)
    rows[:12, : len(scale)] = (np.concatenate([to_camera, away[..., None]], 2) * scale[..., None]).reshape(-1, 12).T
    rows[12, : len(scale)], rows[13, : len(scale)] = intrinsics[:, 0, 2] * width, intrinsics[:, 1, 2] * height
    return rows.astype(np.float32).ravel()


@_jit
def _project(
    points: np.ndarray,  # [N, 3] float32 world
    cameras: np.ndarray,  # [14 * LANES] float32, as `_lanes` makes them
    places: np.ndarray,  # [N, 3 * LANES] float32 out: columns and rows in pixels, depths
) -> None:
    for n in range(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        seen = places[n]
        for k in range(LANES):
            right = x * cameras[k] + y * cameras[LANES + k] + z * cameras[2 * LANES + k] + cameras[3 * LANES + k]
            down = (
                x * cameras[4 * LANES + k]
                + y * cameras[5 * LANES + k]
                + z * cameras[6 * LANES + k]
                + cameras[7 * LANES + k]
            )
            away = (
                x * cameras[8 * LANES + k]
                + y * cameras[9 * LANES + k]
                + z * cameras[10 * LANES + k]
                + cameras[11 * LANES + k]
            )
            per = _f(1.0) / max(away, _f(1e-6))
            seen[k] = right * per + cameras[12 * LANES + k]
            seen[Y + k] = down * per + cameras[13 * LANES + k]
            seen[Z + k] = away


@_jit
def _faces_any(
    a: np.ndarray,  # [3 * LANES] float32: a corner's places
    b: np.ndarray,
    c: np.ndarray,
    lanes: int,  # LANES, which the compiler must not know here: it would unroll the loop before it thinks of vectors
) -> np.bool_:
    count = np.int32(0)
    for k in range(lanes):
        area = (c[k] - a[k]) * (b[Y + k] - a[Y + k]) - (b[k] - a[k]) * (c[Y + k] - a[Y + k])
        count += np.int32(area > FLAT)
    return count > 0


@_jit
def _up(value: float) -> np.int32:
    """The next whole number within 0 .. 1e6, in 32 bits."""
    value = min(max(value, _f(0.0)), _f(1e6))
    whole = np.int32(value)
    return whole + np.int32(value > _f(whole))


@_jit
def _per(slope: float) -> float:
    return _f(1.0) / (slope if abs(slope) > _f(1e-12) else _f(1e-12))


@_jit
def _set_up(
    a: np.ndarray,  # [3 * LANES] float32: a corner's places
    b: np.ndarray,
    c: np.ndarray,
    width: int,
    height: int,
    found: np.ndarray,  # [SETUP] float32 out
) -> None:
    """Of one triangle: its box, right of it 0 where it is not seen; the shares of corners a and b at the box's first pixel and how
    they change to the right and downwards; how far one goes for a share to change by 1; depths; the least share that is within.

    Shares are allowed to be this little below 0, since two neighbours' rounding would else leave holes between them.
    """
    half = _f(0.5)
    for k in range(LANES):
        ax, ay, bx, by, cx, cy = a[k], a[Y + k], b[k], b[Y + k], c[k], c[Y + k]
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        left, right = _up(min(ax, min(bx, cx)) - half), min(_up(max(ax, max(bx, cx)) - half), width)
        top, bottom = _up(min(ay, min(by, cy)) - half), min(_up(max(ay, max(by, cy)) - half), height)
        seen = (area > FLAT) & (a[Z + k] > _f(0.0)) & (left < right) & (top < bottom)
        scale = _f(1.0) / max(area, FLAT)
        a_right, a_down = (cy - by) * scale, (bx - cx) * scale
        b_right, b_down = (ay - cy) * scale, (cx - ax) * scale
        x, y = _f(left) + half - cx, _f(top) + half - cy
        found[LEFT + k], found[TOP + k], found[BOTTOM + k] = _f(left), _f(top), _f(bottom)
        found[RIGHT + k] = _f(right) if seen else _f(0.0)
        found[A0 + k], found[AX + k], found[AY + k] = a_right * x + a_down * y, a_right, a_down
        found[B0 + k], found[BX + k], found[BY + k] = b_right * x + b_down * y, b_right, b_down
        found[A_PER + k], found[B_PER + k], found[C_PER + k] = _per(a_right), _per(b_right), _per(-(a_right + b_right))
        found[NEAR + k], found[NEAR_A + k], found[NEAR_B + k] = c[Z + k], a[Z + k] - c[Z + k], b[Z + k] - c[Z + k]
        found[LOW + k] = _f(-2e-5) - _f(2e-6) * scale


@_inlined
def _span(wa: float, wb: float, k: int, found: np.ndarray, wide: float) -> tuple[np.int32, np.int32]:
    """First pixel of a row of the box of camera k, and the one after the last, that the triangle covers, given the shares at the
    row's beginning."""
    low, zero = found[LOW + k], _f(0.0)
    a_per, b_per, c_per = found[A_PER + k], found[B_PER + k], found[C_PER + k]
    a, b, c = (low - wa) * a_per, (low - wb) * b_per, (low - _f(1.0) + wa + wb) * c_per
    first = max(max(a if a_per > zero else zero, b if b_per > zero else zero), max(c if c_per > zero else zero, zero))
    last = min(min(a if a_per < zero else wide, b if b_per < zero else wide), min(c if c_per < zero else wide, wide))
    return _up(first), np.int32(last + _f(1.0))


@_inlined
def _texel(
    texture: np.ndarray,  # [TH, TW] uint64
    u: float,
    v: float,
) -> np.uint64:
    """Bilinear, by weights of 1/256, each step rounded. Unsigned, or each index would be asked whether it counts from the end."""
    across, down = np.uint64(np.int32(u * _f(256.0))), np.uint64(np.int32(v * _f(256.0)))
    x, y, one, eight = across >> np.uint64(8), down >> np.uint64(8), np.uint64(1), np.uint64(8)
    right, below = across & np.uint64(255), down & np.uint64(255)
    left, above = np.uint64(256) - right, np.uint64(256) - below
    top = ((texture[y, x] * left + texture[y, x + one] * right + HALVES) >> eight) & BYTES
    low = ((texture[y + one, x] * left + texture[y + one, x + one] * right + HALVES) >> eight) & BYTES
    return ((top * above + low * below + HALVES) >> eight) & BYTES


@_jit
def _byte(value: float) -> np.uint32:
    return np.uint32(np.int32(min(max(value, _f(0.0)), _f(255.0))))


@_jit
def _look(look: np.ndarray, n: int) -> _Look:
    """As numbers, which stay in registers: references to arrays would be counted at each pixel."""
    return look[n, 0], look[n, 1], look[n, 2], look[n, 3], look[n, 4], look[n, 5], look[n, 6]


@_jit
def _less(a: _Look, c: _Look) -> _Look:
    return a[0] - c[0], a[1] - c[1], a[2] - c[2], a[3] - c[3], a[4] - c[4], a[5] - c[5], a[6] - c[6]


@_inlined
def _colour(
    c: _Look,
    a: _Look,  # less c
    b: _Look,  # less c
    wa: float,
    wb: float,
    textured: bool,
    texture: np.ndarray,  # [TH, TW] uint64
    most_u: float,  # texture pixels that exist
    most_v: float,
) -> np.uint32:
    red, green, blue = c[0] + wa * a[0] + wb * b[0], c[1] + wa * a[1] + wb * b[1], c[2] + wa * a[2] + wb * b[2]
    light = c[4] + wa * a[4] + wb * b[4]
    if textured:
        share = c[3] + wa * a[3] + wb * b[3]
        u = min(max(c[5] + wa * a[5] + wb * b[5] - _f(0.5), _f(0.0)), most_u)
        v = min(max(c[6] + wa * a[6] + wb * b[6] - _f(0.5), _f(0.0)), most_v)
        texel = _texel(texture, u, v)
        red += share * (_f(np.int32(texel & np.uint64(255))) - red)
        green += share * (_f(np.int32((texel >> np.uint64(16)) & np.uint64(255))) - green)
        blue += share * (_f(np.int32(texel >> np.uint64(32))) - blue)
    return _byte(red * light) | _byte(green * light) << np.uint32(8) | _byte(blue * light) << np.uint32(16) | OPAQUE


@_jit
def _draw(
    points: np.ndarray,  # [N, 3] float32
    cameras: np.ndarray,  # [14 * LANES] float32
    triangles: np.ndarray,  # [T, 3] int32
    look: np.ndarray,  # [N, 8] float32
    texture: np.ndarray,  # [TH, TW] uint64
    places: np.ndarray,  # [N, 3 * LANES] float32 scratch
    depth: np.ndarray,  # [V, H, W] float32 scratch
    out: np.ndarray,  # [V, H, W] uint32 out
) -> None:
    views, height, width = out.shape
    found = np.empty(SETUP, np.float32)
    lanes = np.int32(LANES) if views > 0 else np.int32(0)
    most_u, most_v = _f(texture.shape[1] - 1.001), _f(texture.shape[0] - 1.001)
    _project(points, cameras, places)
    out[:], depth[:] = np.uint32(0), FAR
    for t in range(len(triangles)):
        ia, ib, ic = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if not _faces_any(places[ia], places[ib], places[ic], lanes):
            continue
        _set_up(places[ia], places[ib], places[ic], np.int32(width), np.int32(height), found)
        textured = max(look[ia, 3], max(look[ib, 3], look[ic, 3])) > _f(0.0)
        c = _look(look, ic)
        a, b = _less(_look(look, ia), c), _less(_look(look, ib), c)
        for k in range(views):
            left, right = np.int32(found[LEFT + k]), np.int32(found[RIGHT + k])
            if right == 0:
                continue
            wide = _f(right - left - 1)
            ax, bx, ay, by = found[AX + k], found[BX + k], found[AY + k], found[BY + k]
            near_c, near_a, near_b = found[NEAR + k], found[NEAR_A + k], found[NEAR_B + k]
            wa_row, wb_row = found[A0 + k], found[B0 + k]
            for row in range(np.int32(found[TOP + k]), np.int32(found[BOTTOM + k])):
                first, end = _span(wa_row, wb_row, k, found, wide)
                for i in range(first, end):
                    wa, wb = wa_row + _f(i) * ax, wb_row + _f(i) * bx
                    near = near_c + wa * near_a + wb * near_b
                    if near < depth[k, row, left + i]:
                        depth[k, row, left + i] = near
                        out[k, row, left + i] = _colour(c, a, b, wa, wb, textured, texture, most_u, most_v)
                wa_row += ay
                wb_row += by
    for k in range(views):
        _soften(out[k])


@_jit
def _soften(picture: np.ndarray) -> None:
    """Darken the figure's outline by how many of the nine pixels about each the figure covers, and make the picture [H, W] opaque."""
    height, width = picture.shape
    inside, across = np.zeros((3, width), np.uint8), np.zeros((3, width), np.uint8)
    for row in range(height + 1):  # a row is counted before the one above it is changed
        if row < height:
            own, three = inside[row % 3], across[row % 3]
            for i in range(width):
                own[i] = np.uint8(picture[row, i] >> np.uint32(31))
            for i in range(1, width - 1):
                three[i] = own[i - 1] + own[i] + own[i + 1]
        if 1 < row < height:
            own = inside[(row - 1) % 3]
            for i in range(1, width - 1):
                nine = across[0, i] + across[1, i] + across[2, i]
                if own[i] and nine < 9:
                    picture[row - 1, i] = _dimmed(picture[row - 1, i], np.uint32(max(nine, 3) - 3))
        if row > 0:
            for i in range(width):
                picture[row - 1, i] |= OPAQUE


@_jit
def _dimmed(pixel: np.uint32, sixths: np.uint32) -> np.uint32:
    """A pixel's colours times `sixths` / 6, which is textured.draw's (nine / 9 - 1 / 3) * 1.5 of nine pixels."""
    byte, six = np.uint32(255), np.uint32(6)
    red, green, blue = pixel & byte, (pixel >> np.uint32(8)) & byte, (pixel >> np.uint32(16)) & byte
    return (red * sixths // six) | (green * sixths // six) << np.uint32(8) | (blue * sixths // six) << np.uint32(16)
