"""Geometry: an avatar and how it is driven, for whoever draws it elsewhere: crop pixels become the world of display/optics.py."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from display.optics import HALF_PICTURE, LOOK_AT
from engines.contract import CROP
from engines.geometry.asset import METRES, Asset, Part
from engines.geometry.motion import Motion
from engines.relief.avatar import ReliefAvatar
from engines.relief.drive import ReliefState
from engines.relief.render import LARGEST_TEXTURE_SCALE
from engines.relief.topology import LOWER_LIP_INNER, OVAL, POINTS, UPPER_LIP_INNER, face_triangles

UNIT = 2 * HALF_PICTURE / CROP
"A pixel of the crop in units of the world."
FLIP = np.array([1.0, -1.0, -1.0], np.float32)
"From x right, y down, z into the scene to x right, y up, z out of it."
IRISES, JAW = (0, 1), 2
"Controls that are no landmarks come behind those that are."


def asset(avatar: ReliefAvatar) -> Asset:
    """What is drawn of the avatar, at rest, and what moves with what."""
    mesh = avatar.mesh
    height, width = avatar.atlas.shape[:2]
    assert avatar.axis[0] == CROP / 2, "cameras turn about the middle of the crop"
    count = len(mesh.points)
    joints = np.zeros((count, 4), np.uint8)
    joints[:, 0] = avatar.turning > 0
    weights = np.zeros((count, 4), np.float32)
    weights[:, 0], weights[:, 1] = avatar.turning, 1 - avatar.turning
    shade = np.zeros(count, np.int32)
    shade[avatar.parts.mouth] = 1 + np.arange(_length(avatar.parts.mouth))
    return Asset(
        engine="relief",
        parallel=True,
        points=_world(avatar, mesh.points),
        uv=(mesh.uv / [width, height]).astype(np.float32),
        light=mesh.light,
        shade=shade,
        joints=joints,
        weights=weights,
        moves=_moves(avatar),
        parts=_parts(mesh.triangles, mesh.culled),
        atlas=avatar.atlas,
        crop=round(CROP / avatar.zoom),
        largest=LARGEST_TEXTURE_SCALE,
        fade=avatar.fade / CROP,
        metres=METRES / avatar.zoom,
    )


def motion(state: ReliefState) -> Motion:
    """How the state differs from its avatar at rest."""
    avatar, moves = state.avatar, state.moves
    assert moves is not None, "a state without moves"
    pivot = _world(avatar, avatar.pivot)
    turn = FLIP[:, None] * moves.turn * FLIP
    head = np.column_stack([turn, pivot - turn @ pivot])[None].astype(np.float32)
    controls = np.concatenate([moves.landmarks[_order()], moves.irises, moves.jaw[None]])
    mouth = avatar.parts.mouth
    shades = state.light[mouth] / np.maximum(avatar.mesh.light[mouth], 1e-6)
    return Motion(head, controls.astype(np.float32) * (UNIT * FLIP), shades.astype(np.float32))


def _world(avatar: ReliefAvatar, points: np.ndarray) -> np.ndarray:
    """[..., 3] float32 of crop pixels [..., 3]: what the views turn about lies in the middle of the cameras' orbit."""
    middle = np.array([CROP / 2, CROP / 2, avatar.axis[1]])
    return (LOOK_AT + (points - middle) * (UNIT * FLIP)).astype(np.float32)


def _parts(triangles: np.ndarray, culled: np.ndarray) -> tuple[Part, ...]:
    """Runs of triangles [T, 3] with one rule, in their order; anticlockwise from in front."""
    begins = np.concatenate([[0], np.flatnonzero(np.diff(culled)) + 1, [len(culled)]]).tolist()
    return tuple(Part(np.ascontiguousarray(triangles[a:b, ::-1]), bool(culled[a])) for a, b in pairwise(begins))


@cache
def _order() -> np.ndarray:
    """[468] the landmarks that triangles have, each beside the one before as far as may be: neighbours move alike, and what is
    sent of a control is its difference from the one before."""
    beside: dict[int, set[int]] = {}
    for a, b, c in face_triangles().tolist():
        for one, others in ((a, (b, c)), (b, (a, c)), (c, (a, b))):
            beside.setdefault(one, set()).update(others)
    order, waiting, known = [], [min(beside)], {min(beside)}
    while waiting:
        order.append(waiting.pop())
        fresh = sorted(beside[order[-1]] - known)
        known |= set(fresh)
        waiting += fresh
    assert len(order) == len(beside), "the face is one sheet"
    return np.array(order)


def _moves(avatar: ReliefAvatar) -> csr_matrix:
    """[N, K]: what drive() does to the points, before the head turns."""
    parts, order = avatar.parts, _order()
    control = np.full(POINTS, -1)
    control[order] = np.arange(len(order))
    others = len(order)
    face = np.concatenate([order, POINTS + np.arange(2 * len(UPPER_LIP_INNER))])
    followed = np.concatenate([order, UPPER_LIP_INNER, LOWER_LIP_INNER])
    (around, oval), (back, behind) = np.nonzero(avatar.follow), np.nonzero(avatar.follow_back)
    entries = [
        (parts.face.start + face, control[followed], np.ones(len(face))),
        (parts.around.start + around, control[OVAL[oval]], avatar.follow[around, oval]),
        (parts.back.start + back, control[OVAL[behind]], avatar.follow_back[back, behind]),
        (_range(parts.mouth), np.full(_length(parts.mouth), others + JAW), avatar.jaw),
    ]
    for iris, number in zip(parts.irises, IRISES, strict=True):
        entries.append((_range(iris), np.full(_length(iris), others + number), np.ones(_length(iris))))
    rows, columns, weights = (np.concatenate(column) for column in zip(*entries, strict=True))
    shape = (len(avatar.mesh.points), others + len(IRISES) + 1)
    return csr_matrix((weights.astype(np.float32), (rows, columns)), shape)


def _length(part: slice) -> int:
    return part.stop - part.start


def _range(part: slice) -> np.ndarray:
    return np.arange(part.start, part.stop)
