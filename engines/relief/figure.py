"""Figure: the body and hair mesh: everything of the portrait around the face (ears, neck and shoulders too), and the sides that no
photo shows.

The face's outline is kept, the rest is rounded back from it to the figure's outline, a soft fringe hangs on that outline, and a
shell behind it carries the mirrored hair and skin that come into sight when the head turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import Delaunay, KDTree

from engines.contract import CROP
from engines.relief.surface import Sheet, smooth, wound
from engines.relief.texture import PAD, SIDE
from engines.relief.topology import CHEEKS, CHIN, EYES, FOREHEAD, MOUTH_RING, OVAL, face_triangles

STEP = 15.0
"Distance in crop pixels between the surround's points."

BACK_DEPTH = 0.42
"How far the shell bulges behind the outline, in face widths; a skull is about 1.3 times as deep as a face is wide."

LIP_INWARD, LIP_FORWARD = 14.0, 16.0
"Crop pixels by which the shell reaches under the figure's front, which is steeper than that at its rim."

STEEPEST = 1.6
"The side of the head recedes at most this much per pixel from the face's outline: beyond, a photo has no colours to show."

SIDE_DEPTH = 0.05
"How far behind the cheeks' edge the head's outline lies, in face widths."


@dataclass(frozen=True)
class Surround:
    """The mesh around the face: two sheets, and how their points follow it."""

    front: Sheet
    "Its first 36 points are the face's OVAL; the face's own triangles are not in it."
    back: Sheet
    "The shell behind, only seen from behind and the sides."
    follow_front: np.ndarray
    "[Nf, 36] float32: how much each point follows each OVAL point's movement."


def face_area(landmarks: np.ndarray, side: int, shift: float) -> np.ndarray:
    """[side, side] bool: where the face's mesh lies in a picture, eyes and mouth included. `landmarks` [478, 3] in crop pixels,
    which lie `shift` pixels further right and down in that picture."""
    area = np.zeros((side, side), np.uint8)
    at = (landmarks[:, :2] + shift).round().astype(np.int32)
    for triangle in at[face_triangles()]:
        cv2.fillConvexPoly(area, triangle, (1,))
    for hole in (MOUTH_RING, *(eye.ring for eye in EYES)):
        cv2.fillPoly(area, [at[hole]], (1,))
    return area.astype(bool)


def _face_border(landmarks: np.ndarray) -> np.ndarray:
    """[M, 3] crop pixels: those of `landmarks` [478, 3] at the rim of the face as the picture shows it: its OVAL, or the fold
    beyond which it turns away."""
    area = face_area(landmarks, SIDE, PAD)
    return landmarks[:468][_distance(area, landmarks[:468, :2] + PAD) < 6.0]


def _outline(inner: np.ndarray) -> np.ndarray:
    """[M, 2] float32 points round the figure's firm part `inner` [SIDE, SIDE] bool, about STEP apart (continued-crop pixels)."""
    found, _ = cv2.findContours(inner.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(found, key=cv2.contourArea)[:, 0].astype(np.float32) + 0.5
    return points[:: max(int(STEP * 0.6), 1)]


def _grid(mask: np.ndarray, step: float) -> np.ndarray:
    """[K, 2] float32 points of a triangular grid, `step` pixels apart, that lie in `mask` [SIDE, SIDE] bool."""
    ys = np.arange(step / 2, SIDE, step * 0.87)
    rows = [np.stack([np.arange((j % 2) * step / 2, SIDE, step), np.full(len(np.arange((j % 2) * step / 2, SIDE, step)), y)], 1)
            for j, y in enumerate(ys)]  # fmt: skip
    points = np.concatenate(rows).astype(np.float32)
    cell = np.minimum(points.astype(int), SIDE - 1)
    return points[mask[cell[:, 1], cell[:, 0]]]


def _distance(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] float32: how many pixels each of `points` [N, 2] lies inside `mask` [SIDE, SIDE] bool; 0 outside."""
    field = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    cell = np.clip(points.astype(int), 0, SIDE - 1)
    return field[cell[:, 1], cell[:, 0]]


def build(landmarks: np.ndarray, width: float, alpha: np.ndarray, back_origin: tuple[float, float]) -> Surround:
    """The surround of a face. `landmarks` [478, 3] with final depth, `width` the face's, `alpha` [SIDE, SIDE] of the figure,
    `back_origin` where the shell's half-size texture lies in the atlas."""
    oval = landmarks[OVAL].astype(np.float32)
    outline_xy = oval[:, :2] + PAD
    face_mask = face_area(landmarks, SIDE, PAD)
    firm = cv2.erode((alpha > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) | face_mask
    firm = _largest(firm)
    contour = _outline(firm)
    near_face = cv2.dilate(face_mask.astype(np.uint8), np.ones((17, 17), np.uint8)).astype(bool)
    visible = cv2.dilate((alpha > 0.01).astype(np.uint8), np.ones((19, 19), np.uint8)).astype(bool)
    inside = cv2.erode(firm.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    outside = visible & ~cv2.dilate(firm.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    keep = ~near_face[contour[:, 1].astype(int).clip(0, SIDE - 1), contour[:, 0].astype(int).clip(0, SIDE - 1)]
    around = np.concatenate([contour[keep], _grid(inside & ~near_face, STEP), _grid(outside & ~near_face, STEP)])
    points = np.concatenate([outline_xy, around]).astype(np.float32)
    triangles = Delaunay(points).simplices
    centre = points[triangles].mean(axis=1)
    cell = np.clip(centre.astype(int), 0, SIDE - 1)
    longest = np.linalg.norm(points[triangles] - points[triangles[:, [1, 2, 0]]], axis=2).max(axis=1)
    is_face = (triangles < len(OVAL)).all(axis=1) & np.array(
        [cv2.pointPolygonTest(outline_xy, (float(x), float(y)), False) >= 0 for x, y in centre]
    )
    triangles = triangles[~is_face & visible[cell[:, 1], cell[:, 0]] & (longest < 6 * STEP)]
    z = _front_depth(points, landmarks, width, firm, contour)
    z[: len(OVAL)] = oval[:, 2]
    distance = np.linalg.norm(points[:, None] - outline_xy[None], axis=2)
    follow = 1.0 / (distance**2 + 9.0)
    follow *= (np.exp(-distance.min(axis=1) / (0.22 * width)) / follow.sum(axis=1))[:, None]
    follow[: len(OVAL)] = np.eye(len(OVAL))
    placed = np.column_stack([points - PAD, z]).astype(np.float32)
    front = Sheet(placed, points, wound(placed, triangles), np.ones(len(points), np.float32))
    back = _back(landmarks, width, firm, contour, back_origin)
    return Surround(front, back, follow.astype(np.float32))


def _nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[N] the index of the nearest of `targets` [M, 2] to each of `points` [N, 2]."""
    return np.asarray(KDTree(targets).query(points)[1])


def _largest(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: the largest connected part of `mask` [H, W] bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if count > 1 else mask


def _outline_depth(points: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] depth of the figure's outline beside each of `points` [N, 2]: the head's middle, and further back for the shoulders.
    `landmarks` [478, 3], `width` the face's, both in crop pixels."""
    head = float(landmarks[CHEEKS, 2].mean()) + SIDE_DEPTH * width
    below = smooth((points[:, 1] - PAD - landmarks[CHIN, 1]) / (0.5 * width))
    return head + below * 0.12 * width


def _front_depth(
    points: np.ndarray, landmarks: np.ndarray, width: float, firm: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """[N] depth of the front sheet at `points` [N, 2] (continued-crop pixels): the face's at its border, rounded back to the outline
    `contour` [M, 2] of the figure `firm` [SIDE, SIDE] bool. `landmarks` [478, 3], `width` the face's."""
    border = _face_border(landmarks)
    distance = np.linalg.norm(points[:, None] - (border[None, :, :2] + PAD), axis=2)
    weight = 1.0 / (distance**2 + 16.0) ** 1.5
    weight /= weight.sum(axis=1, keepdims=True)
    from_face = _distance(~face_area(landmarks, SIDE, PAD), points)
    face_z, face_y = weight @ border[:, 2], weight @ border[:, 1]
    to_edge = _distance(firm, points)
    t = from_face / np.maximum(from_face + to_edge, 1e-3)
    t = np.where(to_edge <= 0, 1.0, t)
    round_off = 0.55 * (1.0 - np.sqrt(np.maximum(1.0 - t * t, 0.0))) + 0.45 * t * t
    edge_z = np.minimum(np.maximum(_outline_depth(points, landmarks, width), face_z), face_z + STEEPEST * from_face)
    middle_y = 0.5 * (landmarks[CHIN, 1] + landmarks[FOREHEAD, 1])
    jaw = smooth((face_y - middle_y) / (landmarks[CHIN, 1] - middle_y)) * smooth(from_face / (0.30 * width))
    neck_z = float(landmarks[CHEEKS, 2].mean()) - 0.12 * width
    base = face_z + jaw * np.maximum(neck_z - face_z, 0.0)
    z = base + round_off * np.maximum(edge_z - base, 0.0)
    if len(points) > len(contour):  # the fringe hangs on the outline, level with it
        outside = np.flatnonzero(to_edge <= 0)
        rim = _front_depth(contour, landmarks, width, firm, contour)
        z[outside] = rim[_nearest(points[outside], contour)]
    return z


def _back(
    landmarks: np.ndarray,
    width: float,
    firm: np.ndarray,
    contour: np.ndarray,
    origin: tuple[float, float],
) -> Sheet:
    """The shell: the figure `firm` [SIDE, SIDE] bool once more, bulging away from the viewer, wound to be seen from behind and the
    sides. `contour` [M, 2] is its outline, `origin` where its half-size texture lies in the atlas."""
    within = cv2.erode(firm.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    points = np.concatenate([contour, _grid(within, 1.5 * STEP)]).astype(np.float32)
    triangles = Delaunay(points).simplices
    cell = np.clip(points[triangles].mean(axis=1).astype(int), 0, SIDE - 1)
    triangles = triangles[firm[cell[:, 1], cell[:, 0]]]
    d = np.clip(_distance(firm, points) / (0.45 * width), 0.0, 1.0)
    d[: len(contour)] = 0.0
    rim_z, forward = _rim_depth(landmarks, width, firm, contour)
    rim = rim_z[_nearest(points, contour)]
    rear = _outline_depth(points, landmarks, width) + BACK_DEPTH * width
    z = rim + np.maximum(rear - rim, 0.0) * np.sqrt(np.maximum(1.0 - (1.0 - d) ** 2, 0.0))
    lip, lip_z, lip_triangles = _lip(contour, rim_z - forward, len(points))
    placed = np.column_stack([points - PAD, z]).astype(np.float32)
    wall = wound(placed, triangles)[:, ::-1]
    placed = np.concatenate([placed, np.column_stack([lip - PAD, lip_z]).astype(np.float32)])
    uv = (placed[:, :2] + PAD) * 0.5 + np.asarray(origin, np.float32)
    light = np.concatenate([0.85 - 0.4 * smooth(1.6 * d), np.full(len(lip), 0.85)]).astype(np.float32)
    every = np.concatenate([wall, wound(placed, lip_triangles)])
    return Sheet(placed, uv.astype(np.float32), every, light, culled=True)


def _lip(contour: np.ndarray, lip_z: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A band that reaches from the shell's rim, `contour` [M, 2], forward to `lip_z` [M] under the figure's front, so that nobody
    looks between the two:
    (places [M, 2], depths [M], triangles [2 M, 3] into the contour's points, the band's beginning at `first`)."""
    along = np.roll(contour, -1, axis=0) - np.roll(contour, 1, axis=0)
    x, y = contour.T
    clockwise = float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) > 0
    inward = np.stack([-along[:, 1], along[:, 0]], axis=1) * (1.0 if clockwise else -1.0)
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-3)
    i = np.arange(len(contour))
    j = np.roll(i, -1)
    triangles = np.concatenate([np.stack([i, j, first + j], axis=1), np.stack([i, first + j, first + i], axis=1)])
    return contour + LIP_INWARD * inward, lip_z, triangles


def _rim_depth(
    landmarks: np.ndarray, width: float, firm: np.ndarray, contour: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[M] depth where the shell begins at `contour` [M, 2]: level with the outline, but never in front of the face's own rim, whose
    points are sparser. And [M] by how much its lip may come forward from there: the face is steep at its rim, an ear or a shoulder
    is not."""
    rim = _front_depth(contour, landmarks, width, firm, contour) + 0.5
    border = _face_border(landmarks)
    distance, near = KDTree(border[:, :2] + PAD).query(contour, k=3)
    beside_face = np.asarray(distance)[:, 0] < 0.08 * width
    behind = np.where(beside_face, np.maximum(rim, border[np.asarray(near), 2].max(axis=1) + 1.0), rim)
    on_face = _distance(~face_area(landmarks, SIDE, PAD), contour) < 3.0
    return behind, np.where(on_face, LIP_FORWARD, -1.5)


def still_weight(y: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] float32: how much a point at height `y` [N] (crop pixels) takes part in the head's turning: 1 on the head, 0 on the torso,
    smooth down the neck. `landmarks` [478, 3], `width` the face's."""
    chin = landmarks[CHIN, 1]
    begin, end = chin - 0.02 * width, min(chin + 0.5 * width, CROP + 20.0)
    return (1.0 - smooth((y - begin) / max(end - begin, 0.15 * width))).astype(np.float32)
