"""Figure: the body and hair mesh: everything of the portrait around the face (ears, neck and shoulders too).

The face's outline is kept, the rest is rounded back from it to the figure's outline, and a soft fringe hangs on that outline.
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

STEP = 18.0
"Distance in crop pixels between the surround's points."

STEEPEST = 1.6
"The side of the head recedes at most this much per pixel from the face's outline: beyond, a photo has no colours to show."

SIDE_DEPTH = 0.05
"How far behind the cheeks' edge the head's outline lies, in face widths."
DOME = 2.6
"How square a head is from the forehead to its top (an ellipse: 2): no view looks along it, so it may be as steep as a skull is."


@dataclass(frozen=True)
class Surround:
    """The mesh around the face, and how its points follow it."""

    front: Sheet
    "Its first 36 points are the face's OVAL; the face's own triangles are not in it."
    follow: np.ndarray
    "[Nf - 36, 36] float32: how much each of its other points follows each OVAL point's movement."
    firm: np.ndarray
    "[SIDE, SIDE] bool: where the figure is opaque."


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


def face_border(landmarks: np.ndarray) -> np.ndarray:
    """[M, 3] crop pixels: those of `landmarks` [478, 3] at the rim of the face as the picture shows it: its OVAL, or the fold
    beyond which it turns away."""
    area = face_area(landmarks, SIDE, PAD)
    return landmarks[:468][depth_within(area, landmarks[:468, :2] + PAD) < 6.0]


def outline(inner: np.ndarray) -> np.ndarray:
    """[M, 2] float32 points round the figure's firm part `inner` [SIDE, SIDE] bool, about STEP apart (continued-crop pixels)."""
    found, _ = cv2.findContours(inner.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = max(found, key=cv2.contourArea)[:, 0].astype(np.float32) + 0.5
    return points[:: max(int(STEP * 0.6), 1)]


def grid(mask: np.ndarray, step: float) -> np.ndarray:
    """[K, 2] float32 points of a triangular grid, `step` pixels apart, that lie in `mask` [SIDE, SIDE] bool."""
    ys = np.arange(step / 2, SIDE, step * 0.87)
    rows = [np.stack([np.arange((j % 2) * step / 2, SIDE, step), np.full(len(np.arange((j % 2) * step / 2, SIDE, step)), y)], 1)
            for j, y in enumerate(ys)]  # fmt: skip
    points = np.concatenate(rows).astype(np.float32)
    cell = np.minimum(points.astype(int), SIDE - 1)
    return points[mask[cell[:, 1], cell[:, 0]]]


def depth_within(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] float32: how many pixels each of `points` [N, 2] lies inside `mask` [SIDE, SIDE] bool; 0 outside."""
    field = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    cell = np.clip(points.astype(int), 0, SIDE - 1)
    return field[cell[:, 1], cell[:, 0]]


def build(landmarks: np.ndarray, width: float, alpha: np.ndarray) -> Surround:
    """The surround of a face. `landmarks` [478, 3] with final depth, `width` the face's, `alpha` [SIDE, SIDE] of the figure."""
    oval = landmarks[OVAL].astype(np.float32)
    outline_xy = oval[:, :2] + PAD
    face_mask = face_area(landmarks, SIDE, PAD)
    firm = cv2.erode((alpha > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) | face_mask
    firm = largest(firm)
    contour = outline(firm)
    near_face = cv2.dilate(face_mask.astype(np.uint8), np.ones((17, 17), np.uint8)).astype(bool)
    visible = cv2.dilate((alpha > 0.01).astype(np.uint8), np.ones((19, 19), np.uint8)).astype(bool)
    inside = cv2.erode(firm.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    outside = visible & ~cv2.dilate(firm.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    keep = ~near_face[contour[:, 1].astype(int).clip(0, SIDE - 1), contour[:, 0].astype(int).clip(0, SIDE - 1)]
    around = np.concatenate([contour[keep], grid(inside & ~near_face, STEP), grid(outside & ~near_face, STEP)])
    points = np.concatenate([outline_xy, around]).astype(np.float32)
    triangles = Delaunay(points).simplices
    centre = points[triangles].mean(axis=1)
    cell = np.clip(centre.astype(int), 0, SIDE - 1)
    longest = np.linalg.norm(points[triangles] - points[triangles[:, [1, 2, 0]]], axis=2).max(axis=1)
    is_face = (triangles < len(OVAL)).all(axis=1) & np.array(
        [cv2.pointPolygonTest(outline_xy, (float(x), float(y)), False) >= 0 for x, y in centre]
    )
    triangles = triangles[~is_face & visible[cell[:, 1], cell[:, 0]] & (longest < 6 * STEP)]
    z = front_depth(points, landmarks, width, firm, contour)
    z[: len(OVAL)] = oval[:, 2]
    placed = np.column_stack([points - PAD, z]).astype(np.float32)
    front = Sheet(placed, points, wound(placed, triangles), np.ones(len(points), np.float32))
    return Surround(front, followed(placed[len(OVAL) :], oval, width), firm)


def followed(points: np.ndarray, oval: np.ndarray, width: float) -> np.ndarray:
    """[N, 36] float32: how much each of `points` [N, 2 or 3] moves with each point of the face's `oval` [36, 3], crop pixels: with the
    nearest most, and ever less further out; `width` is the face's."""
    distance = np.linalg.norm(points[:, None, :2] - oval[None, :, :2], axis=2)
    follow = 1.0 / (distance**2 + 9.0)
    follow *= (np.exp(-distance.min(axis=1) / (0.22 * width)) / follow.sum(axis=1))[:, None]
    return follow.astype(np.float32)


def nearest(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """[N] the index of the nearest of `targets` [M, 2] to each of `points` [N, 2]."""
    return np.asarray(KDTree(targets).query(points)[1])


def largest(mask: np.ndarray) -> np.ndarray:
    """[H, W] bool: the largest connected part of `mask` [H, W] bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if count > 1 else mask


def outline_depth(points: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] depth of the figure's outline beside each of `points` [N, 2]: the head's middle, and further back for the shoulders.
    `landmarks` [478, 3], `width` the face's, both in crop pixels."""
    head = float(landmarks[CHEEKS, 2].mean()) + SIDE_DEPTH * width
    below = smooth((points[:, 1] - PAD - landmarks[CHIN, 1]) / (0.5 * width))
    return head + below * 0.12 * width


def front_depth(
    points: np.ndarray, landmarks: np.ndarray, width: float, firm: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """[N] depth of the front sheet at `points` [N, 2] (continued-crop pixels): the face's at its border, rounded back to the outline
    `contour` [M, 2] of the figure `firm` [SIDE, SIDE] bool. `landmarks` [478, 3], `width` the face's."""
    border = face_border(landmarks)
    distance = np.linalg.norm(points[:, None] - (border[None, :, :2] + PAD), axis=2)
    weight = 1.0 / (distance**2 + 16.0) ** 1.5
    weight /= weight.sum(axis=1, keepdims=True)
    from_face = depth_within(~face_area(landmarks, SIDE, PAD), points)
    (face_x, face_y), face_z = weight.dot(border[:, :2]).T, weight @ border[:, 2]
    to_edge = depth_within(firm, points)
    t = from_face / np.maximum(from_face + to_edge, 1e-3)
    t = np.where(to_edge <= 0, 1.0, t)
    round_off = 0.55 * (1.0 - np.sqrt(np.maximum(1.0 - t * t, 0.0))) + 0.45 * t * t
    rise = np.maximum(face_y + PAD - points[:, 1], 0.0)
    upright = rise**2 / np.maximum(rise**2 + (points[:, 0] - face_x - PAD) ** 2, 1.0)
    round_off += upright * (1.0 - np.maximum(1.0 - t**DOME, 0.0) ** (1.0 / DOME) - round_off)
    edge_z = np.minimum(np.maximum(outline_depth(points, landmarks, width), face_z), face_z + STEEPEST * from_face)
    middle_y = 0.5 * (landmarks[CHIN, 1] + landmarks[FOREHEAD, 1])
    jaw = smooth((face_y - middle_y) / (landmarks[CHIN, 1] - middle_y)) * smooth(from_face / (0.30 * width))
    neck_z = float(landmarks[CHEEKS, 2].mean()) - 0.12 * width
    base = face_z + jaw * np.maximum(neck_z - face_z, 0.0)
    z = base + round_off * np.maximum(edge_z - base, 0.0)
    if len(points) > len(contour):  # the fringe hangs on the outline, level with it
        outside = np.flatnonzero(to_edge <= 0)
        rim = front_depth(contour, landmarks, width, firm, contour)
        z[outside] = rim[nearest(points[outside], contour)]
    return z


def still_weight(y: np.ndarray, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] float32: how much a point at height `y` [N] (crop pixels) takes part in the head's turning: 1 on the head, 0 on the torso,
    smooth down the neck. `landmarks` [478, 3], `width` the face's."""
    chin = landmarks[CHIN, 1]
    begin, end = chin - 0.02 * width, min(chin + 0.5 * width, CROP + 20.0)
    return (1.0 - smooth((y - begin) / max(end - begin, 0.15 * width))).astype(np.float32)
