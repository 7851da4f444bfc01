"""Avatar: one enrolled portrait: its mesh at rest, its atlas, and how its points follow a face."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from engines.relief.surface import Mesh
from engines.relief.topology import CHIN, LOWER_LIP_INNER, OVAL, POINTS, UPPER_LIP_INNER


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
