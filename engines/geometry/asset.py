"""Asset: an avatar as triangles at rest, with a picture for them and what moves with what. Knows no files and no cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from engines.geometry.cloud import Cloud
from engines.geometry.motion import Motion

if TYPE_CHECKING:  # a bare GPU machine has no scipy, and runs what imports this
    from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Part:
    """Triangles that are drawn with one rule, after those of the parts before."""

    triangles: np.ndarray
    "[T, 3] int32, counter-clockwise where seen from the front."
    culled: bool
    "Seen from its front only."


METRES = 1 / 2.7
"A unit of the world: MediaPipe's canonical centimetres, which are an adult's, are 0.027 of it (pipeline/preprocess/framing.py)."


@dataclass(frozen=True)
class Asset:
    """All that is needed of an avatar once. Lengths are units of the world (display/optics.py)."""

    engine: str
    parallel: bool
    "Drawn in parallel projection along each camera's axis; otherwise in perspective."
    points: np.ndarray
    "[N, 3] float32 at rest."
    uv: np.ndarray
    "[N, 2] float32: 0..1 of the atlas, from its top left corner."
    light: np.ndarray
    "[N] float32 that colours are multiplied with, at rest."
    shade: np.ndarray
    "[N] int32: 0, or 1 + the shade of a motion that multiplies this vertex's light."
    joints: np.ndarray
    "[N, 4] uint8: by which joints a vertex is moved; joint 0 never moves."
    weights: np.ndarray
    "[N, 4] float32: how much by each; of a vertex they sum to 1."
    moves: csr_matrix
    "[N, K] float32, -1..1: how each vertex follows each control."
    parts: tuple[Part, ...]
    "In drawing order."
    atlas: np.ndarray
    "[H, W, 4] uint8, straight alpha."
    crop: int
    "Atlas pixels along the side of what a square view shows."
    largest: float
    "The scale up to which the atlas is brought to a picture's."
    metres: float = METRES
    "Of a unit of the world, for whoever shows it at life size."
    fade: float = 0.0
    "Share of the crop's height over which the picture fades at its lower edge."


class HasGeometry(Protocol):
    """An engine whose avatars can be drawn where they are seen (engines.contract.Abilities.geometry)."""

    def asset(self, avatar: Any) -> Asset | Cloud:
        """What a viewer has to be given once."""
        ...

    def motion(self, state: Any) -> Motion:
        """What it has to be given of a driven state: drawn with the avatar's asset, the state is what `render` shows."""
        ...


def posed(asset: Asset, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Where the vertices are [N, 3] float32 and their light [N] float32, as `motion` has them."""
    moved = asset.points + asset.moves @ motion.controls
    matrices = np.concatenate([np.eye(3, 4, dtype=np.float32)[None], motion.joints])
    placed = np.concatenate([moved, np.ones((len(moved), 1), np.float32)], axis=1)
    by_joint = np.einsum("nkij,nj->nki", matrices[asset.joints], placed)
    points = np.einsum("nk,nki->ni", asset.weights, by_joint)
    shades = np.concatenate([np.ones(1, np.float32), motion.shades])
    return points.astype(np.float32), (asset.light * shades[asset.shade]).astype(np.float32)
