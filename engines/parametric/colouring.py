"""Colouring: what of a portrait lies on which vertex, and what the vertices that it does not show look like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.sparse import csr_matrix

from display import optics
from engines.contract import CROP
from engines.raster import fan, textured

FACING = (0.2, 0.6)
"Cosines between a normal and the view at which the picture begins to count, and counts alone."
HIDDEN = 0.012
"World units behind the nearest surface at which a vertex is hidden."
MATTED = 0.6
INSIDE_MOUTH = np.array([58.0, 26.0, 24.0])
FEATHER = 5
"Vertices over which the picture fades into what lies beside it."
SPREADS = 60
"Rounds in which colours flow from vertex to vertex."


@dataclass(frozen=True)
class Coloured:
    """A head's colours, a vertex each, and the picture that they fade into."""

    uv: np.ndarray
    "[N, 2] float32 crop pixels."
    colours: np.ndarray
    "[N, 4] float32: RGB 0..255 and the share of the picture, 0..1."
    texture: np.ndarray
    "[512, 512, 3] uint8: the person, and its own colours continued around it."

    @cached_property
    def words(self) -> np.ndarray:
        """[512, 512] uint64: the texture, as fan.draw takes it."""
        return fan.words(self.texture)


def colour(
    posed: np.ndarray,  # [N, 3] world: the vertices with the portrait's own expression
    normals: np.ndarray,  # [N, 3]
    triangles: np.ndarray,
    mirrored: np.ndarray,  # [N] int: the vertex opposite each
    mouth: np.ndarray,  # [N] bool: what lies within the lips
    cam2world: np.ndarray,
    crop: np.ndarray,
    matte: np.ndarray,
) -> Coloured:
    """Projected from the portrait's camera where that sees them; from the other half of the face, then from neighbours elsewhere."""
    places = textured.project(posed, cam2world, optics.intrinsics(), CROP, CROP)
    texture = continued(crop, matte)
    share = _seen(posed, places, normals, triangles, cam2world, matte)
    share[mouth] = 0
    x, y = (np.clip(places[:, k].astype(int), 0, CROP - 1) for k in range(2))
    own = cv2.GaussianBlur(texture, (0, 0), 1.5)[y, x].astype(np.float64)
    links = _neighbours(len(posed), triangles)
    share = _feathered(share, links)
    sure = share > 0.5
    colours = np.where(sure[:, None], own, own[mirrored])
    known = sure | (sure[mirrored] & ~mouth)
    colours[~known] = own[sure].mean(0) if sure.any() else 128.0
    colours = _flowed(colours, known, links)
    colours[mouth] = INSIDE_MOUTH
    return Coloured(places[:, :2].copy(), np.concatenate([colours, share[:, None]], 1).astype(np.float32), texture)


def continued(crop: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The crop [H, W, 3] uint8 with the person's own colours, nearest first, where `matte` [H, W] uint8 has nobody."""
    inside = (cv2.erode(matte, np.ones((5, 5), np.uint8)) > MATTED).astype(np.uint8)
    if not inside.any():
        return crop.copy()
    _, label = cv2.distanceTransformWithLabels(1 - inside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.asarray(label, np.int64)
    colour_of = np.zeros((nearest.max() + 1, 3), np.uint8)
    colour_of[nearest[inside > 0]] = crop[inside > 0]
    filled = colour_of[nearest]
    soft = cv2.GaussianBlur(filled, (0, 0), 4)
    return np.where(inside[..., None] > 0, crop, soft)


def _seen(
    posed: np.ndarray,
    places: np.ndarray,
    normals: np.ndarray,
    triangles: np.ndarray,
    cam2world: np.ndarray,
    matte: np.ndarray,
) -> np.ndarray:
    """[N] 0..1: how far the portrait shows each vertex."""
    view = cam2world[:3, 3] - posed
    cosine = (normals * view).sum(1) / np.linalg.norm(view, axis=1)
    depth = depth_of(places, triangles)
    x, y = (np.clip(places[:, k].astype(int), 0, CROP - 1) for k in range(2))
    nearest = cv2.erode(depth, np.ones((3, 3), np.uint8))[y, x]
    inside = ((places[:, :2] >= 0) & (places[:, :2] < CROP)).all(1)
    shown = inside & (places[:, 2] < nearest + HIDDEN) & (matte[y, x] > MATTED)
    rise = np.clip((cosine - FACING[0]) / (FACING[1] - FACING[0]), 0, 1)
    return np.where(shown, rise, 0.0)


def depth_of(places: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[512, 512] float32 depth of the nearest surface; infinite where there is none."""
    count = len(places)
    owner, depth = np.empty((CROP, CROP), np.int32), np.empty((CROP, CROP), np.float32)
    textured.draw(
        places, triangles, np.zeros((count, 2), np.float32), np.zeros((count, 4), np.float32), np.ones(count, np.float32),
        np.zeros((2, 2, 3), np.uint8), owner, depth, np.empty((CROP, CROP, 4), np.uint8),
    )  # fmt: skip
    return depth


def _neighbours(count: int, triangles: np.ndarray) -> csr_matrix:
    """[N, N] 1 where an edge is."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([ends, ends[:, ::-1]]).T
    return csr_matrix((np.ones(both.shape[1]), (both[0], both[1])), shape=(count, count))


def _feathered(share: np.ndarray, links: csr_matrix) -> np.ndarray:
    """The shares [N], falling off over some vertices towards those that the picture does not show."""
    degree = np.asarray(links.sum(1)).ravel().clip(1)
    soft = share
    for _ in range(FEATHER):
        soft = np.minimum(share, links @ soft / degree)
    return soft


def _flowed(colours: np.ndarray, known: np.ndarray, links: csr_matrix) -> np.ndarray:
    """Colours [N, 3], unknown ones (`known` [N] bool) as the mean of their neighbours', again and again (a harmonic fill)."""
    shown, reached = colours.copy(), known.copy()
    for _ in range(SPREADS):
        amount = (links @ reached.astype(float))[:, None]
        mean = (links @ (shown * reached[:, None])) / np.maximum(amount, 1e-9)
        grown = reached | (amount[:, 0] > 0)
        shown = np.where(known[:, None] | ~grown[:, None], shown, mean)
        reached = grown
    return shown
