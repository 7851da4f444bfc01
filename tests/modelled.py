"""Modelled: people drawn from the compact head, whose pose and expression are known because they were asked for.

A plaster head with painted lips, brows and irises: face trackers take it for a face.
"""

from __future__ import annotations

import cv2
import numpy as np

from engines.morphable.model import load
from engines.raster import textured
from engines.relief.topology import EYES, LOWER_LIP_INNER, LOWER_LIP_OUTER, UPPER_LIP_INNER, UPPER_LIP_OUTER

SIDE = 640
PER_CM = 24.0
BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
SKIN, LIPS, BROW, IRIS, PUPIL, WHITE, DARK, WALL = (
    (205, 165, 140), (165, 80, 80), (80, 60, 50), (90, 70, 50), (20, 15, 15), (225, 222, 218), (70, 25, 25), (120, 125, 130)
)  # fmt: skip


def turned(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """[3, 3] of degrees, as a puppet's gesture: positive turns the face to the picture's right, looks up, tilts counter-clockwise."""
    (cy, sy), (cx, sx), (cz, sz) = ((np.cos(a), np.sin(a)) for a in np.radians([yaw, -pitch, roll]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return about_y @ about_x @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])


def person(seed: int, **actions: float) -> np.ndarray:
    """[V, 3] canonical centimetres: a made-up person whose face does `actions`, by ARKit's names; those of both sides without a side."""
    head = load()
    identity = np.clip(np.random.default_rng(seed).normal(size=len(head.modes)), -2, 2)
    expression = np.zeros(len(head.actions))
    for name, share in actions.items():
        for side in ("", "Left", "Right"):
            if name + side in head.action_names:
                expression[head.action_names.index(name + side)] = share
    return head.vertices(identity, expression)


def picture(
    vertices: np.ndarray, turn: np.ndarray, distance: float | None = 90.0, skin: np.ndarray | None = None
) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8 RGB: a head turned by `turn`, seen from `distance` centimetres, or in parallel projection; its vertices have
    the colours `skin` [V, 3], or SKIN."""
    head = load()
    skin = np.tile(np.array(SKIN, np.float32), (len(vertices), 1)) if skin is None else skin
    shown, places = drawn(vertices, head.triangles, skin, turn, distance)
    _paint(shown, np.einsum("psc,ps->pc", places[head.corners], head.shares)[:, :2])
    return shown


def drawn(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    turn: np.ndarray,
    distance: float | None,
    light: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A picture [SIDE, SIDE, 3] of any head in centimetres whose vertices have `colours` [V, 3]; and where they are in it [V, 3],
    the last the distance in centimetres. Light falls from where the viewer is, unless each vertex has its own `light` [V]."""
    world = vertices @ turn.T
    nearer = np.ones(len(world)) if distance is None else distance / (distance - world[:, 2])
    across = world[:, :2] * [1, -1] * (PER_CM * nearer)[:, None] + SIDE / 2
    places = np.column_stack([across, 200 - world[:, 2]]).astype(np.float32)
    out = np.empty((SIDE, SIDE, 4), np.uint8)
    owner, depth = np.empty((SIDE, SIDE), np.int32), np.empty((SIDE, SIDE), np.float32)
    painted = np.column_stack([colours, np.zeros(len(world))]).astype(np.float32)
    uv, blank = np.zeros((len(world), 2), np.float32), np.zeros((2, 2, 3), np.uint8)
    light = lit(triangles, world) if light is None else light
    textured.draw(places, triangles, uv, painted, light, blank, owner, depth, out)
    shown = np.ascontiguousarray(out[..., :3])
    shown[owner < 0] = WALL
    return shown, places


def lit(triangles: np.ndarray, world: np.ndarray) -> np.ndarray:
    """[V] float32: the light on each vertex of a head that stands as `world` [V, 3] does."""
    corners = world[triangles]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(world)
    for k in range(3):
        np.add.at(normals, triangles[:, k], across)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return np.clip(0.3 + 0.75 * normals @ np.array([0.2, 0.35, 0.9]), 0.15, 1.1).astype(np.float32)


def _paint(shown: np.ndarray, at: np.ndarray) -> None:
    """Lips, eyes and brows on `shown`, whose 478 points lie `at` [478, 2]."""

    def fill(ring: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(shown, [(at[ring] * 16).round().astype(np.int32)], colour, lineType=cv2.LINE_AA, shift=4)

    fill(np.concatenate([UPPER_LIP_OUTER, UPPER_LIP_INNER[::-1]]), LIPS)
    fill(np.concatenate([LOWER_LIP_OUTER, LOWER_LIP_INNER[::-1]]), LIPS)
    fill(np.concatenate([UPPER_LIP_INNER, LOWER_LIP_INNER[::-1]]), DARK)
    for brow in BROWS:
        fill(np.array(brow), BROW)
    for eye in EYES:
        fill(eye.ring, WHITE)
        inside = cv2.fillPoly(np.zeros(shown.shape[:2], np.uint8), [at[eye.ring].round().astype(np.int32)], (1,)) > 0
        middle = tuple(int(v) for v in at[eye.ring].mean(axis=0).round())
        iris = shown.copy()
        cv2.circle(iris, middle, round(0.58 * PER_CM), IRIS, -1, cv2.LINE_AA)
        cv2.circle(iris, middle, round(0.2 * PER_CM), PUPIL, -1, cv2.LINE_AA)
        shown[inside] = iris[inside]
