"""Optics: where the cameras stand. World: y up, the face looks along +z, units of VOODOO 3D (arXiv 2312.04651).

Cameras orbit LOOK_AT at ORBIT_RADIUS. Camera axes follow OpenCV: x right, y down, z into the scene; cam2world columns are
right, down, forward, position. Knows nothing of what is being looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from display.screen import Screen

LOOK_AT = np.array([0.0, 0.0, 0.2])
"The point every camera faces: the head's middle, which lies on the plane of the glass."
ORBIT_RADIUS = 2.5
FOCAL = 1.0 / (math.tan(18.837 * 3.14159 / 360.0) * 1.414)
"Focal length over picture width: 4.263391, with the official constants."
HALF_PICTURE = 0.5 * ORBIT_RADIUS / FOCAL
"Half the width, in world units, that a square picture shows of the plane through LOOK_AT: 0.2932."

NARROWEST_SHARE = 0.75
"A picture narrower than this share of its height shows this share of the crop and dark above and below instead."


@dataclass(frozen=True)
class Cameras:
    """A batch of V pinhole cameras that share one picture size. Views are an axis, never a loop."""

    cam2world: np.ndarray
    "[V, 4, 4] float32."
    intrinsics: np.ndarray
    "[V, 3, 3] float32, normalised by picture width (first row) and height (second row)."
    width: int
    height: int
    first: int = 0
    "The index, in the whole fan, of the first camera of this batch."

    def __post_init__(self) -> None:
        assert self.cam2world.shape[1:] == (4, 4), self.cam2world.shape
        assert self.intrinsics.shape == (len(self.cam2world), 3, 3), self.intrinsics.shape

    def __len__(self) -> int:
        return len(self.cam2world)

    @property
    def yaws(self) -> np.ndarray:
        """[V] yaw of each camera about LOOK_AT in radians; positive stands to the right (+x)."""
        away = self.cam2world[:, :3, 3] - LOOK_AT
        return np.arctan2(away[:, 0], away[:, 2])

    @property
    def span(self) -> tuple[float, float]:
        """(width, height) that a picture shows of the plane through LOOK_AT, as shares of the square crop's side."""
        return FOCAL / float(self.intrinsics[0, 0, 0]), FOCAL / float(self.intrinsics[0, 1, 1])

    def split(self, parts: int) -> list[Cameras]:
        """This batch in up to `parts` runs of neighbouring cameras, as even as can be, none empty."""
        assert parts > 0, parts
        bounds = np.linspace(0, len(self), min(parts, len(self)) + 1).round().astype(int)
        return [
            Cameras(self.cam2world[a:b], self.intrinsics[a:b], self.width, self.height, self.first + a)
            for a, b in pairwise(bounds.tolist())
        ]


def orbit(yaw_degrees: float, pitch_degrees: float = 0.0) -> np.ndarray:
    """[4, 4] float32 cam2world on the sphere of ORBIT_RADIUS about LOOK_AT; (0, 0) is the frontal camera at z = 2.7."""
    yaw, pitch = math.radians(yaw_degrees), math.radians(pitch_degrees)
    away = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.cross(-away, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    cam2world = np.eye(4)
    cam2world[:3, 0], cam2world[:3, 1], cam2world[:3, 2] = right, np.cross(-away, right), -away
    cam2world[:3, 3] = LOOK_AT + ORBIT_RADIUS * away
    return cam2world.astype(np.float32)


def intrinsics(aspect: float = 1.0) -> np.ndarray:
    """[3, 3] float32 for a picture of width/height `aspect` that shows the crop's full height, or NARROWEST_SHARE of its width."""
    width_share = max(aspect, NARROWEST_SHARE)
    return np.array(
        [[FOCAL / width_share, 0, 0.5], [0, FOCAL * aspect / width_share, 0.5], [0, 0, 1]], dtype=np.float32
    )


def fan(screen: Screen) -> Cameras:
    """The camera array of `screen`: one for every view, in view order."""
    cam2world = np.stack([orbit(yaw) for yaw in screen.yaws_degrees])
    per_view = np.repeat(intrinsics(screen.aspect)[None], screen.views, axis=0)
    return Cameras(cam2world, per_view, screen.tile_width, screen.tile_height)
