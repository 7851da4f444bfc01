"""Enrol: everything that depends on the portrait alone: a matted texture atlas, a mesh at rest and how its points move."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from engines.contract import CROP, FaceObservation, PortraitRejected
from engines.relief import eyes, figure, glasses, hair, mouth, shell, texture
from engines.relief.facing import FROM, facing, turned_aside
from engines.relief.painted_lips import painted
from engines.relief.resting import INSET, rest_of
from engines.relief.surface import Mesh, Sheet, joined
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


AIR = 18.0
"Pixels of the crop that views keep above a figure, where the photo has them."
SMALLEST = 0.8
"Figures are shown no smaller than this, however high their hats: a face wants its pixels."
HIGHEST = 12
"Pixels across that a row of the figure has at least: a single hair is cut."


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
    tongue: slice
    "Within the mouth."


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
    pivot: np.ndarray
    "[3] what the head turns about."
    axis: tuple[float, float]
    "x and z of what the views turn about, crop pixels."
    turning: np.ndarray
    "[N] float32: 1 turns with the head, 0 stays with the torso."
    follow: np.ndarray
    "[Na, 36] float32: how the surround follows the OVAL,"
    follow_back: np.ndarray
    "[Nb, 36] float32: and how the shell behind it does, so that it stays behind."
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
    held: np.ndarray
    "[478] float32: the share of its movement that each landmark keeps, less beneath the frames of glasses."
    zoom: float = 1.0
    "A picture's pixel of the crop shows so much of the photo's: less than 1 where the figure is shown smaller, to have all of it."
    scaled: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    "The atlas at each tile scale it has been asked for, made when first asked (filled by render)."


@dataclass(frozen=True)
class Frame:
    """How a figure lies in what views show: as in the crop, or smaller, so that hair and hats end below the upper edge."""

    zoom: float = 1.0
    down: float = 0.0
    "Pixels of the crop."

    @classmethod
    def of(cls, solid: np.ndarray, bottom: int) -> Frame:
        """For a figure `solid` [SIDE, SIDE] that a photo shows down to the row `bottom`."""
        rows = np.flatnonzero((solid > 0.5).sum(axis=1) > HIGHEST)
        top = float(rows[0]) - texture.PAD if len(rows) else 0.0
        zoom = float(np.clip((CROP / 2 - AIR) / (CROP / 2 - top), SMALLEST, 1.0))
        zoom = CROP / round(CROP / zoom)
        begin = min((AIR - CROP / 2) / zoom + CROP / 2, top - AIR / zoom) if zoom < 1 else 0.0
        begin = min(begin, max(bottom - texture.PAD, CROP) - CROP / zoom)  # a bust stands on the lower edge
        return cls(zoom, (CROP / 2 - begin) * zoom - CROP / 2)

    def shown(self, continued: np.ndarray) -> np.ndarray:
        """The rows of something [SIDE, SIDE, ...] that views show."""
        begin = CROP / 2 - (CROP / 2 + self.down) / self.zoom + texture.PAD
        return continued[max(round(begin), 0) : round(begin + CROP / self.zoom), texture.PAD : -texture.PAD]

    def applied(self, avatar: ReliefAvatar) -> ReliefAvatar:
        """`avatar`, as in the crop before, in this frame."""
        middle = np.array([CROP / 2, CROP / 2, avatar.axis[1]], np.float32)

        def placed(points: np.ndarray) -> np.ndarray:
            return ((points - middle) * self.zoom + middle + [0, self.down, 0]).astype(np.float32)

        return replace(
            avatar,
            mesh=replace(avatar.mesh, points=placed(avatar.mesh.points)),
            landmarks=placed(avatar.landmarks),
            pivot=placed(avatar.pivot),
            to_crop=avatar.to_crop * self.zoom,
            width=avatar.width * self.zoom,
            fade=round(avatar.fade * self.zoom),
            zoom=self.zoom,
        )


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[3, 3] scale times rotation that best carries `source` [N, 3] onto `target` [N, 3] (Umeyama 1991), shift left out."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    return ((s * np.diag(flip)).sum() / (a**2).sum() * (u @ flip @ vt)).astype(np.float32)


def enrol(portrait: FaceObservation) -> ReliefAvatar:
    """The portrait's avatar. Raises PortraitRejected where there is no picture, no matte or no face of the agreed size."""
    _required(portrait)
    portrait = facing(portrait) if abs(turned_aside(portrait)) > FROM else portrait
    crop, matte = _required(portrait)
    portrait = portrait if portrait.mouth_seen else _shut(portrait)
    rest = rest_of(portrait)
    landmarks = rest.landmarks
    width = float(np.linalg.norm(landmarks[CHEEKS[1]] - landmarks[CHEEKS[0]]))
    if width < SMALLEST_FACE:
        raise PortraitRejected("face_too_small", "the face is too small in this picture; use one where it is larger")
    held = glasses.held(crop, landmarks, width)
    rest = replace(rest, moves=rest.moves * held[:, None])
    to_crop = similarity(portrait.shape, portrait.landmarks) @ np.diag([1.0, 1.0, DEEPER]).astype(np.float32)
    content = texture.content_of(crop, matte, portrait.around)
    colours, alpha = texture.cut_out(content.picture, content.matte, content.of(_face_mask(portrait.landmarks)))
    picture, solid, faded = texture.continued(colours, alpha, content)
    frame = Frame.of(solid, content.bottom) if portrait.around is not None else Frame()
    picture = painted(picture, landmarks, rest.inset / INSET) if rest.inset > 0 else picture
    skin = _skin(crop, portrait.landmarks)
    atlas = texture.Atlas()
    surround = figure.build(landmarks, width, solid)
    behind = shell.build(landmarks, width, surround.firm, picture, faded, atlas, skin)
    balls = tuple(eyes.build(eye, landmarks, width, picture, atlas, skin) for eye in EYES)
    axes = mouth.Axes((landmarks[13] + landmarks[14]) / 2, to_crop @ np.diag([1.0, -1.0, -1.0]))
    inside = mouth.build(landmarks, axes, float(portrait.shape[13, 1] - portrait.shape[14, 1]), picture, atlas, skin)
    face = _face(landmarks, axes, rest.inset)
    whole = _with_surround(face, surround.front)
    upon = hair.build(whole, landmarks, width, surround.firm, picture, atlas)
    follow = surround.follow if upon is None else np.concatenate([surround.follow, upon.follow])
    over = [] if upon is None else [upon.sheet]
    seen = whole if upon is None else hair.uncovered(whole, upon)
    mesh, parts = _joined(behind, inside.sheets, balls, [seen, *over], len(face.points))
    under = picture if upon is None else hair.beneath(picture, upon, surround.firm)
    jaw = np.concatenate(inside.jaw)
    back = figure.followed(behind.points, landmarks[OVAL], width)
    pivot = _pivot(landmarks, width)
    turning = _turning(mesh, parts, landmarks, width)
    points = mesh.points.copy()
    follow_face(points, parts, (follow, back), jaw, rest.moves, jaw_move(rest.moves))
    for iris in parts.irises:
        points[iris] += rest.looks
    points += turning[:, None] * ((points - pivot) @ rest.turn.T + pivot - points)
    at_rest = ((landmarks + rest.moves - pivot) @ rest.turn.T + pivot).astype(np.float32)
    avatar = ReliefAvatar(
        mesh=replace(mesh, points=points),
        parts=parts,
        atlas=atlas.picture(texture.rgba(texture.without_streaks(under, whole), faded)),
        landmarks=at_rest,
        shape=rest.shape,
        to_crop=rest.turn @ to_crop,
        width=width,
        pivot=pivot,
        axis=_axis(at_rest),
        turning=turning,
        follow=follow,
        follow_back=back,
        jaw=jaw,
        mouth_depth=np.concatenate(inside.depth_cm),
        slants=(eyes.slant(at_rest[EYES[0].ring]), eyes.slant(at_rest[EYES[1].ring])),
        fade=texture.fade_height(*(frame.shown(part) for part in (picture, solid))),
        mouth_seen=bool(portrait.mouth_seen),
        held=held,
    )
    return frame.applied(avatar)


def follow_face(
    points: np.ndarray,
    parts: Parts,
    follow: tuple[np.ndarray, np.ndarray],
    jaw: np.ndarray,
    moves: np.ndarray,
    jaw_moves: np.ndarray,
) -> None:
    """Let all points [N, 3] of a figure follow its landmarks' `moves` [478, 3] and those of its jaw [3], crop pixels. `follow` and
    `jaw`: of the surround and of the shell, and of the mouth, as in ReliefAvatar."""
    face = points[parts.face]
    face[:POINTS] += moves
    face[POINTS : POINTS + 11] += moves[UPPER_LIP_INNER]
    face[POINTS + 11 :] += moves[LOWER_LIP_INNER]
    points[parts.around] += follow[0] @ moves[OVAL]
    points[parts.back] += follow[1] @ moves[OVAL]
    points[parts.mouth] += jaw[:, None] * jaw_moves


def jaw_move(moves: np.ndarray) -> np.ndarray:
    """[3] how the lower jaw moves where landmarks move by `moves` [478, 3], crop pixels."""
    return 0.5 * moves[CHIN] + 0.5 * moves[LOWER_LIP_INNER[3:8]].mean(axis=0)


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
