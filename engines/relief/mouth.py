"""Mouth: lips with an inner side, two rows of teeth, a tongue and the dark behind; or the portrait's own teeth where it shows them.

Measures are centimetres of an average face, in the mouth's own axes: a to the face's left in the picture (image right),
b down, c into the head, from the middle of the closed lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from engines.relief.surface import Sheet, grid_triangles, wound
from engines.relief.texture import PAD, Atlas, bled, rgba
from engines.relief.topology import (
    LIP_RINGS_LOWER,
    LIP_RINGS_UPPER,
    LOWER_LIP_INNER,
    MOUTH_RING,
    UPPER_LIP_INNER,
)

UPPER_TEETH = (0.86, 0.66, 0.78, 0.70, 0.68, 1.0, 1.0)
LOWER_TEETH = (0.53, 0.59, 0.68, 0.70, 0.70, 1.05, 1.0)
"Crown widths in cm from the middle outwards (Wheeler's Dental Anatomy, rounded)."

SHOWS_TEETH = 0.28
"A portrait whose lips are further apart than this (cm) keeps the teeth that it shows."

PER_CM = 26.0
"Texture pixels per centimetre of the painted parts."


@dataclass(frozen=True)
class Axes:
    """The mouth's place in the crop."""

    origin: np.ndarray
    "[3] crop pixels: between the lips."
    basis: np.ndarray
    "[3, 3] crop pixels per centimetre; columns are a, b, c."

    def place(self, abc: np.ndarray) -> np.ndarray:
        """[N, 3] crop pixels of points given in centimetres."""
        return (self.origin + abc @ self.basis.T).astype(np.float32)

    def measure(self, points: np.ndarray) -> np.ndarray:
        """[N, 3] centimetres of points given in crop pixels."""
        return np.linalg.solve(self.basis, (points - self.origin).T).T


@dataclass(frozen=True)
class Mouth:
    """The parts, back to front, and how far each point follows the jaw."""

    sheets: list[Sheet]
    jaw: list[np.ndarray]
    "Per sheet [N] float32: 0 fixed to the skull, 1 moves with the lower jaw."
    depth_cm: list[np.ndarray]
    "Per sheet [N] float32: how deep in the mouth, for its lighting."


def lit(colour: tuple[float, float, float], skin: np.ndarray) -> np.ndarray:
    """[3] the colour as it would look in the portrait's light; `skin` [3] is the face's own colour there."""
    exposure = float(np.clip(skin.mean() / 150.0, 0.45, 1.2))
    cast = skin / np.maximum(skin.mean(), 1.0)
    usual = np.array([1.25, 0.97, 0.78])
    tint = np.clip((cast / usual), 0.8, 1.2) ** 0.6
    return (np.array(colour) * exposure * tint).astype(np.float32)


def _teeth_picture(widths: tuple[float, ...], height: float, skin: np.ndarray, upper: bool) -> np.ndarray:
    """[h, w, 4]: a row of teeth laid flat, gum above, edge below (or the other way round for the lower row)."""
    half = sum(widths)
    w, h = int(2 * half * PER_CM), int((height + 0.6) * PER_CM)
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32)
    s = (xs + 0.5) / PER_CM - half
    b = (ys + 0.5) / PER_CM
    edges = np.concatenate([[0.0], np.cumsum(widths)])
    tooth = np.clip(np.searchsorted(edges, np.abs(s), side="right") - 1, 0, len(widths) - 1)
    left, size = edges[tooth], np.asarray(widths)[tooth]
    p = np.clip((np.abs(s) - left) / size, 0, 1) * 2 - 1
    crown = height * (np.array([1.0, 0.93, 1.0, 0.92, 0.9, 0.88, 0.85]) if upper else np.ones(7))[tooth]
    gum = 0.28 + 0.16 * np.abs(p) ** 2.5
    tip = 0.3 + crown - (0.05 if upper else 0.03) * height * np.abs(p) ** 4
    enamel, flesh = lit((243.0, 217.0, 202.0), skin), lit((168.0, 92.0, 88.0), skin)
    rounding = 1.0 - 0.14 * np.abs(p) ** 3 - 0.16 * np.abs(p) ** 14
    along = np.clip((b - gum) / np.maximum(tip - gum, 0.1), 0, 1)
    rounding *= 0.82 + 0.18 * np.sin(np.pi * np.clip(along * 0.8 + 0.12, 0, 1))
    warm = np.array([1.0, 0.965, 0.89], np.float32) ** np.clip(1.1 - along, 0, 1)[..., None]
    into_gum = np.clip((gum - b) * PER_CM / 2.0 + 0.5, 0, 1)[..., None]
    colours = enamel * rounding[..., None] * warm * (1 - into_gum) + flesh * into_gum
    colours *= (1.0 - 0.55 * (np.abs(s) / half) ** 1.5)[..., None]
    alpha = np.clip((tip - b) * PER_CM / 1.5 + 0.5, 0, 1)
    picture = rgba(colours, alpha)
    return picture if upper else picture[::-1].copy()


def _row(
    axes: Axes,
    widths: tuple[float, ...],
    height: float,
    edge: float,
    c0: float,
    reach: float,
    upper: bool,
    at: tuple[float, float],
) -> Sheet:
    """A bent strip for one row of teeth whose cutting edge lies at b = `edge`; `reach` is the arch's half width."""
    half = sum(widths)
    full = height + 0.6
    s = np.linspace(-half, half, 15)
    bend = 1.45 * s / half
    a, c = reach * np.sin(bend), c0 + 1.25 * reach * (1 - np.cos(bend))
    levels = np.linspace(0, 1, 5)
    top = edge - (0.3 + height) if upper else edge - 0.3
    b = top + levels * full
    grid = np.stack(np.broadcast_arrays(a[None, :], b[:, None], c[None, :]), axis=-1).reshape(-1, 3)
    u, v = np.broadcast_arrays((s[None, :] + half) * PER_CM + at[0], levels[:, None] * full * PER_CM + at[1])
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    return Sheet(axes.place(grid), uv.astype(np.float32), grid_triangles(5, 15), np.ones(len(grid), np.float32))


def _tongue(axes: Axes, skin: np.ndarray, atlas: Atlas) -> Sheet:
    """A sheet of 6 x 9 points; `skin` [3] RGB gives its light."""
    rows, columns = 6, 9
    p, q = np.linspace(-1, 1, columns)[None, :], np.linspace(0, 1, rows)[:, None]
    a = 1.75 * np.sin(p * 1.4) / np.sin(1.4) * (0.82 + 0.18 * np.sqrt(np.clip(1 - q, 0, 1)))
    b = 0.12 + 0.75 * q**1.5 + 0.42 * p**2 * (0.4 + q)
    c = 3.4 - 1.9 * np.sin(q * 1.5) * np.sqrt(np.clip(1 - 0.75 * p**2, 0, 1))
    grid = np.stack(np.broadcast_arrays(a, b, c), axis=-1).reshape(-1, 3)
    w, h = 96, 48
    ys, xs = np.mgrid[0:h, 0:w].astype(np.float32) / np.array([h, w], np.float32)[:, None, None]
    x = 2 * xs - 1
    light = (1 - 0.45 * np.abs(x) ** 2.2) * (0.45 + 0.55 * np.sin(np.clip(ys * 1.25, 0, 1) * np.pi * 0.62))
    light *= 1 - 0.14 * np.exp(-((x / 0.09) ** 2)) * np.clip(1.2 - ys, 0, 1)
    speckle = cv2.GaussianBlur(np.random.default_rng(7).normal(size=(h, w)).astype(np.float32), (0, 0), 1.0)
    light *= 1 + 0.10 * speckle
    at = atlas.add(rgba(lit((178.0, 88.0, 84.0), skin) * light[..., None]))
    u, v = np.broadcast_arrays((p + 1) / 2 * (w - 1) + 0.5 + at[0], q * (h - 1) + 0.5 + at[1])
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    points = axes.place(grid)
    return Sheet(points, uv.astype(np.float32), grid_triangles(rows, columns), np.ones(len(points), np.float32))


def _cavity(axes: Axes, corners: np.ndarray, skin: np.ndarray, atlas: Atlas) -> tuple[Sheet, np.ndarray]:
    """A dark bowl behind everything, and which of its points follow the jaw [49] 0..1; `corners` [2, 3], `skin` [3] RGB."""
    rows, columns = 7, 7
    p, q = np.linspace(-1, 1, columns)[None, :], np.linspace(-1, 1, rows)[:, None]
    place = axes.measure(corners)
    deepest, reach = float(place[:, 2].max()), max(2.9, float(np.abs(place[:, 0]).max()) + 0.1)
    a, b = reach * p + 0 * q, 1.5 * q + 0 * p
    c = max(2.6, deepest + 0.7) + 2.4 * (1 - np.clip(p**2 * 0.9 + q**2 * 0.5, 0, 1))
    grid = np.stack(np.broadcast_arrays(a, b, c), axis=-1).reshape(-1, 3)
    size = 32
    ys, xs = (np.mgrid[0:size, 0:size].astype(np.float32) + 0.5) / size * 2 - 1
    glow = np.clip(0.35 + 0.65 * (xs**2 * 0.5 + ys**2 * 0.9), 0, 1)[..., None]
    at = atlas.add(rgba(lit((92.0, 30.0, 30.0), skin) * glow))
    u, v = np.broadcast_arrays((p + 1) / 2 * (size - 1) + 0.5 + at[0], (q + 1) / 2 * (size - 1) + 0.5 + at[1])
    uv = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    jaw = np.broadcast_to(np.clip(q, 0, 1), (rows, columns)).reshape(-1).astype(np.float32)
    return Sheet(axes.place(grid), uv, grid_triangles(rows, columns), np.ones(len(grid), np.float32)), jaw


def _own_teeth(landmarks: np.ndarray, picture: np.ndarray, atlas: Atlas, axes: Axes) -> Sheet:
    """What the portrait `picture` [H, W, 3] shows between its lips (landmarks [478, 3]), continued a little behind them."""
    ring = landmarks[MOUTH_RING]
    low = np.floor(ring[:, :2].min(axis=0) - 28 + PAD).astype(int)
    high = np.ceil(ring[:, :2].max(axis=0) + 14 + PAD).astype(int)
    patch = picture[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    corner = low.astype(np.float32) - PAD
    polygon = ((ring[:, :2] - corner) * 16).round().astype(np.int32)
    opening = cv2.fillPoly(np.zeros(patch.shape[:2], np.float32), [polygon], (1.0,), lineType=cv2.LINE_AA, shift=4)
    sure = cv2.erode((opening > 0.9).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    hidden = bled(patch, sure if sure.sum() > 20 else opening)
    keep = cv2.GaussianBlur(cv2.erode(opening, np.ones((3, 3), np.uint8)), (0, 0), 0.8)[..., None]
    outer = cv2.distanceTransform((opening < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    ys = np.arange(patch.shape[0], dtype=np.float32)[:, None] - (ring[:, 1].mean() - corner[1])
    ends_below = np.where(ys > 0, np.clip(1.3 - outer / 5.0, 0, 1), 1.0)
    away = np.clip(outer / 22.0, 0, 1)[..., None]
    colours = hidden * (1.0 - away * np.array([0.28, 0.50, 0.50], np.float32)) * (1 - keep) + patch * keep
    at = atlas.add(rgba(np.clip(colours, 0, 255), ends_below))
    middle = ring.mean(axis=0)
    push = axes.basis[:, 2]
    side = (ring[:, :1] - middle[0]) / (0.5 * np.ptp(ring[:, 0]))
    outward = np.zeros_like(ring)
    outward[:, :1] = 3.0 * side**3
    outward[:, 1] = np.where(np.isin(MOUTH_RING, UPPER_LIP_INNER), -24.0, 8.0)
    points = np.concatenate([middle[None], ring, ring + outward])
    points[:, 2] += 0.22 * push[2]
    points[1 + len(ring) :, 2] += 0.35 * push[2]
    n = len(ring)
    fan = [(0, 1 + i, 1 + (i + 1) % n) for i in range(n)]
    band = [(1 + i, 1 + n + i, 1 + n + (i + 1) % n) for i in range(n)]
    band += [(1 + i, 1 + n + (i + 1) % n, 1 + (i + 1) % n) for i in range(n)]
    points = points.astype(np.float32)
    triangles = wound(points, np.array(fan + band, np.int32))
    return Sheet(points, (points[:, :2] - corner + at).astype(np.float32), triangles, np.ones(len(points), np.float32))


def build(
    landmarks: np.ndarray, axes: Axes, open_cm: float, picture: np.ndarray, atlas: Atlas, skin: np.ndarray
) -> Mouth:
    """Everything between the lips. `landmarks` [478, 3] with final depth; `open_cm`: how far the portrait's lips are apart."""
    cavity, cavity_jaw = _cavity(axes, landmarks[[UPPER_LIP_INNER[0], UPPER_LIP_INNER[-1]]], skin, atlas)
    tongue = _tongue(axes, skin, atlas)
    lift = min(open_cm, 1.2)
    lower_at = atlas.add(_teeth_picture(LOWER_TEETH, 0.80, skin, upper=False))
    lower = _row(axes, LOWER_TEETH, 0.80, 0.16 + 0.35 * lift, 0.72, 2.25, False, lower_at)
    sheets, jaws = (
        [cavity, tongue, lower],
        [cavity_jaw, np.full(len(tongue.points), 0.6, np.float32), np.ones(len(lower.points), np.float32)],
    )
    if open_cm > SHOWS_TEETH:
        upper = _own_teeth(landmarks, picture, atlas, axes)
    else:
        upper_at = atlas.add(_teeth_picture(UPPER_TEETH, 0.98, skin, upper=True))
        upper = _row(axes, UPPER_TEETH, 0.98, 0.24, 0.42, 2.55, True, upper_at)
    sheets.append(upper)
    jaws.append(np.zeros(len(upper.points), np.float32))
    depths = [axes.measure(s.points)[:, 2].astype(np.float32) for s in sheets]
    if open_cm > SHOWS_TEETH:
        depths[-1][:] = 0.0
    return Mouth(sheets, jaws, depths)


def lip_rims(landmarks: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The lips' inner sides: (places [2, 11, 3], texture places [2, 11, 2] in crop pixels, the lip points that each hangs on
    [2, 11], triangles [T, 3] into 478 landmarks followed by the 22 rim points)."""
    upper, lower = landmarks[UPPER_LIP_INNER], landmarks[LOWER_LIP_INNER]
    into, down = axes.basis[:, 2], axes.basis[:, 1]
    taper = np.sin(np.linspace(0, np.pi, 11))[:, None] ** 0.5
    places = np.stack([upper + 0.75 * into - 0.12 * taper * down, lower + 0.75 * into + 0.12 * taper * down])
    texture = np.stack(
        [
            0.45 * upper[:, :2] + 0.55 * landmarks[LIP_RINGS_UPPER[1], :2],
            0.45 * lower[:, :2] + 0.55 * landmarks[LIP_RINGS_LOWER[1], :2],
        ]
    )
    anchors = np.stack([UPPER_LIP_INNER, LOWER_LIP_INNER])
    triangles = []
    for i in range(10):
        u0, u1, r0, r1 = anchors[0, i], anchors[0, i + 1], 478 + i, 479 + i
        triangles += [(u0, u1, r1), (u0, r1, r0)]
        l0, l1, s0, s1 = anchors[1, i], anchors[1, i + 1], 489 + i, 490 + i
        triangles += [(l1, l0, s0), (l1, s0, s1)]
    return places.astype(np.float32), texture.astype(np.float32), anchors, np.array(triangles, np.int32)
