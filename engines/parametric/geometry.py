"""Geometry: a head and how it is driven, for whoever draws it elsewhere. The atlas holds the portrait; below it the rest of the head,
rolled out from the back of it; below that, a place each, triangles that neither shows, as the mouth's inside."""

from __future__ import annotations

import cv2
import numpy as np

from engines.contract import CROP
from engines.geometry import charts, shapes
from engines.geometry.asset import Asset, Part
from engines.geometry.motion import Motion
from engines.parametric import colouring
from engines.parametric.drive import ParametricState
from engines.parametric.enrol import PIVOT, ParametricAvatar
from engines.raster import textured

SIDE = 2 * CROP
"Texels of a side of what is rolled out: at the ears as fine as the portrait."
FURTHEST, BEYOND = np.radians(150), np.radians(162)
"From the back of the head: up to the first it is rolled out, and its picture goes on to the second, so that no edge of it is seen."
CELL = 8
"Texels of a square in which two triangles have their colours."
SURE = 0.999
"Share of the portrait from which on nothing else is seen."
LEAST = 1e-4
"World units, a twelfth of a pixel of the crop, below which a shape moves nothing: without it an asset has three times the bytes."
UNSCALED = 64
"The engine samples its texture as it is, however large a view is: pictures of up to so few pixels alone are drawn from a smaller one."


def asset(avatar: ParametricAvatar) -> Asset:
    """What is drawn of the avatar, at rest, and what moves with what."""
    triangles, share = avatar.drawn, avatar.coloured.colours[:, 3]
    shown = (share[triangles] >= SURE).all(1)
    rolled = _rolled(avatar.vertices)
    furthest = _from_back(avatar.vertices)[triangles].max(1)
    round_it = ~shown & (furthest < FURTHEST)
    alone = ~shown & ~round_it
    laid = charts.laid_out(int(alone.sum()), CELL, SIDE)
    atlas = np.full((CROP + SIDE + laid.height, SIDE, 4), 255, np.uint8)
    atlas[:CROP, :, :3] = 0
    atlas[:CROP, :CROP, :3] = avatar.coloured.texture
    atlas[CROP : CROP + SIDE, :, :3] = _back(avatar, triangles[furthest < BEYOND], rolled)
    atlas[CROP + SIDE :, :, :3] = 0
    atlas[CROP + SIDE + laid.rows, laid.columns, :3] = _colours(avatar, triangles[alone], laid)
    places = (
        avatar.coloured.uv[triangles[shown]],
        rolled[triangles[round_it]] + np.array([0, CROP]),
        laid.corners + np.array([0, CROP + SIDE]),
    )
    ordered = np.concatenate([triangles[shown], triangles[round_it], triangles[alone]])
    source, uv, drawn = charts.welded(ordered, np.concatenate(places))
    weights = np.zeros((len(source), 4), np.float32)
    weights[:, 0], weights[:, 1] = avatar.turning[source], 1 - avatar.turning[source]
    joints = np.zeros((len(source), 4), np.uint8)
    joints[:, 0] = avatar.turning[source] > 0
    return Asset(
        engine="parametric",
        parallel=False,
        points=avatar.to_world(avatar.vertices)[source],
        uv=(uv / [SIDE, len(atlas)]).astype(np.float32),
        light=avatar.light[source],
        shade=np.zeros(len(source), np.int32),
        joints=joints,
        weights=weights,
        moves=shapes.moves(avatar.world_shapes, avatar.world_sizes, LEAST)[source],
        parts=(Part(drawn, culled=True),),
        atlas=atlas,
        crop=UNSCALED,
        largest=1.0,
    )


def motion(state: ParametricState) -> Motion:
    """How the state differs from its avatar at rest."""
    avatar, turn = state.avatar, state.turn
    pivot = avatar.to_world(np.asarray(PIVOT))
    head = np.column_stack([turn, pivot - turn @ pivot])[None].astype(np.float32)
    return Motion(head, shapes.controls(state.coefficients, avatar.world_sizes), np.zeros(0, np.float32))


def _from_back(vertices: np.ndarray) -> np.ndarray:
    """[N] radians of canonical vertices [N, 3], seen from the head's middle: 0 behind, pi in front."""
    return np.arccos(np.clip(-vertices[:, 2] / np.maximum(np.linalg.norm(vertices, axis=1), 1e-9), -1, 1))


def _rolled(vertices: np.ndarray) -> np.ndarray:
    """[N, 2] texels: the azimuthal equidistant projection from the back of the head (Snyder, Map Projections, 25)."""
    across = vertices[:, :2] / np.maximum(np.linalg.norm(vertices[:, :2], axis=1, keepdims=True), 1e-9)
    return SIDE / 2 * (1 + _from_back(vertices)[:, None] / BEYOND * across * [-1, -1])


def _back(avatar: ParametricAvatar, triangles: np.ndarray, rolled: np.ndarray) -> np.ndarray:
    """[SIDE, SIDE, 3] uint8: the head rolled out, the outermost of it where it is folded; around it its colours go on."""
    middle = np.linalg.norm(avatar.vertices, axis=1)
    places = np.column_stack([rolled, middle.max() - middle]).astype(np.float32)
    out = np.zeros((SIDE, SIDE, 4), np.uint8)
    owner, depth = np.empty((SIDE, SIDE), np.int32), np.empty((SIDE, SIDE), np.float32)
    coloured, lit = avatar.coloured, np.ones(len(rolled), np.float32)
    textured.draw(places, triangles, coloured.uv, coloured.colours, lit, coloured.texture, owner, depth, out)
    whole = cv2.erode((owner >= 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    return colouring.continued(out[..., :3].copy(), whole.astype(np.float32))


def _colours(avatar: ParametricAvatar, triangles: np.ndarray, laid: charts.Charts) -> np.ndarray:
    """[M, 3] uint8 of the texels: the vertices' own and the portrait's, by its share (engines/raster/textured.py)."""
    own = laid.mixed(avatar.coloured.colours[triangles].astype(np.float32))
    x, y = np.clip(laid.mixed(avatar.coloured.uv[triangles]) - 0.5, 0, CROP - 1.001).T
    column, row = x.astype(int), y.astype(int)
    texture = avatar.coloured.texture.astype(np.float32)
    across, down = (x - column)[:, None], (y - row)[:, None]
    above = texture[row, column] * (1 - across) + texture[row, column + 1] * across
    below = texture[row + 1, column] * (1 - across) + texture[row + 1, column + 1] * across
    share = np.clip(own[:, 3:], 0, 1)
    mixed = own[:, :3] + share * (above * (1 - down) + below * down - own[:, :3])
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
