"""Crops: where in a picture ROME and DECA look, from MediaPipe's 478 landmarks in place of a 68-point detector's.

Places are -1..1 across a square picture, x right, y down. Pictures are sampled as the release samples them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIXTY_EIGHT = np.array(
    [
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw, from picture left
        *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # ridge and underside of the nose
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes, from outer and from inner corner
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips, from picture left
        *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
    ]
)
"Of MediaPipe's mesh, the landmarks nearest to the 68 points of iBUG 300-W, in their order (docs/rome.md shows them)."

_EYES, _MOUTH_ENDS = (slice(36, 42), slice(42, 48)), [48, 54]
MARGIN = 1.1 * 1.25
"Of DECA's box over the mean side of the landmarks' box."
ZOOM_OUT = 1.25
"How much more than FFHQ's alignment the source shows."


@dataclass(frozen=True)
class Box:
    """A square part of a square picture, in 0..1 of it; may leave it."""

    left: float
    top: float
    side: float

    def uncropped(self, cam: Tensor) -> Tensor:
        """A camera [B, 3] of this part as one of the whole picture."""
        scale, x, y = cam.unbind(1)
        whole = scale * self.side
        return torch.stack(
            (
                whole,
                x + 1 / scale + (2 * self.left - 1) / whole,
                y - 1 / scale - (2 * self.top - 1) / whole,
            ),
            1,
        )


def box_about(points: np.ndarray) -> Box:
    """The part that DECA's encoder sees of a picture with these 68 landmarks [68, 2]."""
    low, high = ((bound + 1) / 2 for bound in (points.min(0), points.max(0)))
    side, middle = (high - low).mean() * MARGIN, (low + high) / 2
    return Box(float(middle[0] - side / 2), float(middle[1] - side / 2), float(side))


def cut(picture: Tensor, box: Box, side: int) -> Tensor:
    """[1, C, side, side] of a picture [1, C, S, S]: samples from border to border of the box, bilinear, 0 outside."""
    ramp = torch.linspace(0, 1, side, device=picture.device)
    x, y = (2 * (start + ramp * box.side) - 1 for start in (box.left, box.top))
    grid = torch.stack(torch.broadcast_tensors(x, y[:, None]), -1)[None]
    return F.grid_sample(picture, grid, align_corners=False)


def alignment(points: np.ndarray) -> np.ndarray:
    """[2, 3] from places in the aligned portrait to places in the picture with these landmarks [68, 2] (FFHQ's box, wider).

    The release fits it iteratively; as its four corners are a square's, it is this.
    """
    eyes = [points[eye].mean(0) for eye in _EYES]
    across, middle = eyes[1] - eyes[0], (eyes[0] + eyes[1]) / 2
    down = points[_MOUTH_ENDS].mean(0) - middle
    x = across - np.array([-down[1], down[0]])
    x *= max(2 * np.linalg.norm(across), 1.8 * np.linalg.norm(down)) / np.linalg.norm(x)
    y = np.array([-x[1], x[0]])
    centre = middle + 0.1 * down
    return np.column_stack((ZOOM_OUT * x, ZOOM_OUT * y, centre))


def aligned(picture: Tensor, theta: np.ndarray, side: int) -> Tensor:
    """[1, C, side, side]: `picture` [1, C, S, S] as `alignment` says, bilinear, 0 outside."""
    ramp = torch.linspace(-1, 1, side, device=picture.device)
    places = torch.stack(torch.broadcast_tensors(ramp, ramp[:, None], torch.ones_like(ramp)), -1)
    grid = places @ torch.from_numpy(theta.T).to(picture)
    return F.grid_sample(picture, grid[None], align_corners=False)


def into_aligned(points: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Places [N, 2] in a picture as places in its aligned portrait."""
    return (points - theta[:, 2]) @ np.linalg.inv(theta[:, :2]).T
