"""Detail: how much of a screen's quilt is made, from all of it down to a few small views. The tiling stays as it is.

Whoever shows a quilt, a page, OBS or a Looking Glass, knows its tiling and takes the size of a tile from the picture, so nobody
has to be told: tiles get smaller, and one view stands in neighbouring tiles. Knows nothing of why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from display.screen import Screen
from display.views import ViewSet

FEWEST_VIEWS = 6
"Of a quilt that are told apart, however many tiles share them: fewer would jump from one to the next."
SMALLEST_TILE = 32
"Pixels of a side below which nothing is made smaller."


@dataclass(frozen=True)
class Detail:
    """How much of a quilt is made; without arguments all of it."""

    scale: float = 1.0
    "Of a tile's sides."
    share: int = 1
    "Neighbouring tiles that show one view."

    @lru_cache(maxsize=256)  # noqa: B019 (a handful of details exist, all of them for good)
    def tiled(self, screen: Screen) -> Screen:
        """`screen` with its tiles as large as they are made, of even sides."""
        if self.scale == 1.0:
            return screen
        width, height = (max(SMALLEST_TILE, 2 * round(self.scale * side / 2)) for side in _tile(screen))
        width, height = min(width, screen.tile_width), min(height, screen.tile_height)
        return replace(screen, quilt_width=width * screen.columns, quilt_height=height * screen.rows)

    @lru_cache(maxsize=256)  # noqa: B019
    def rendered(self, screen: Screen) -> Screen:
        """The views that are rendered: each stands in the middle of those that it stands in for."""
        tiled, yaws, share = self.tiled(screen), screen.yaws_degrees, self.shared(screen)
        if share == 1:
            return tiled
        groups = [yaws[first : first + share] for first in range(0, len(yaws), share)]
        return replace(tiled, yaws_degrees=tuple(round(sum(group) / len(group), 6) for group in groups))

    def shared(self, screen: Screen) -> int:
        """Neighbouring tiles of `screen` that show one view: fewer where it has few views."""
        return max(1, min(self.share, screen.views // FEWEST_VIEWS))

    def spread(self, parts: Sequence[ViewSet], screen: Screen) -> list[ViewSet]:
        """`parts`, which hold every view that is rendered of `screen`, as parts that hold one for every tile; nothing is copied."""
        if self.shared(screen) == 1:
            return list(parts)
        return [
            ViewSet(part.images[offset : offset + 1], tile)
            for part in parts
            for offset in range(len(part))
            for tile in self._tiles(part.first + offset, screen)
        ]

    def _tiles(self, view: int, screen: Screen) -> range:
        share = self.shared(screen)
        return range(view * share, min((view + 1) * share, screen.views))


FULL = Detail()


def _tile(screen: Screen) -> tuple[int, int]:
    return screen.tile_width, screen.tile_height
