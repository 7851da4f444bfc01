"""Facing: a photo of a turned head as it would look from the front, so that the avatar has two sides.

Each place of the frontal picture lies on the fitted head, which says where in the photo it is, and whether it is seen there. What is
not seen is taken from the other side of the face, mirrored, and evened in light with what is seen beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from engines.contract import AROUND, CROP, FaceObservation
from engines.morphable.fit import DISTANCE, PIXELS_PER_CM, Fitted, fit
from engines.morphable.model import Head, load
from engines.raster import textured
from engines.relief.figure import still_weight
from engines.relief.surface import smooth
from engines.relief.texture import disc
from engines.relief.topology import CHEEKS, OVAL

FROM = np.radians(10.0)
"Photos turned to a side by less show both sides well enough, and keep their own pixels."
MIDDLE = np.array([0.0, -0.4, 2.1])
"The place of the head, in canonical centimetres, that lies in the middle of the crop (pipeline/preprocess/framing.py)."
FURTHEST_BACK = -6.5
"Centimetres: hair about a skull stands no further back than its ears."
HAIR = 3.2
"Centimetres from a skull up to which what a photo shows is hair."
NECK = np.array([0.0, -9.0, -4.0])
"What stays where it is when a head turns, canonical centimetres."
GRAZING, SEEN = 0.25, 0.55
"Cosines between a surface and the line of sight: up to the first it shows nothing of use, from the second on all."
BEHIND = 0.7
"Centimetres behind the nearest surface from which a place is hidden."
NEAR = 24.0
"Crop pixels about a landmark within which the picture follows it rather than the fitted head."
THIN = 21
"Crop pixels: what is no wider beside a figure whose halves are two, as where the outlines of its hair cross, is no hair."
MOST_GAIN = 0.45
"Of the logarithm of light: what differs more between both sides is no light."


@dataclass(frozen=True)
class _Solid:
    """A head that looks straight ahead."""

    depth: np.ndarray
    "[S, S] float32 canonical z at each pixel, continued around the head."
    figure: np.ndarray
    "[S, S] float32: 1 where the head is."
    hair: np.ndarray
    "[S, S] float32: 1 where its hair may be."


@dataclass(frozen=True)
class Photo:
    """The turned photo: its crop, with what is around that where it is known."""

    colours: np.ndarray
    "[S, S, 3] uint8."
    matte: np.ndarray
    "[S, S] float32 0..1."
    inside: np.ndarray
    "[S, S] float32 0..1: less beside where the photo ends."
    pad: int
    "Pixels on each side beyond the crop."

    @classmethod
    def of(cls, portrait: FaceObservation) -> Photo:
        """A portrait, which has a crop and a matte."""
        assert portrait.crop is not None
        assert portrait.matte is not None
        if portrait.around is None:
            return cls(portrait.crop, portrait.matte, _from_border(np.ones((CROP, CROP), np.uint8)), 0)
        alpha = portrait.around[..., 3]
        matte = np.clip((alpha.astype(np.float32) - 1) / 254, 0, 1)
        return cls(
            np.ascontiguousarray(portrait.around[..., :3]), matte, _from_border((alpha > 0).astype(np.uint8)), AROUND
        )

    def at(self, place: np.ndarray, what: np.ndarray, method: int, border: int = cv2.BORDER_REFLECT) -> np.ndarray:
        """`what` [S, S, ...] of it at each `place` [H, W, 2], crop pixels."""
        return cv2.remap(what, *_maps(place + self.pad), method, borderMode=border)


def _from_border(there: np.ndarray) -> np.ndarray:
    """[S, S] float32: 0 at the border of what is `there` [S, S] uint8, 1 a dozen pixels within."""
    framed = cv2.copyMakeBorder(there, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.clip(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1] / 12.0, 0.0, 1.0)


@dataclass(frozen=True)
class Way:
    """From the frontal picture to the photo."""

    place: np.ndarray
    "[S, S, 2] float32: where in the photo each pixel is."
    seen: np.ndarray
    "[S, S] float32 0..1: how well the photo shows it."
    likely: np.ndarray
    "[S, S] float32: how far what is there is of that place at all, though at a slant."
    known: np.ndarray
    "[S, S] float32 0..1: whether the photo says anything of it, here or on the other side."


def turned_aside(portrait: FaceObservation) -> float:
    """Radians that the portrait's head is turned to a side."""
    rotation = portrait.head_rotation
    return float(np.arctan2(rotation[0, 2], rotation[2, 2]))


@dataclass(frozen=True)
class Ahead:
    """A portrait as it lies about a head that looks straight ahead."""

    photo: Photo
    way: Way
    on_head: np.ndarray
    "[478, 3] canonical centimetres: where its landmarks are."

    @classmethod
    def of(cls, portrait: FaceObservation) -> Ahead:
        """For a portrait that has a crop and a matte."""
        head, photo = load(), Photo.of(portrait)
        found = fit(head, portrait.landmarks, portrait.head_rotation)
        vertices = head.vertices(found.identity, found.expression)
        on_head = _unprojected(found, portrait.landmarks, head.at_points(vertices.astype(np.float32)))
        solid = _solid(head, vertices, photo.pad)
        return cls(photo, _way(head, found, vertices, solid, photo, portrait.landmarks, on_head), on_head)

    @property
    def at(self) -> np.ndarray:
        """[478, 3] crop pixels: where its landmarks are in the frontal picture."""
        return _frontal(self.on_head)


def facing(portrait: FaceObservation) -> FaceObservation:
    """`portrait`, which has a crop and a matte, from the front."""
    head, ahead = load(), Ahead.of(portrait)
    photo, at = ahead.photo, ahead.at
    own = photo.at(at[None, :, :2] + 0.5, ahead.way.seen, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)[0][:, None]
    landmarks = own * at + (1 - own) * _frontal(_mirrored(head, ahead.on_head))
    shape = own * portrait.shape + (1 - own) * _mirrored(head, portrait.shape)
    shape[:, :2] = (landmarks[:, :2] - CROP / 2) / PIXELS_PER_CM * [1.0, -1.0] + MIDDLE[:2]
    picture, matte = _filled(photo, ahead.way)
    middle = (slice(photo.pad, photo.pad + CROP),) * 2
    alpha = (1 + np.round(254 * matte)).astype(np.uint8)
    pose = np.diag([1.0, -1.0, -1.0, 1.0]).astype(np.float32)
    pose[2, 3] = 2.7
    return replace(
        portrait,
        crop=picture[middle],
        matte=matte[middle],
        around=np.dstack([picture, alpha]) if photo.pad else None,
        landmarks=landmarks.astype(np.float32),
        shape=shape.astype(np.float32),
        pose=pose,
    )


def _frontal(places: np.ndarray) -> np.ndarray:
    """[..., 3] crop pixels of places on a head that looks straight ahead, canonical centimetres."""
    return (places - MIDDLE) * PIXELS_PER_CM * [1.0, -1.0, -1.0] + [CROP / 2, CROP / 2, 0.0]


def _mirrored(head: Head, points: np.ndarray) -> np.ndarray:
    """[478, 3]: each point's counterpart on the other side, brought over."""
    return points[head.mirrored] * [-1.0, 1.0, 1.0]


def _unprojected(found: Fitted, landmarks: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """[478, 3] canonical centimetres: where on the head the photo's landmarks are, as deep as `fitted` [478, 3] are."""
    world = found.scale * fitted @ found.rotation.T + found.shift
    nearer = PIXELS_PER_CM * DISTANCE / (DISTANCE - world[:, 2:])
    across = (landmarks[:, :2] - CROP / 2) * [1.0, -1.0] / nearer
    return (np.concatenate([across, world[:, 2:]], axis=1) - found.shift) @ found.rotation / found.scale


def _solid(head: Head, vertices: np.ndarray, pad: int) -> _Solid:
    """The head as the frontal picture with `pad` pixels around has it, alike on both sides."""
    nearest = _nearest(_frontal(vertices), head.triangles, pad)
    depth = np.where(np.isfinite(nearest), MIDDLE[2] - nearest / PIXELS_PER_CM, -np.inf)
    depth = np.maximum(np.maximum(depth, depth[:, ::-1]), FURTHEST_BACK)
    figure = np.isfinite(nearest) | np.isfinite(nearest[:, ::-1])
    depth, away = _carried_on(depth.astype(np.float32), figure)
    soft = cv2.GaussianBlur(depth, (0, 0), 9.0)
    steep = smooth((cv2.GaussianBlur(np.abs(cv2.Laplacian(depth, cv2.CV_32F)), (0, 0), 6.0) - 0.02) / 0.1)
    smooth_depth = cv2.GaussianBlur(depth, (0, 0), 1.5) * (1 - steep) + soft * steep
    return _Solid(
        smooth_depth, figure.astype(np.float32), smooth((HAIR - away / PIXELS_PER_CM) / 0.6).astype(np.float32)
    )


def _carried_on(depth: np.ndarray, figure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`depth` [S, S] with that of the nearest place of the `figure` [S, S] bool around it, for hair stands about a skull's outline; and
    how many pixels that is away [S, S]."""
    away, labels = cv2.distanceTransformWithLabels(
        (~figure).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(labels.max()) + 1, np.float32)
    of_label[labels[figure]] = depth[figure]
    return np.where(figure, depth, of_label[labels]), away


def _nearest(places: np.ndarray, triangles: np.ndarray, pad: int) -> np.ndarray:
    """[S, S] float32: the depth of what is nearest of places [V, 3] in crop pixels, `pad` more on each side; infinite where nothing is."""
    side = CROP + 2 * pad
    shown = np.add(places, [pad, pad, 0]).astype(np.float32)
    shown[:, 2] += 1e4  # what is drawn has a positive depth
    owner, depth = np.empty((side, side), np.int32), np.empty((side, side), np.float32)
    nothing, blank = np.zeros((len(places), 4), np.float32), np.zeros((2, 2, 3), np.uint8)
    out = np.empty((side, side, 4), np.uint8)
    textured.draw(shown, triangles, nothing[:, :2].copy(), nothing, nothing[:, 0].copy(), blank, owner, depth, out)
    return depth - np.float32(1e4)


def _way(
    head: Head,
    found: Fitted,
    vertices: np.ndarray,
    solid: _Solid,
    photo: Photo,
    landmarks: np.ndarray,
    on_head: np.ndarray,
) -> Way:
    """Where the photo, whose landmarks [478, 3] lie `on_head` [478, 3], shows each place of the frontal head."""
    y, x = np.mgrid[-photo.pad : CROP + photo.pad, -photo.pad : CROP + photo.pad].astype(np.float32) + 0.5
    places = np.stack(
        [(x - CROP / 2) / PIXELS_PER_CM, (CROP / 2 - y) / PIXELS_PER_CM + MIDDLE[1], solid.depth], axis=-1
    )
    seen_at = found.seen(places)
    at = _frontal(on_head)
    width = float(np.linalg.norm(at[CHEEKS[1]] - at[CHEEKS[0]]))
    head_share = still_weight(y[:, 0], at, width)[:, None]
    stays = (found.seen(NECK) - _frontal(NECK))[:2]
    place = head_share[..., None] * seen_at[..., :2] + (1 - head_share[..., None]) * (np.stack([x, y], axis=-1) + stays)
    seen = _facing_share(solid.depth, found.rotation)
    front = cv2.erode(_nearest(found.seen(vertices), head.triangles, photo.pad), np.ones((3, 3)))
    in_front = photo.at(place, front, cv2.INTER_NEAREST, cv2.BORDER_REPLICATE)
    hidden = (seen_at[..., 2] - in_front) / PIXELS_PER_CM > BEHIND
    strange = _within(at, photo.pad) * (1 - covered(photo, place))  # where a face should be there is a wall
    seen = seen * (1 - hidden) * (1 - strange)
    seen = 1 - head_share * (1 - seen)
    inside = photo.at(place, photo.inside, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
    seen = cv2.GaussianBlur(cv2.erode((seen * inside).astype(np.float32), np.ones((5, 5))), (0, 0), 4.0)
    likely = cv2.GaussianBlur((inside * (1 - hidden * head_share)).astype(np.float32), (0, 0), 3.0)
    return Way(
        (place + _following(place, seen, landmarks, at, photo.pad)).astype(np.float32),
        seen,
        likely,
        _known(seen, inside, solid.figure) * (1 - head_share * (1 - solid.hair)),
    )


def _known(seen: np.ndarray, inside: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """[S, S] float32 0..1. Where the head itself hides a place of the head, as beneath the chin, something of it will do."""
    known = np.maximum(np.clip((seen + seen[:, ::-1]) * 1.5, 0, 1), figure) * np.maximum(inside, inside[:, ::-1])
    close_by, open_by = np.ones((41, 41), np.uint8), np.ones((21, 21), np.uint8)  # a skull's rim faces nobody
    known = cv2.morphologyEx(known.astype(np.float32), cv2.MORPH_CLOSE, close_by, borderType=cv2.BORDER_REPLICATE)
    thick = cv2.morphologyEx(known.astype(np.float32), cv2.MORPH_OPEN, open_by, borderType=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(thick, (0, 0), 2.0)


def _within(at: np.ndarray, pad: int) -> np.ndarray:
    """[S, S] float32: 1 within the frontal face's outline, of landmarks `at` [478, 3]."""
    area = np.zeros((CROP + 2 * pad, CROP + 2 * pad), np.uint8)
    cv2.fillPoly(area, [(at[OVAL, :2] + pad).round().astype(np.int32)], (1,))
    return (area | area[:, ::-1]).astype(np.float32)


def covered(photo: Photo, place: np.ndarray) -> np.ndarray:
    """[S, S] 0..1: how surely the photo's figure is at each `place`, a little within its edge."""
    firm = cv2.erode(np.clip((photo.matte - 0.5) * 2, 0, 1).astype(np.float32), np.ones((13, 13)))
    return photo.at(place, firm, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)


def _maps(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of OpenCV's remap, whose pixels' middles are whole numbers."""
    return (place[..., 0] - 0.5).astype(np.float32), (place[..., 1] - 0.5).astype(np.float32)


def _facing_share(depth: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[S, S] 0..1: how much a head of `depth` turned by `rotation` [3, 3] shows its surface there."""
    soft = cv2.GaussianBlur(depth, (0, 0), 3.0) * PIXELS_PER_CM
    dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)
    normal = np.stack([-dx, dy, np.ones_like(dx)], axis=-1)
    towards = (normal @ rotation[2]) / np.linalg.norm(normal, axis=-1)
    return smooth((towards - GRAZING) / (SEEN - GRAZING))


def _following(place: np.ndarray, seen: np.ndarray, landmarks: np.ndarray, at: np.ndarray, pad: int) -> np.ndarray:
    """[S, S, 2] photo pixels by which the fitted head misses the photo's landmarks nearby, those that are seen."""
    side = len(seen)
    cells = np.clip(at[:468, :2].astype(int) + pad, 0, side - 1)
    weight = seen[cells[:, 1], cells[:, 0]] + 1e-3
    off = landmarks[:468, :2] - place[cells[:, 1], cells[:, 0]]
    step = 8
    grid = np.arange(step / 2, side, step) - pad
    apart = (grid[None, :, None] - at[:468, 0]) ** 2 + (grid[:, None, None] - at[:468, 1]) ** 2
    share = np.exp(-apart / (2 * NEAR**2)) * weight
    total = share.sum(axis=-1, keepdims=True)
    moved = (share @ off) / np.maximum(total, 1e-6) * np.clip(share.max(axis=-1, keepdims=True) * 2, 0, 1)
    return cv2.resize(moved.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)


def _filled(photo: Photo, way: Way) -> tuple[np.ndarray, np.ndarray]:
    """The frontal picture [S, S, 3] uint8 and its matte [S, S]: what is seen, and mirrored what is not."""
    picture = photo.at(way.place, photo.colours, cv2.INTER_CUBIC).astype(np.float32)
    cover = photo.at(way.place, photo.matte, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT if photo.pad else cv2.BORDER_REFLECT)
    other_seen, other_cover = way.seen[:, ::-1], cover[:, ::-1]
    rather = (way.likely + 1e-3) / (way.likely + way.likely[:, ::-1] + 2e-3)
    own = np.clip(way.seen + (1 - way.seen) * (1 - other_seen) * rather, 0.0, 1.0)
    seen = way.seen * cover
    other = evened(np.ascontiguousarray(picture[:, ::-1]), picture, np.minimum(seen, seen[:, ::-1]))
    filled = picture * own[..., None] + other * (1 - own[..., None])
    matte = (cover * own + other_cover * (1 - own)) * way.known
    return np.clip(filled + 0.5, 0, 255).astype(np.uint8), cv2.morphologyEx(
        matte.astype(np.float32), cv2.MORPH_OPEN, disc(THIN)
    )


def evened(picture: np.ndarray, beside: np.ndarray, both: np.ndarray) -> np.ndarray:
    """`picture` [H, W, 3] in the light that falls in the one `beside` it; compared where `both` [H, W] 0..1 show the same."""
    soft, other_soft = (cv2.GaussianBlur(one, (0, 0), 5.0) + 8.0 for one in (beside, picture))
    ratio = (np.log(soft / other_soft) * both[..., None]).astype(np.float32)
    total = cv2.GaussianBlur(both, (0, 0), 30.0)[..., None]
    gain = cv2.GaussianBlur(ratio, (0, 0), 30.0) / np.maximum(total, 1e-3)
    return np.clip(picture * np.exp(np.clip(gain, -MOST_GAIN, MOST_GAIN)), 0.0, 255.0)
