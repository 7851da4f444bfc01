"""Live: the caller's own picture of this moment, cut out, on a relief of the face that is in it. For whoever has no portrait.

Nothing is invented: each view shows the camera's pixels, moved sideways by how far they lie before the plane of the glass. The face's
depth is its landmarks'; what is around it rounds back from the face's outline, as for a portrait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from display.optics import Cameras
from display.views import ViewSet
from engines.contract import Abilities, FaceObservation
from engines.options import EngineOptions
from engines.relief import figure, strips, texture
from engines.relief.avatar import ReliefAvatar
from engines.relief.drive import ReliefState
from engines.relief.enrol import AXIS_SHARE, enrol
from engines.relief.render import StripRenderer
from engines.relief.resting import relieved
from engines.relief.surface import Sheet, joined, similarity, wound
from engines.relief.topology import CHEEKS, EYES, MOUTH_RING, NOSE_TIP, OVAL, POINTS, face_triangles

OUTSIDE = 0.5
"Alpha of what belongs to no silhouette: it hangs on the outline, level with it, if the matte shows anything there."
ALPHA_FROM, ALPHA_TO = 0.30, 0.85
"Of the matte: below the first nothing is shown, from the second on all. Live mattes are soft, and the room shines through."
FADE = 48
"Crop pixels over which the picture fades at its lower border."
SHALLOWER = 0.72
"""Of a real head's depth: what the camera did not see is not invented here, so sides that come into sight would be drawn out of a
handful of pixels (seen at 0.85 and 1 on the clips: slivers beside turned faces, crumbs at ears)."""
DEPTH_TO_WIDTH = 0.96
"""Nose tip to cheek edge, as a share of the face's width, that makes a face look turned by as much as it is.

MediaPipe's own landmarks have 0.68..0.74, which looks flat; chosen by running FaceMesh on the views."""
DIMMEST = 0.35
"Of the light, where nobody is seen any more: the last picture stays."


@dataclass(frozen=True)
class LiveAvatar:
    """What is the same for every picture: a mesh about an average face, and how it follows the face that is there."""

    base: ReliefAvatar
    landmarks: np.ndarray
    "[478, 3] float32 crop pixels: the face that the mesh was built about."
    gain: float
    "By how much the landmarks' depth is stretched to be a real face's."


class Live:
    """The caller's own picture, cut out and in relief, marked as such: needs no portrait, no weights and no GPU."""

    name: ClassVar[str] = "live"
    wants: ClassVar[frozenset[str]] = frozenset({"crop", "matte"})
    abilities: ClassVar[Abilities] = Abilities(parallel=True, mark="Live picture")
    noise = False

    def __init__(self, options: EngineOptions = EngineOptions()) -> None:
        """Nothing of `options` concerns it."""
        self._renderer = StripRenderer()

    def warm_up(self) -> None:
        """Compiles the inner loops, or loads them from numba's cache."""
        strips.compile_all()

    def enrol(self, portrait: FaceObservation) -> LiveAvatar:
        """The mesh; of `portrait` its proportions alone count, and it is never shown. Raises PortraitRejected."""
        usual = enrol(replace(portrait, around=None))
        landmarks, width = deepened(portrait.landmarks), usual.width
        surround = figure.build(landmarks, width, _silhouette(landmarks, width))
        mesh, _ = joined([_sheet(landmarks, surround.front)])
        base = replace(usual, mesh=mesh, landmarks=landmarks, follow=surround.follow, fade=FADE, scaled={})
        before, after = (float(p[NOSE_TIP, 2] - p[CHEEKS, 2].mean()) for p in (portrait.landmarks, landmarks))
        return LiveAvatar(base, landmarks, float(np.clip(after / min(before, -1.0), 1.0, 2.0)))

    def drive(self, avatar: LiveAvatar, seen: FaceObservation) -> ReliefState:
        """The newest picture on its relief. What is not finite counts as the average face."""
        base = avatar.base
        points, light = base.mesh.points.copy(), base.mesh.light.copy()
        face = _in_depth(seen, avatar.gain) if _plausible(seen) else avatar.landmarks
        if np.isfinite(face).all():
            moves = face[OVAL] - avatar.landmarks[OVAL]
            points[:POINTS] = face
            points[POINTS:] += base.follow @ moves
        shown = points[:, :2].copy()
        points[:, :2] = _tilted(points[:, :2], float(np.nan_to_num(seen.roll)))
        presence = float(np.clip(np.nan_to_num(seen.presence), 0.0, 1.0))
        light *= DIMMEST + (1 - DIMMEST) * presence
        mesh = replace(base.mesh, uv=(shown + texture.PAD).astype(np.float32))
        glass = _axis(points)
        points[:, 2] = glass + SHALLOWER * (points[:, 2] - glass)
        axis = texture.CROP / 2, glass
        return ReliefState(replace(base, mesh=mesh, atlas=_cut_out(seen), axis=axis, scaled={}), points, light)

    def render(self, state: ReliefState, cameras: Cameras) -> ViewSet:
        """The state from each camera; cameras without pitch only."""
        return self._renderer(state, cameras)


def deepened(landmarks: np.ndarray) -> np.ndarray:
    """`landmarks` [478, 3] in crop pixels, float32, with depth brought to a real face's."""
    out = landmarks.astype(np.float32).copy()
    width = float(np.linalg.norm(out[CHEEKS[1]] - out[CHEEKS[0]]))
    depth = float(np.linalg.norm(out[NOSE_TIP] - out[CHEEKS].mean(axis=0)))
    out[:, 2] = relieved(out, float(np.clip(DEPTH_TO_WIDTH * width / max(depth, 1.0), 1.0, 2.0)))
    return out


def _silhouette(landmarks: np.ndarray, width: float) -> np.ndarray:
    """[SIDE, SIDE] float32: 1 on an average head and shoulders about a face, OUTSIDE in the rest of the crop."""
    alpha = np.zeros((texture.SIDE, texture.SIDE), np.float32)
    pad = texture.PAD
    alpha[pad:-pad, pad:-pad] = OUTSIDE
    top, chin = landmarks[10, 1] + pad, landmarks[152, 1] + pad
    middle = float(landmarks[CHEEKS, 0].mean()) + pad
    head = int(middle), int((top + chin) / 2 - 0.10 * width)
    cv2.ellipse(alpha, head, (int(0.62 * width), int(0.62 * (chin - top) + 0.16 * width)), 0, 0, 360, (1.0,), -1)
    neck, shoulder, end = chin - 0.1 * width, chin + 0.42 * width, texture.SIDE - pad
    body = [
        (middle - 0.36 * width, neck), (middle + 0.36 * width, neck), (middle + 0.40 * width, shoulder - 0.1 * width),
        (middle + 1.1 * width, shoulder + 0.25 * width), (middle + 1.3 * width, end), (middle - 1.3 * width, end),
        (middle - 1.1 * width, shoulder + 0.25 * width), (middle - 0.40 * width, shoulder - 0.1 * width),
    ]  # fmt: skip
    cv2.fillPoly(alpha, [np.array(body, np.int32)], (1.0,))
    alpha[:pad], alpha[-pad:], alpha[:, :pad], alpha[:, -pad:] = 0, 0, 0, 0
    return alpha


def _sheet(landmarks: np.ndarray, surround: Sheet) -> Sheet:
    """Face and surround as one sheet that shares the OVAL; eyes and mouth are part of the picture, so they are closed."""
    renamed = np.concatenate([OVAL, POINTS + np.arange(len(surround.points) - len(OVAL))])
    points = np.concatenate([landmarks, surround.points[len(OVAL) :]]).astype(np.float32)
    holes = [_fan(ring) for ring in (MOUTH_RING, *(eye.ring for eye in EYES))]
    face = np.concatenate([face_triangles(), *(wound(landmarks, hole) for hole in holes)])
    triangles = np.concatenate([face, renamed[surround.triangles]]).astype(np.int32)
    return Sheet(points, points[:, :2] + texture.PAD, triangles, np.ones(len(points), np.float32), culled=False)


def _fan(ring: np.ndarray) -> np.ndarray:
    """[N - 2, 3]: a ring of points as triangles, in strips from both sides, so that none is long."""
    order = [
        at
        for pair in zip(range(len(ring) // 2), range(len(ring) - 1, len(ring) // 2 - 1, -1), strict=True)
        for at in pair
    ]
    strip = ring[order]
    return np.stack([strip[:-2], strip[1:-1], strip[2:]], axis=1)


def _plausible(seen: FaceObservation) -> bool:
    """Whether these landmarks are a face in the crop."""
    finite = all(np.isfinite(part).all() for part in (seen.landmarks, seen.shape))
    return finite and seen.confidence + seen.presence > 0 and float(np.abs(seen.landmarks).max()) < 4 * texture.CROP


def _in_depth(seen: FaceObservation, gain: float) -> np.ndarray:
    """[478, 3] float32: the landmarks as seen, with a real face's depth however the head is turned."""
    with np.errstate(all="ignore"):  # points that all lie in one have no turn, which is told by what comes of it
        turned = similarity(seen.shape, seen.landmarks)
    deep = (seen.shape - seen.shape.mean(axis=0)) * np.array([1.0, 1.0, gain], np.float32)
    face = seen.landmarks.astype(np.float32).copy()
    face[:, 2] = (deep @ turned.T)[:, 2] + seen.landmarks[:, 2].mean()
    return face


def _axis(points: np.ndarray) -> float:
    """The depth that lies on the plane of the glass: between nose and cheeks, whose edges are what is furthest back of a face."""
    nose, cheeks = float(points[:POINTS, 2].min()), float(points[CHEEKS, 2].mean())
    return nose + AXIS_SHARE * (cheeks - nose)


def _tilted(points: np.ndarray, roll: float) -> np.ndarray:
    """[N, 2]: turned back by as much as the crop was turned to stand upright."""
    cos, sin = np.cos(np.clip(roll, -1.0, 1.0)), np.sin(np.clip(roll, -1.0, 1.0))
    middle = texture.CROP / 2
    return ((points - middle) @ np.array([[cos, -sin], [sin, cos]]) + middle).astype(np.float32)


def _cut_out(seen: FaceObservation) -> np.ndarray:
    """[SIDE, SIDE, 4] uint8: the crop where the matte shows somebody, nothing around it."""
    atlas = np.zeros((texture.SIDE, texture.SIDE, 4), np.uint8)
    if seen.crop is None or seen.matte is None:
        return atlas
    pad, matte = texture.PAD, np.nan_to_num(seen.matte)
    atlas[pad:-pad, pad:-pad, :3] = seen.crop
    alpha = np.clip((matte - ALPHA_FROM) * (255 / (ALPHA_TO - ALPHA_FROM)), 0, 255)
    atlas[pad:-pad, pad:-pad, 3] = alpha.astype(np.uint8)
    return atlas


ENGINE = Live
