"""Enrol: a head from one portrait: its landmarks say who in the span of heads learnt from, its matte how far out, its picture the colours.

A photo has no scale and hardly any depth: what is not seen is the prior's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from display import optics
from engines.contract import CROP, FaceObservation, PortraitRejected
from engines.geometry.shapes import sizes
from engines.parametric import colouring, outline, points, posing, shaping
from engines.parametric.architecture import MILLIMETRES
from engines.parametric.baking import Baked, bake, displacements
from engines.parametric.head import HeadModel
from engines.raster import fan, textured

Progress = Callable[[str, int, int], None]
"Told (what is being done, steps done, of how many)."

SMALLEST_FACE = 60.0
"Crop pixels between the eyes' outer corners and the chin below which a crop is not in the framing that was agreed on."
WORST = 25.0
"Root mean square of pixels by which landmarks may be missed; above it, what was seen is no face."
NECK, STILL = -0.30, -0.46
"Canonical heights above which the neck turns with the head, and below which it does not."
PIVOT = (0.0, -0.30, 0.0)
"Canonical place that the head turns about."
LIP_DEPTH, LIP_HEIGHT, MOUTH_DEPTH = 2.5, 28.0, 70.0
"Millimetres behind what the front shows where the mouth's inside begins; of its height about the lips; and of its depth."
ROW = 0.02
"Canonical height of a row of triangles: three pixels of a tile."


@dataclass(frozen=True)
class ParametricAvatar:
    """One enrolled portrait."""

    vertices: np.ndarray
    "[N, 3] float32 canonical: the head at rest with its mouth shut."
    triangles: np.ndarray
    "[T, 3] int32, counter-clockwise from outside."
    baked: Baked
    landmarks: np.ndarray
    "[L, 3] float32 canonical, at rest."
    indices: tuple[int, ...]
    "Of MediaPipe's points, those that the landmarks are."
    width: float
    "Between the cheeks' edges, canonical."
    coloured: colouring.Coloured
    light: np.ndarray
    "[N] float32."
    turning: np.ndarray
    "[N] float32: 1 turns with the head, 0 stays with the torso."
    scale: float
    "World units of a canonical unit."
    rotation: np.ndarray
    "[3, 3] from canonical to world axes, at rest."
    shift: np.ndarray
    "[3] world."
    off: float
    "Crop pixels by which the portrait's landmarks are missed, root mean square."
    z_id: np.ndarray
    "[Z] who it is."
    mouth_seen: bool = True
    "Whether the portrait shows a mouth, which may then open."

    @cached_property
    def look(self) -> np.ndarray:
        """[N, 8] float32, as fan.draw takes it."""
        return fan.look(self.coloured.uv, self.coloured.colours, self.light)

    @cached_property
    def drawn(self) -> np.ndarray:
        """[T, 3] int32: the triangles row by row, so that those drawn one after another are near each other in the pictures."""
        middle = self.vertices[self.triangles].mean(1)
        return np.ascontiguousarray(self.triangles[np.lexsort((middle[:, 0], np.round(middle[:, 1] / ROW)))], np.int32)

    @cached_property
    def world_shapes(self) -> np.ndarray:
        """[n, N, 3] float32 world: what drive() mixes."""
        return (self.scale * self.baked.shapes @ self.rotation.T).astype(np.float32)

    @cached_property
    def world_sizes(self) -> np.ndarray:
        """[n] float32 of `world_shapes`."""
        return sizes(self.world_shapes)

    def to_world(self, places: np.ndarray) -> np.ndarray:
        """[N, 3] float32 world, of canonical `places` [N, 3], at rest."""
        return (self.scale * places @ self.rotation.T + self.shift).astype(np.float32)


@torch.no_grad()
def enrol(
    model: HeadModel, portrait: FaceObservation, side: int = shaping.SIDE, progress: Progress = lambda *_: None
) -> ParametricAvatar:
    """The portrait's avatar. Raises PortraitRejected where there is no picture, no matte or no face that a head fits."""
    crop, matte = _required(portrait)
    posed = posing.fit(model, portrait.landmarks, portrait.pose)
    if not posed.off < WORST:
        raise PortraitRejected(
            "no_face", "no head fits the face in this picture; use one that shows a whole face from the front"
        )
    progress("the head's outline", 0, 1)
    posed = outline.fit(model, posed, portrait.landmarks, portrait.pose, matte)
    z = model.z(torch.from_numpy(posed.padded(len(model.basis))).float()[None])
    vertices, triangles, _ = shaping.shape(
        model.distance(z), side, lambda done, of: progress("the head's surface", done, of)
    )
    marks = model.landmarks_of(z)[0].numpy()
    progress("its expressions", 0, 1)
    baked = bake(model, z, vertices, marks)
    mouth = _within_lips(vertices + baked.shut, triangles, marks, model.landmark_indices)
    progress("its colours", 0, 1)
    coloured = _coloured(model, posed, z, vertices, triangles, mouth, portrait, crop, matte)
    number = {index: k for k, index in enumerate(model.landmark_indices)}
    progress("done", 1, 1)
    return ParametricAvatar(
        vertices=vertices + baked.shut,
        triangles=triangles,
        baked=baked,
        landmarks=marks,
        indices=model.landmark_indices,
        width=float(np.linalg.norm(marks[number[points.JAW[0]]] - marks[number[points.JAW[7]]])),
        coloured=coloured,
        light=_light(vertices, triangles, coloured),
        turning=np.clip((vertices[:, 1] - STILL) / (NECK - STILL), 0, 1).astype(np.float32),
        scale=posed.scale,
        rotation=posed.rotation,
        shift=posed.shift,
        off=posed.off,
        z_id=z[0].numpy(),
        mouth_seen=portrait.mouth_seen,
    )


def _required(portrait: FaceObservation) -> tuple[np.ndarray, np.ndarray]:
    """Crop [H, W, 3] uint8 and matte [H, W]. Raises PortraitRejected."""
    if portrait.crop is None or portrait.matte is None:
        raise PortraitRejected("no_picture", "the portrait came without its picture or its matte; enrol needs both")
    if not np.isfinite(portrait.landmarks).all() or not np.isfinite(portrait.pose).all():
        raise PortraitRejected("no_face", "no face could be measured in this picture; use one that shows a whole face")
    if np.linalg.norm(portrait.landmarks[152, :2] - portrait.landmarks[[33, 263], :2].mean(0)) < SMALLEST_FACE:
        raise PortraitRejected("face_too_small", "the face is too small in this picture; use one where it is larger")
    return portrait.crop, portrait.matte


def _within_lips(shut: np.ndarray, triangles: np.ndarray, marks: np.ndarray, indices: tuple[int, ...]) -> np.ndarray:
    """[N] bool: vertices of the mouth's inside: of the head with its mouth shut, those about the lips that they hide from the front."""
    ring = marks[[indices.index(k) for k in points.LIPS_INNER]]
    low, high = ring.min(0), ring.max(0)
    lens = optics.intrinsics() * np.array([[0.45, 0.45, 1]], np.float32)  # a head in canonical units fills a picture
    places = textured.project(shut + optics.LOOK_AT, optics.orbit(0), lens, CROP, CROP)
    x, y = (np.clip(places[:, k].astype(int), 0, CROP - 1) for k in range(2))
    hidden = places[:, 2] > colouring.depth_of(places, triangles)[y, x] + LIP_DEPTH / MILLIMETRES
    across = (shut[:, 0] > low[0]) & (shut[:, 0] < high[0])
    near = np.abs(shut[:, 1] - ring[:, 1].mean()) < LIP_HEIGHT / MILLIMETRES
    return hidden & across & near & (shut[:, 2] > high[2] - MOUTH_DEPTH / MILLIMETRES)


def _coloured(
    model: HeadModel,
    posed: posing.Posed,
    z: torch.Tensor,
    vertices: np.ndarray,
    triangles: np.ndarray,
    mouth: np.ndarray,
    portrait: FaceObservation,
    crop: np.ndarray,
    matte: np.ndarray,
) -> colouring.Coloured:
    """Of vertices [N, 3] canonical with their expression put on; `mouth` [N] bool, crop [CROP, CROP, 3], matte [CROP, CROP]."""
    from scipy.spatial import KDTree

    code = torch.from_numpy(posed.expression).float()[None]
    shown = vertices + displacements(model, z, torch.from_numpy(vertices), code)[0]
    world = posed.to_world(shown).astype(np.float32)
    mirrored = np.asarray(KDTree(vertices).query(vertices * [-1, 1, 1])[1])
    facing = shaping.normals(world, triangles)
    assert crop.shape[:2] == (CROP, CROP), crop.shape
    return colouring.colour(world, facing, triangles, mirrored, mouth, portrait.pose, crop, matte)


def _light(vertices: np.ndarray, triangles: np.ndarray, coloured: colouring.Coloured) -> np.ndarray:
    """[N] float32: a photo's own light where it is shown; elsewhere a little less from below, so that the shape can be read."""
    facing = shaping.normals(vertices, triangles)
    shaded = np.clip(0.82 + 0.18 * facing @ np.array([0.0, 0.8, 0.6]), 0.6, 1.0)
    share = coloured.colours[:, 3]
    return (share + (1 - share) * shaded).astype(np.float32)
