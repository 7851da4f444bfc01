"""Shell: the sides and the back of head, neck and shoulders, which no photo shows: the figure's outline once more, without ears and
wisps, bulging away from the viewer, in the colours of the hair above and the skin below."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import Delaunay

from engines.relief.figure import (
    STEP,
    depth_within,
    face_area,
    face_border,
    front_depth,
    grid,
    largest,
    nearest,
    outline_depth,
)
from engines.relief.figure import outline as outlined
from engines.relief.surface import Sheet, smooth, wound
from engines.relief.texture import PAD, SIDE, Atlas, bled, disc, rgba
from engines.relief.topology import EYES, FOREHEAD

BACK_DEPTH, NECK_DEPTH = 0.46, 0.17
"How far the shell bulges behind the outline, in face widths; a skull is about 1.3 times as deep as a face is wide, a neck half of it."
ROUND = 0.45
"Face widths within the outline over which the shell rounds back."
RINGS = np.radians([18.0, 38.0, 62.0])
"Where its points lie on that quarter of a circle: at even lengths, so that nothing is drawn out where it begins."
SLENDER = 0.17
"Face widths: what is no wider, ears and wisps of hair, has nothing behind it."
BAND = 26.0
"Crop pixels by which the shell reaches inwards under the figure's front, so that nobody looks between the two."
REACH = 9.0
"Crop pixels about a point within which the front may be as near as there: its triangles are flat between their corners."
BENEATH, BENEATH_FACE = 2.0, 4.0
"""Crop pixels that this band lies behind the figure's front, and behind the face, whose points are sparser. It follows jaw and cheeks as
the front does: where it stayed it came through beside the ears of whoever opened the mouth, at 6 and 9 as well."""
RIM = 29
"Crop pixels: twice the width of what counts as the figure's outline."
BESIDE_FACE = 25
"Crop pixels: twice what lies between the face and hair that is taken for the back of the head's."
GRAIN = 7.0
"Crop pixels: what is finer in hair goes on behind the head as in a mirror,"
FOLD = 18.0
"and back again after so many."
JAW = np.array([58, 288])
"Where the jaw bends up: hair ends above, a neck begins below."


def build(
    landmarks: np.ndarray,
    width: float,
    firm: np.ndarray,
    picture: np.ndarray,
    faded: np.ndarray,
    atlas: Atlas,
    skin: np.ndarray,
) -> Sheet:
    """The shell of a figure `firm` [SIDE, SIDE] bool. `landmarks` [478, 3] with final depth, `width` the face's, `picture`
    [SIDE, SIDE, 3] the continued crop, `faded` [SIDE, SIDE] its alpha, `skin` [3] the face's colour."""
    stout = largest(
        cv2.morphologyEx(firm.astype(np.uint8), cv2.MORPH_OPEN, disc(2 * round(SLENDER * width / 2) + 1)) > 0
    )
    at = atlas.add(_colours(landmarks, width, stout, picture, faded, skin))
    contour = outlined(stout)[::2]
    rim_z = _rim_depth(landmarks, width, firm, contour)
    wall, places, wall_triangles, wall_light = _wall(landmarks, width, stout, contour, rim_z)
    band, band_triangles = _band(landmarks, width, firm, stout, contour, rim_z)
    points = np.concatenate([wall, band]).astype(np.float32)
    uv = np.concatenate([places, band[:, :2] + PAD]) * 0.5 + np.asarray(at, np.float32)
    light = np.concatenate([wall_light, np.full(len(band), 0.97)]).astype(np.float32)
    triangles = np.concatenate([wound(wall, wall_triangles)[:, ::-1], wound(band, band_triangles) + len(wall)])
    return Sheet(points, uv.astype(np.float32), triangles.astype(np.int32), light, culled=True)


def _wall(
    landmarks: np.ndarray, width: float, stout: np.ndarray, contour: np.ndarray, rim_z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Points [N, 3] that bulge back from `contour` [M, 2], at depths `rim_z` [M], where their colours lie [N, 2],
    triangles and light [N]."""
    field = cv2.distanceTransform(stout.astype(np.uint8), cv2.DIST_L2, 5)
    rings = [_ring(field, ROUND * width * (1 - np.cos(angle)), STEP * (1.3 + k / 2)) for k, angle in enumerate(RINGS)]
    flat = np.concatenate([contour, *rings, grid(field > 0.9 * ROUND * width, 3 * STEP)]).astype(np.float32)
    d = np.clip(depth_within(stout, flat) / (ROUND * width), 0.0, 1.0)
    d[: len(contour)] = 0.0
    rim = rim_z[nearest(flat, contour)]
    rear = outline_depth(flat, landmarks, width) + _bulge(landmarks, width, stout, flat[:, 1])
    z = rim + np.maximum(rear - rim, 0.0) * np.sqrt(np.maximum(1.0 - (1.0 - d) ** 2, 0.0))
    triangles = _covering(flat, cv2.dilate(stout.astype(np.uint8), disc(7)) > 0)
    along = np.arccos(1.0 - d) / (np.pi / 2)
    inwards = ROUND * width * (along - d)
    places = flat + inwards[:, None] * _inwards(field, flat)
    return np.column_stack([flat - PAD, z]).astype(np.float32), places, triangles, 0.97 - 0.5 * smooth(along)


def _ring(field: np.ndarray, within: float, step: float) -> np.ndarray:
    """[N, 2] points about `step` apart where `field` [SIDE, SIDE], of distances to the outline, is `within`."""
    found, _ = cv2.findContours((field > within).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pieces = [piece[:: max(round(0.8 * step), 1), 0].astype(np.float32) + 0.5 for piece in found if len(piece) > step]
    return np.concatenate(pieces) if pieces else np.zeros((0, 2), np.float32)


def _inwards(field: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """[N, 2]: which way it goes inwards at `flat` [N, 2], by a `field` [SIDE, SIDE] of distances to the outline; at most of length 1."""
    soft = cv2.GaussianBlur(field, (0, 0), 4.0)
    slope = np.stack(
        [cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)], -1
    )
    cell = np.clip(flat.astype(int), 0, SIDE - 1)
    found = slope[cell[:, 1], cell[:, 0]]
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1.0)


def _bulge(landmarks: np.ndarray, width: float, stout: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N] crop pixels by which the figure `stout` [SIDE, SIDE] bulges back at rows `y` [N]: a skull, and
    a neck if it is as narrow as one."""
    half = cv2.GaussianBlur(stout.sum(axis=1).astype(np.float32)[:, None] / 2, (1, 0), 0, sigmaY=0.06 * width)[:, 0]
    narrow = smooth((0.48 * width - half) / (0.15 * width))
    jaw = float(landmarks[JAW, 1].mean()) + PAD
    below = smooth((np.arange(SIDE) - jaw + 0.15 * width) / (0.35 * width))
    rows = width * (BACK_DEPTH + (NECK_DEPTH - BACK_DEPTH) * below * narrow)
    return rows[np.clip(y.astype(int), 0, SIDE - 1)]


def _band(
    landmarks: np.ndarray, width: float, firm: np.ndarray, stout: np.ndarray, contour: np.ndarray, rim_z: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] from `contour` [M, 2], at depths `rim_z` [M], inwards under the front, and triangles."""
    inward = depth_within(stout, inner := grid(stout, STEP))
    inner = inner[(inward > 4.0) & (inward < BAND + STEP)]
    flat = np.concatenate([contour, inner]).astype(np.float32)
    z = np.concatenate([rim_z, _under(landmarks, width, firm, inner)])
    where = (stout & (cv2.distanceTransform(stout.astype(np.uint8), cv2.DIST_L2, 5) < BAND)) | (
        cv2.dilate(stout.astype(np.uint8), disc(5)) > 0
    ) & ~stout
    return np.column_stack([flat - PAD, z]).astype(np.float32), _covering(flat, where)


def _covering(flat: np.ndarray, where: np.ndarray) -> np.ndarray:
    """[T, 3] triangles of points [N, 2] whose middle lies `where` [SIDE, SIDE]."""
    triangles = Delaunay(flat).simplices
    cell = np.clip(flat[triangles].mean(axis=1).astype(int), 0, SIDE - 1)
    return triangles[where[cell[:, 1], cell[:, 0]]]


def _rim_depth(landmarks: np.ndarray, width: float, firm: np.ndarray, contour: np.ndarray) -> np.ndarray:
    """[M] depth where the shell begins at `contour` [M, 2]: just behind the figure's front, and behind the face's rim beside it."""
    return _under(landmarks, width, firm, contour) - BENEATH + 0.5


def _under(landmarks: np.ndarray, width: float, firm: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] depth just behind the figure's front at `points` [N, 2] (continued-crop pixels)."""
    about = np.concatenate(
        [points + shift for shift in REACH * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], np.float32)]
    )
    depths = front_depth(about, landmarks, width, firm, outlined(firm)).reshape(5, -1)
    z = depths.max(axis=0) + BENEATH
    border = face_border(landmarks)
    apart = np.linalg.norm(points[:, None] - (border[None, :, :2] + PAD), axis=2)
    near = np.argsort(apart, axis=1)[:, :4]
    beside = np.take_along_axis(apart, near[:, :1], axis=1)[:, 0] < 0.08 * width
    on_face = face_area(landmarks, SIDE, PAD)[
        points[:, 1].astype(int).clip(0, SIDE - 1), points[:, 0].astype(int).clip(0, SIDE - 1)
    ]
    deepest = border[near, 2].max(axis=1) + BENEATH_FACE
    return np.where(beside | on_face, np.maximum(z, deepest), z)


def _colours(
    landmarks: np.ndarray, width: float, stout: np.ndarray, picture: np.ndarray, faded: np.ndarray, skin: np.ndarray
) -> np.ndarray:
    """[SIDE / 2, SIDE / 2, 4]: what lies along the figure's outline goes on behind the head, never the face nor an ear: hair as far
    down as the jaw, a neck beneath. It fades as the figure does."""
    solid = stout.astype(np.uint8)
    rim = (solid - cv2.erode(solid, disc(RIM))).astype(np.float32)
    rows = np.arange(SIDE, dtype=np.float32)[:, None] - PAD
    brow = float(landmarks[[eye.upper_fold[4] for eye in EYES], 1].mean()) - 0.1 * width
    jaw = float(landmarks[JAW, 1].mean()) + 0.03 * width
    likely, alike = _skin_like(picture, stout, landmarks, skin)
    face = cv2.dilate(face_area(landmarks, SIDE, PAD).astype(np.uint8), disc(BESIDE_FACE))
    hair = (
        np.maximum(rim, (stout & (face == 0)).astype(np.float32))
        * (rows < jaw)
        * (1.0 - np.maximum(likely, alike * (rows > brow)))
    )
    below = smooth((rows - jaw) / (0.06 * width))[..., None]
    if hair.sum() > 400:
        behind = mirrored(picture, hair) * (1 - below) + mirrored(picture, rim * (rows >= jaw)) * below
    else:
        behind = cv2.GaussianBlur(bled(picture, rim), (0, 0), 6.0)
    half = cv2.resize(behind, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    end = np.clip(np.minimum(rows[:, 0] + PAD, SIDE - rows[:, 0] - PAD) / 8.0, 0.0, 1.0)[:, None]
    alpha = cv2.dilate(np.where(stout, faded, 0.0).astype(np.float32), disc(2 * RIM)) * end
    return rgba(half, cv2.resize(alpha, (SIDE // 2, SIDE // 2)))


def mirrored(picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`picture` [SIDE, SIDE, 3] where `known` [SIDE, SIDE] 0..1, and everywhere else what is coarse in it carried on, what is fine
    mirrored."""
    if not known.any():
        return cv2.GaussianBlur(bled(picture, known), (0, 0), GRAIN)
    coarse = cv2.GaussianBlur(bled(picture, known), (0, 0), GRAIN)
    fine = np.clip(picture - coarse, -40, 40)
    there = known > 0.5
    away, labels = cv2.distanceTransformWithLabels(
        (~there).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearby = labels.astype(np.intp)
    here = np.moveaxis(np.mgrid[:SIDE, :SIDE], 0, -1).astype(np.float32)
    of_label = np.zeros((int(labels.max()) + 1, 2), np.float32)
    of_label[nearby[there]] = here[there]
    back = of_label[nearby] - here
    folded = FOLD - np.abs(away % (2 * FOLD) - FOLD)
    mirror = (here + back * (1 + folded / np.maximum(away, 1.0))[..., None]).round().astype(int).clip(0, SIDE - 1)
    share = cv2.GaussianBlur(there[mirror[..., 0], mirror[..., 1]].astype(np.float32), (0, 0), 1.5)[..., None]
    return np.clip(coarse + share * fine[mirror[..., 0], mirror[..., 1]], 0, 255)


def _skin_like(
    picture: np.ndarray, stout: np.ndarray, landmarks: np.ndarray, skin: np.ndarray
) -> tuple[np.ndarray, float]:
    """[SIDE, SIDE] 0..1: whether `picture` [SIDE, SIDE, 3] is nearer to the face's colour `skin` [3] than to that of the hair or hat
    above it; and how far these are alike, so that nobody can tell."""
    above = stout.copy()
    above[int(landmarks[FOREHEAD, 1] + PAD - 4) :] = False
    if above.sum() < 400:
        return np.zeros((SIDE, SIDE), np.float32), 0.0
    logs = np.log(cv2.GaussianBlur(picture, (0, 0), 2.0) + 12.0)
    own, hair = np.log(skin + 12.0), np.median(logs[above], axis=0)
    along = (logs - hair) @ (own - hair) / max(float(((own - hair) ** 2).sum()), 1e-3)
    tells = float(smooth(np.array((np.linalg.norm(own - hair) - 0.25) / 0.25)))
    likely = (tells * smooth((along - 0.35) / 0.2)).astype(np.float32)
    return cv2.dilate(likely, disc(9)), 1 - tells  # what a sharp edge of it leaves would be drawn out to a streak
