"""Enrol: everything that depends on the portrait alone: a matted texture atlas, a mesh at rest and how its points move."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from engines.contract import FaceObservation, PortraitRejected
from engines.relief import eyes, figure, mouth, texture
from engines.relief.surface import Mesh, Sheet, joined
from engines.relief.topology import (
    CHEEKS,
    CHIN,
    EYES,
    LOWER_LIP_INNER,
    NOSE_TIP,
    OVAL,
    POINTS,
    UPPER_LIP_INNER,
    face_triangles,
)

DEPTH_TO_WIDTH = 0.96
"""Nose tip to cheek edge, as a share of the face's width, that makes a face look turned by as much as it is.

MediaPipe's own landmarks have 0.68..0.74, which looks flat; chosen by running FaceMesh on the views (tests/test_relief.py)."""

STEEP_SHARE, SIDE_SHARE = 0.30, 0.55
"""The sides of the face, less than the first (in face widths) before the cheeks' edge, recede by the second only: a frontal photo
has a handful of pixels for them, which would be drawn out to streaks."""

NOSE_SHARE, NOSE_KEPT = 0.62, 0.6
"What stands out further than the first (in face widths) is the nose: deepened like the rest it would be too long in profile."

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
    "How the depth of each iris follows its movement: dz/dx, dz/dy."
    fade: int
    "Crop pixels over which a picture that ends with the crop fades at its lower border."
    mouth_seen: bool
    "Whether the portrait shows a mouth, which may then open."
    scaled: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    "The atlas at each tile scale it has been asked for, made when first asked (filled by render)."


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3] scale times rotation that best carries `source` [N, 3] onto `target` [N, 3] (Umeyama 1991), shift left out."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return ((s * np.diag(flip)).sum() / (a**2).sum() * (u @ flip @ vt)).astype(np.float32)


def deepened(landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] in crop pixels, float32, with depth brought to a real face's."""
    out = landmarks.astype(np.float32).copy()
    width = float(np.linalg.norm(out[CHEEKS[1]] - out[CHEEKS[0]]))
    depth = float(np.linalg.norm(out[NOSE_TIP] - out[CHEEKS].mean(axis=0)))
    factor = np.clip(DEPTH_TO_WIDTH * width / max(depth, 1.0), 1.0, 2.0)
    z = (out[:, 2] - out[CHEEKS, 2].mean()) * factor
    steep = -STEEP_SHARE * width
    z = np.where(z > steep, steep + SIDE_SHARE * (z - steep), z)
    nose = -NOSE_SHARE * width
    out[:, 2] = np.where(z < nose, nose + NOSE_KEPT * (z - nose), z)
    return out


def enrol(portrait: FaceObservation) -> ReliefAvatar:
    """The portrait's avatar. Raises PortraitRejected where there is no picture, no matte or no face of the agreed size."""
    crop, matte = _required(portrait)
    portrait = portrait if portrait.mouth_seen else _shut(portrait)
    landmarks = deepened(portrait.landmarks)
    width = float(np.linalg.norm(landmarks[CHEEKS[1]] - landmarks[CHEEKS[0]]))
    if width < SMALLEST_FACE:
        raise PortraitRejected("face_too_small", "the face is too small in this picture; use one where it is larger")
    to_crop = similarity(portrait.shape, portrait.landmarks)
    to_crop[2] *= _depth_gain(portrait.landmarks, landmarks)
    colours, alpha = texture.cut_out(crop, matte, _face_mask(portrait.landmarks))
    picture, solid, faded = texture.continued(colours, alpha)
    skin = _skin(crop, portrait.landmarks)
    atlas = texture.Atlas()
    surround = figure.build(landmarks, width, solid, atlas.add(texture.shell(picture, solid, faded)))
    balls = tuple(eyes.build(eye, landmarks, width, picture, atlas, skin) for eye in EYES)
    axes = mouth.Axes((landmarks[13] + landmarks[14]) / 2, to_crop @ np.diag([1.0, -1.0, -1.0]))
    inside = mouth.build(landmarks, axes, float(portrait.shape[13, 1] - portrait.shape[14, 1]), picture, atlas, skin)
    face = _face(landmarks, axes)
    whole = _with_surround(face, surround.front)
    mesh, parts = _joined(surround.back, inside.sheets, balls, whole, len(face.points))
    cheeks, nose = landmarks[CHEEKS].mean(axis=0), float(landmarks[NOSE_TIP, 2])
    rotation = portrait.head_rotation
    return ReliefAvatar(
        mesh=mesh,
        parts=parts,
        atlas=atlas.picture(texture.rgba(texture.without_streaks(picture, whole), faded)),
        landmarks=landmarks,
        shape=portrait.shape.astype(np.float32),
        to_crop=to_crop,
        width=width,
        yaw=float(np.arctan2(rotation[0, 2], rotation[2, 2])),
        pivot=np.array([cheeks[0], landmarks[CHIN, 1] + 0.02 * width, cheeks[2] + 0.08 * width], np.float32),
        axis=(texture.CROP / 2, nose + AXIS_SHARE * (float(cheeks[2]) - nose)),
        turning=_turning(mesh, parts, landmarks, width),
        follow=surround.follow_front[len(OVAL) :],
        jaw=np.concatenate(inside.jaw),
        mouth_depth=np.concatenate(inside.depth_cm),
        slants=(balls[0].slant, balls[1].slant),
        fade=texture.fade_height(colours, alpha),
        mouth_seen=bool(portrait.mouth_seen),
    )


def _required(portrait: FaceObservation) -> tuple[np.ndarray, np.ndarray]:
    """Crop [H, W, 3] uint8 and matte [H, W]. Raises PortraitRejected."""
    if portrait.crop is None or portrait.matte is None:
        raise PortraitRejected("no_picture", "the portrait came without its picture or its matte; enrol needs both")
    if not np.isfinite(portrait.landmarks).all():
        raise PortraitRejected("no_face", "no face could be measured in this picture; use one that shows a whole face")
    return portrait.crop, portrait.matte


def _shut(portrait: FaceObservation) -> FaceObservation:
    """Without the slit that the landmark model leaves between lips which it only guesses: they overlap by a pixel."""
    landmarks, shape = portrait.landmarks.copy(), portrait.shape.copy()
    for points in (landmarks, shape):
        middle = (points[UPPER_LIP_INNER] + points[LOWER_LIP_INNER]) / 2
        points[UPPER_LIP_INNER], points[LOWER_LIP_INNER] = middle, middle
    landmarks[UPPER_LIP_INNER[1:-1], 1] += 0.5
    landmarks[LOWER_LIP_INNER[1:-1], 1] -= 0.5
    return replace(portrait, landmarks=landmarks, shape=shape)


def _depth_gain(before: np.ndarray, after: np.ndarray) -> float:
    """By how much `deepened` stretched the depth between the cheeks' edge and the lips, of landmarks [478, 3] each; 1..2."""
    lips_before, lips_after = (float(p[13, 2] - p[CHEEKS, 2].mean()) for p in (before, after))
    return float(np.clip(lips_after / min(lips_before, -1.0), 1.0, 2.0))


def _joined(
    back: Sheet, inside: list[Sheet], balls: tuple[eyes.Eye, ...], whole: Sheet, face_points: int
) -> tuple[Mesh, Parts]:
    """All sheets, back to front, and where each lies."""
    mesh, places = joined([back, *inside, *(eye.ball for eye in balls), *(eye.iris for eye in balls), whole])
    n = 1 + len(inside)
    face = places[-1]
    parts = Parts(
        face=slice(face.start, face.start + face_points),
        around=slice(face.start + face_points, face.stop),
        back=places[0],
        balls=(places[n], places[n + 1]),
        irises=(places[n + 2], places[n + 3]),
        mouth=slice(places[1].start, places[n - 1].stop),
    )
    return mesh, parts


def _turning(mesh: Mesh, parts: Parts, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] 0..1: how much of the head's turning each point follows."""
    turning = figure.still_weight(mesh.points[:, 1], landmarks, width)
    for part in (parts.face, parts.mouth, *parts.balls, *parts.irises):
        turning[part] = 1.0
    return turning


def _face_mask(landmarks: np.ndarray) -> np.ndarray:
    """[512, 512] float32: 1 where the face's mesh lies, with a soft rim outside it."""
    inside = cv2.dilate(figure.face_area(landmarks, texture.CROP, 0.0).astype(np.float32), np.ones((5, 5), np.uint8))
    return np.clip(cv2.GaussianBlur(inside, (0, 0), 1.0), 0.0, 1.0)


def _skin(crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[3] the middle colour of cheeks, nose and forehead."""
    places = landmarks[[50, 280, 205, 425, 151, 4, 117, 346], :2].astype(int).clip(2, texture.CROP - 3)
    patches = np.concatenate([crop[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for x, y in places])
    return np.median(patches, axis=0).astype(np.float32)


def _face(landmarks: np.ndarray, axes: mouth.Axes) -> Sheet:
    """The skin of landmarks [478, 3] with the rims of the lips."""
    rims, rim_texture, _, rim_triangles = mouth.lip_rims(landmarks, axes)
    points = np.concatenate([landmarks, rims.reshape(-1, 3)])
    uv = np.concatenate([landmarks[:, :2], rim_texture.reshape(-1, 2)]) + texture.PAD
    light = np.ones(len(points), np.float32)
    light[POINTS:] = 0.30
    return Sheet(points, uv, np.concatenate([face_triangles(), rim_triangles]), light)


def _with_surround(face: Sheet, front: Sheet) -> Sheet:
    """Face and surround as one sheet that shares the OVAL; the surround's other points follow the face's."""
    renamed = np.concatenate([OVAL, len(face.points) + np.arange(len(front.points) - len(OVAL))])
    return Sheet(
        np.concatenate([face.points, front.points[len(OVAL) :]]),
        np.concatenate([face.uv, front.uv[len(OVAL) :]]),
        np.concatenate([face.triangles, renamed[front.triangles]]).astype(np.int32),
        np.concatenate([face.light, front.light[len(OVAL) :]]),
        culled=True,
    )
