"""Framing: how a figure lies in what views show: as in the crop, or smaller, so that all of its hair or hat is in the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engines.contract import CROP
from engines.relief import texture
from engines.relief.avatar import ReliefAvatar

AIR = 18.0
"Pixels of the crop that views keep above a figure, where the photo has them."
SMALLEST = 0.8
"Figures are shown no smaller than this, however high their hats: a face wants its pixels."
HIGHEST = 12
"Pixels across that a row of the figure has at least: a single hair is cut."


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
