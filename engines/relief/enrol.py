"""Enrol: everything that depends on the portrait alone: a matted texture atlas, a mesh at rest and how its points move."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from engines.contract import FaceObservation, PortraitRejected
from engines.relief import eyes, figure, mouth, texture
from engines.relief.surface import Mesh, Sheet, joined
from engines.relief.topology import CHEEKS, CHIN, EYES, NOSE_TIP, OVAL, POINTS, face_triangles

DEPTH_TO_WIDTH = 0.96
"""Nose tip to cheek edge, as a share of the face's width, that makes a face look turned by as much as it is.

MediaPipe's own landmarks have 0.68..0.74, which looks flat; chosen by running FaceMesh on the views (tests/test_relief.py)."""

STEEP_SHARE, SIDE_SHARE = 0.30, 0.55
"""The sides of the face, less than the first (in face widths) before the cheeks' edge, recede by the second only: a frontal photo
has a handful of pixels for them, which would be drawn out to streaks."""

AXIS_SHARE = 0.55
"The views' axis lies this far from the nose tip towards the cheeks' edge: that depth lies on the plane of the glass."

SMALLEST_FACE = 60.0
"Crop pixels between the cheeks below which a crop is not in the framing that was agreed on."


@dataclass(frozen=True)
class Parts:
    """Where each part's points lie in the mesh."""

    face: slice
    "478 landmarks, then the lips' 22 inner points."
    around: slice
    back: slice
    balls: tuple[slice, slice]
    irises: tuple[slice, slice]
    mouth: slice


@dataclass(frozen=True)
class ReliefAvatar:
    """One enrolled portrait."""

    mesh: Mesh
    parts: Parts
    atlas: np.ndarray
    "[H, SIDE, 4] uint8."
    landmarks: np.ndarray
    "[478, 3] float32 crop pixels with final depth: the face at rest."
    shape: np.ndarray
    "[478, 3] float32: the portrait's face in canonical centimetres."
    to_crop: np.ndarray
    "[3, 3] float32: canonical centimetres to crop pixels, as the portrait's head is turned."
    width: float
    "Distance between the cheeks in crop pixels."
    yaw: float
    "Radians by which the portrait's own head is turned."
    pivot: np.ndarray
    "[3] what the head turns about."
    axis: tuple[float, float]
    "x and z of what the views turn about, crop pixels."
    turning: np.ndarray
    "[N] float32: 1 turns with the head, 0 stays with the torso."
    follow: np.ndarray
    "[Na, 36] float32: how the surround follows the OVAL."
    jaw: np.ndarray
    "[Nm] float32: how the mouth's inside follows the jaw."
    mouth_depth: np.ndarray
    "[Nm] float32 centimetres."
    slants: tuple[np.ndarray, np.ndarray]
    scaled: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    "The atlas at each tile scale it has been asked for, made when first asked (filled by render)."


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3] scale times rotation that best carries `source` [N, 3] onto `target` [N, 3] (Umeyama 1991), shift left out."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return ((s * np.diag(flip)).sum() / (a**2).sum() * (u @ flip @ vt)).astype(np.float32)


def deepened(landmarks: np.ndarray) -> np.ndarray:
    """The landmarks with depth brought to a real face's."""
    out = landmarks.astype(np.float32).copy()
    width = float(np.linalg.norm(out[CHEEKS[1]] - out[CHEEKS[0]]))
    depth = float(np.linalg.norm(out[NOSE_TIP] - out[CHEEKS].mean(axis=0)))
    factor = np.clip(DEPTH_TO_WIDTH * width / max(depth, 1.0), 1.0, 2.0)
    z = (out[:, 2] - out[CHEEKS, 2].mean()) * factor
    steep = -STEEP_SHARE * width
    out[:, 2] = np.where(z > steep, steep + SIDE_SHARE * (z - steep), z)
    return out


def enrol(portrait: FaceObservation) -> ReliefAvatar:
    """The portrait's avatar. Raises PortraitRejected where there is no picture, no matte or no face of the agreed size."""
    if portrait.crop is None or portrait.matte is None:
        raise PortraitRejected("no_picture", "the portrait came without its picture or its matte; enrol needs both")
    if not np.isfinite(portrait.landmarks).all():
        raise PortraitRejected("no_face", "no face could be measured in this picture; use one that shows a whole face")
    landmarks = deepened(portrait.landmarks)
    width = float(np.linalg.norm(landmarks[CHEEKS[1]] - landmarks[CHEEKS[0]]))
    if width < SMALLEST_FACE:
        raise PortraitRejected("face_too_small", "the face is too small in this picture; use one where it is larger")
    colours, alpha = texture.cut_out(portrait.crop, portrait.matte, _face_mask(portrait.landmarks))
    picture, solid, wide_alpha = texture.continued(colours, alpha)
    skin = _skin(portrait.crop, portrait.landmarks)
    atlas = texture.Atlas()
    _add_whole(atlas, picture, wide_alpha)
    half = cv2.resize(cv2.GaussianBlur(picture, (0, 0), 11.0), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    back_at = atlas.add(texture.rgba(half, cv2.resize(texture.shell_alpha(solid, wide_alpha), half.shape[1::-1])))
    to_crop = similarity(portrait.shape, portrait.landmarks)
    basis = to_crop @ np.diag([1.0, -1.0, -1.0]).astype(np.float32)
    basis[2] *= (landmarks[NOSE_TIP, 2] - landmarks[CHEEKS, 2].mean()) / min(
        float(portrait.landmarks[NOSE_TIP, 2] - portrait.landmarks[CHEEKS, 2].mean()), -1.0
    )
    axes = mouth.Axes((landmarks[13] + landmarks[14]) / 2, basis)
    open_cm = float(portrait.shape[13, 1] - portrait.shape[14, 1])
    surround = figure.build(landmarks, width, solid, back_at)
    balls = [eyes.build(e, landmarks, width, picture, atlas, skin) for e in EYES]
    inside = mouth.build(landmarks, axes, open_cm, picture, atlas, skin)
    face = _face(landmarks, axes)
    merged, around = _with_surround(face, surround.front)
    sheets = [surround.back, *inside.sheets, balls[0].ball, balls[1].ball, balls[0].iris, balls[1].iris, merged]
    mesh, places = joined(sheets)
    n_mouth = len(inside.sheets)
    whole = places[-1]
    parts = Parts(
        face=slice(whole.start, whole.start + len(face.points)),
        around=slice(whole.start + len(face.points), whole.stop),
        back=places[0],
        mouth=slice(places[1].start, places[n_mouth].stop),
        balls=(places[n_mouth + 1], places[n_mouth + 2]),
        irises=(places[n_mouth + 3], places[n_mouth + 4]),
    )
    turning = figure.still_weight(mesh.points[:, 1], landmarks, width)
    turning[parts.face] = 1.0
    for part in (parts.mouth, *parts.balls, *parts.irises):
        turning[part] = 1.0
    cheeks = landmarks[CHEEKS].mean(axis=0)
    pivot = np.array([cheeks[0], landmarks[CHIN, 1] + 0.02 * width, cheeks[2] + 0.08 * width], np.float32)
    nose = float(landmarks[NOSE_TIP, 2])
    rotation = portrait.head_rotation
    return ReliefAvatar(
        mesh=mesh,
        parts=parts,
        atlas=atlas.picture(),
        landmarks=landmarks,
        shape=portrait.shape.astype(np.float32),
        to_crop=np.diag([1.0, 1.0, basis[2, 2] / (to_crop @ np.diag([1.0, -1.0, -1.0]))[2, 2]]).astype(np.float32)
        @ to_crop,
        width=width,
        yaw=float(np.arctan2(rotation[0, 2], rotation[2, 2])),
        pivot=pivot,
        axis=(texture.CROP / 2, nose + AXIS_SHARE * (float(cheeks[2]) - nose)),
        turning=turning,
        follow=surround.follow_front[len(OVAL) :][around],
        jaw=np.concatenate(inside.jaw),
        mouth_depth=np.concatenate(inside.depth_cm),
        slants=(balls[0].slant, balls[1].slant),
    )


def _face_mask(landmarks: np.ndarray) -> np.ndarray:
    """[512, 512] float32: 1 where the face's mesh lies, with a soft rim outside it."""
    inside = cv2.dilate(figure.face_area(landmarks, texture.CROP, 0.0).astype(np.float32), np.ones((5, 5), np.uint8))
    return np.clip(cv2.GaussianBlur(inside, (0, 0), 1.0), 0.0, 1.0)


def _skin(crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[3] the middle colour of cheeks, nose and forehead."""
    places = landmarks[[50, 280, 205, 425, 151, 4, 117, 346], :2].astype(int).clip(2, texture.CROP - 3)
    patches = np.concatenate([crop[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for x, y in places])
    return np.median(patches, axis=0).astype(np.float32)


def _add_whole(atlas: texture.Atlas, picture: np.ndarray, alpha: np.ndarray) -> None:
    """The continued crop itself, without a gutter, so that its pixels keep their places."""
    atlas.panels.append((0, 0, texture.rgba(picture, alpha)))
    atlas._shelf[:] = [0, texture.SIDE, 0]


def _face(landmarks: np.ndarray, axes: mouth.Axes) -> Sheet:
    rims, rim_texture, _, rim_triangles = mouth.lip_rims(landmarks, axes)
    points = np.concatenate([landmarks, rims.reshape(-1, 3)])
    uv = np.concatenate([landmarks[:, :2], rim_texture.reshape(-1, 2)]) + texture.PAD
    light = np.ones(len(points), np.float32)
    light[POINTS:] = 0.30
    return Sheet(points, uv, np.concatenate([face_triangles(), rim_triangles]), light)


def _with_surround(face: Sheet, front: Sheet) -> tuple[Sheet, np.ndarray]:
    """Face and surround as one sheet that shares the OVAL, and which of the surround's points (after the OVAL) it took."""
    n = len(front.points) - len(OVAL)
    renamed = np.concatenate([OVAL, len(face.points) + np.arange(n)])
    sheet = Sheet(
        np.concatenate([face.points, front.points[len(OVAL) :]]),
        np.concatenate([face.uv, front.uv[len(OVAL) :]]),
        np.concatenate([face.triangles, renamed[front.triangles]]).astype(np.int32),
        np.concatenate([face.light, front.light[len(OVAL) :]]),
        culled=True,
    )
    return sheet, np.arange(n)
