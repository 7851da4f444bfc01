"""Enrol: everything that depends on the portrait alone: a matted texture atlas, a mesh at rest and how its points move."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from engines.contract import FaceObservation, PortraitRejected
from engines.relief import eyes, figure, glasses, hair, mouth, shell, texture
from engines.relief.avatar import Parts, ReliefAvatar, follow_face, jaw_move
from engines.relief.facing import FROM, facing, turned_aside
from engines.relief.framing import Frame
from engines.relief.painted_lips import painted
from engines.relief.resting import INSET, Rest, rest_of
from engines.relief.surface import Mesh, Sheet, joined, similarity
from engines.relief.topology import (
    CHEEKS,
    CHIN,
    EYES,
    LIP_RINGS_LOWER,
    LIP_RINGS_UPPER,
    LOWER_LIP_INNER,
    NOSE_TIP,
    OVAL,
    POINTS,
    UPPER_LIP_INNER,
    face_triangles,
)

DEEPER = 1.35
"MediaPipe's depths are flat: what moves out of the face moves this much further than they say."

AXIS_SHARE = 0.55
"The views' axis lies this far from the nose tip towards the cheeks' edge: that depth lies on the plane of the glass."

SMALLEST_FACE = 60.0
"Crop pixels between the cheeks below which a crop is not in the framing that was agreed on."


def enrol(portrait: FaceObservation) -> ReliefAvatar:
    """The portrait's avatar. Raises PortraitRejected where there is no picture, no matte or no face of the agreed size."""
    _required(portrait)
    portrait = facing(portrait) if abs(turned_aside(portrait)) > FROM else portrait
    portrait = portrait if portrait.mouth_seen else _shut(portrait)
    known = _Portrait.of(portrait)
    return known.frame.applied(_at_rest(known, _built(known)))


@dataclass(frozen=True)
class _Portrait:
    """A portrait from the front, and what is read in it."""

    seen: FaceObservation
    rest: Rest
    width: float
    "The face's, in crop pixels."
    held: np.ndarray
    "[478] as in ReliefAvatar."
    to_crop: np.ndarray
    "[3, 3] canonical centimetres to crop pixels, as the head is turned."
    picture: np.ndarray
    "[SIDE, SIDE, 3] the figure's colours, continued;"
    solid: np.ndarray
    "[SIDE, SIDE] its alpha,"
    faded: np.ndarray
    "[SIDE, SIDE] and that which ends softly at the borders."
    skin: np.ndarray
    "[3] the face's colour."
    frame: Frame

    @classmethod
    def of(cls, portrait: FaceObservation) -> _Portrait:
        """Raises PortraitRejected where the face is too small."""
        crop, matte = _required(portrait)
        rest = rest_of(portrait)
        width = float(np.linalg.norm(rest.landmarks[CHEEKS[1]] - rest.landmarks[CHEEKS[0]]))
        if width < SMALLEST_FACE:
            raise PortraitRejected(
                "face_too_small", "the face is too small in this picture; use one where it is larger"
            )
        held = glasses.held(crop, rest.landmarks, width)
        content = texture.content_of(crop, matte, portrait.around)
        colours, alpha = texture.cut_out(content.picture, content.matte, content.of(_face_mask(portrait.landmarks)))
        picture, solid, faded = texture.continued(colours, alpha, content)
        return cls(
            seen=portrait,
            rest=replace(rest, moves=rest.moves * held[:, None]),
            width=width,
            held=held,
            to_crop=similarity(portrait.shape, portrait.landmarks) @ np.diag([1.0, 1.0, DEEPER]).astype(np.float32),
            picture=painted(picture, rest.landmarks, rest.inset / INSET) if rest.inset > 0 else picture,
            solid=solid,
            faded=faded,
            skin=_skin(crop, portrait.landmarks),
            frame=Frame.of(solid, content.bottom) if portrait.around is not None else Frame(),
        )


@dataclass(frozen=True)
class _Built:
    """The figure as the photo has it: one mesh, its atlas, and what its points follow."""

    mesh: Mesh
    parts: Parts
    atlas: np.ndarray
    follow: np.ndarray
    follow_back: np.ndarray
    jaw: np.ndarray
    mouth_depth: np.ndarray


def _built(known: _Portrait) -> _Built:
    landmarks, width, picture, skin, atlas = (
        known.rest.landmarks,
        known.width,
        known.picture,
        known.skin,
        texture.Atlas(),
    )
    surround = figure.build(landmarks, width, known.solid)
    behind = shell.build(landmarks, width, surround.firm, picture, known.faded, atlas, skin)
    balls = tuple(eyes.build(eye, landmarks, width, picture, atlas, skin) for eye in EYES)
    axes = mouth.Axes((landmarks[13] + landmarks[14]) / 2, known.to_crop @ np.diag([1.0, -1.0, -1.0]))
    gap = float(known.seen.shape[13, 1] - known.seen.shape[14, 1])
    inside = mouth.build(landmarks, axes, gap, picture, atlas, skin)
    face = _face(landmarks, axes, known.rest.inset)
    whole = _with_surround(face, surround.front)
    upon = hair.build(whole, landmarks, width, surround.firm, picture, known.faded, atlas)
    front, follow, under = [whole], surround.follow, picture
    if upon is not None:
        front, follow = [hair.uncovered(whole, upon), upon.sheet], np.concatenate([follow, upon.follow])
        under = hair.beneath(picture, upon, surround.firm)
    mesh, parts = _joined(behind, inside.sheets, balls, front, len(face.points))
    return _Built(
        mesh=mesh,
        parts=parts,
        atlas=atlas.picture(texture.rgba(texture.without_streaks(under, whole), known.faded)),
        follow=follow,
        follow_back=figure.followed(behind.points, landmarks[OVAL], width),
        jaw=np.concatenate(inside.jaw),
        mouth_depth=np.concatenate(inside.depth_cm),
    )


def _at_rest(known: _Portrait, built: _Built) -> ReliefAvatar:
    """The figure without the photo's expression and turn, framed as the crop is."""
    rest, mesh, parts = known.rest, built.mesh, built.parts
    pivot = _pivot(rest.landmarks, known.width)
    turning = _turning(mesh, parts, rest.landmarks, known.width)
    points = mesh.points.copy()
    follow_face(points, parts, (built.follow, built.follow_back), built.jaw, rest.moves, jaw_move(rest.moves))
    for iris in parts.irises:
        points[iris] += rest.looks
    points += turning[:, None] * ((points - pivot) @ rest.turn.T + pivot - points)
    at_rest = ((rest.landmarks + rest.moves - pivot) @ rest.turn.T + pivot).astype(np.float32)
    return ReliefAvatar(
        mesh=replace(mesh, points=points),
        parts=parts,
        atlas=built.atlas,
        landmarks=at_rest,
        shape=rest.shape,
        to_crop=rest.turn @ known.to_crop,
        width=known.width,
        pivot=pivot,
        axis=_axis(at_rest),
        turning=turning,
        follow=built.follow,
        follow_back=built.follow_back,
        jaw=built.jaw,
        mouth_depth=built.mouth_depth,
        slants=(eyes.slant(at_rest[EYES[0].ring]), eyes.slant(at_rest[EYES[1].ring])),
        fade=texture.fade_height(*(known.frame.shown(part) for part in (known.picture, known.solid))),
        mouth_seen=bool(known.seen.mouth_seen),
        held=known.held,
    )


def _pivot(landmarks: np.ndarray, width: float) -> np.ndarray:
    """[3] what the head of `landmarks` [478, 3] turns about, crop pixels."""
    cheeks = landmarks[CHEEKS].mean(axis=0)
    return np.array([cheeks[0], landmarks[CHIN, 1] + 0.02 * width, cheeks[2] + 0.08 * width], np.float32)


def _axis(landmarks: np.ndarray) -> tuple[float, float]:
    """x and z of what the views turn about, for `landmarks` [478, 3] at rest."""
    nose, cheeks = float(landmarks[NOSE_TIP, 2]), float(landmarks[CHEEKS, 2].mean())
    return texture.CROP / 2, nose + AXIS_SHARE * (cheeks - nose)


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


def _joined(
    back: Sheet, inside: list[Sheet], balls: tuple[eyes.Eye, ...], front: list[Sheet], face_points: int
) -> tuple[Mesh, Parts]:
    """All sheets, back to front, and where each lies."""
    mesh, places = joined([back, *inside, *(eye.ball for eye in balls), *(eye.iris for eye in balls), *front])
    n = 1 + len(inside)
    face, end = places[-len(front)], places[-1].stop
    parts = Parts(
        face=slice(face.start, face.start + face_points),
        around=slice(face.start + face_points, end),
        back=places[0],
        balls=(places[n], places[n + 1]),
        irises=(places[n + 2], places[n + 3]),
        mouth=slice(places[1].start, places[n - 1].stop),
        tongue=places[2],
    )
    return mesh, parts


def _turning(mesh: Mesh, parts: Parts, landmarks: np.ndarray, width: float) -> np.ndarray:
    """[N] 0..1: how much of the head's turning each point follows."""
    turning = figure.still_weight(mesh.points[:, 1], landmarks, width)
    for part in (parts.face, parts.mouth, *parts.balls, *parts.irises):
        turning[part] = 1.0
    return turning


def _face_mask(landmarks: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE] float32: 1 where the face's mesh lies, with a soft rim outside it."""
    inside = cv2.dilate(
        figure.face_area(landmarks, texture.SIDE, texture.PAD).astype(np.float32), np.ones((5, 5), np.uint8)
    )
    return np.clip(cv2.GaussianBlur(inside, (0, 0), 1.0), 0.0, 1.0)


def _skin(crop: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """[3] the middle colour of cheeks, nose and forehead."""
    places = landmarks[[50, 280, 205, 425, 151, 4, 117, 346], :2].astype(int).clip(2, texture.CROP - 3)
    patches = np.concatenate([crop[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3) for x, y in places])
    return np.median(patches, axis=0).astype(np.float32)


def _face(landmarks: np.ndarray, axes: mouth.Axes, inset: float) -> Sheet:
    """The skin of landmarks [478, 3] with the rims of the lips, whose edges take their colours `inset` of a ring further out."""
    rims, rim_texture, _, rim_triangles = mouth.lip_rims(landmarks, axes)
    points = np.concatenate([landmarks, rims.reshape(-1, 3)])
    places = landmarks[:, :2].copy()
    for rings in (LIP_RINGS_UPPER, LIP_RINGS_LOWER):
        places[rings[0][1:-1]] += inset * (places[rings[1][1:-1]] - places[rings[0][1:-1]])
    uv = np.concatenate([places, rim_texture.reshape(-1, 2)]) + texture.PAD
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
