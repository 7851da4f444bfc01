"""Tiling: how a quilt picture holds its views, whoever made it. A screen's quilts have one, and so has a file by its name.

Names do not tell which cameras there were, so our own files say it in a note, which every program may ignore.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from display.optics import intrinsics
from display.screen import Screen

OFF_AXIS = "telequilt: off-axis"
"The note of a file whose views are off-axis."
ORBIT = re.compile(r"telequilt: orbit (\d{1,2}(?:\.\d+)?) (perspective|parallel)")
"The note of one whose cameras orbited: by how many degrees from the first to the last, and how they projected."

NOTED = "Comment"
"Under which keyword a PNG has its note; an MP4 has it as its comment."


@dataclass(frozen=True)
class Tiling:
    """How a quilt picture holds its views: any quilt's, a file's or a screen's."""

    columns: int
    rows: int
    views: int
    "May be fewer than columns x rows."
    width: int
    "Pixels of the whole quilt; what columns do not divide is padding at the right."
    height: int
    "Likewise; padding at the top."
    aspect: float
    "Width over height of the picture in a tile once shown."
    fan_degrees: float = 0.0
    "From the first to the last camera, where cameras orbited at even steps; 0 for off-axis views, as other programs make."
    parallel: bool = False
    "The orbiting cameras projected in parallel (engines.contract.Abilities)."

    def __post_init__(self) -> None:
        assert 0 < self.views <= self.columns * self.rows, (self.views, self.columns, self.rows)
        assert self.width >= self.columns, (self.width, self.columns)
        assert self.height >= self.rows, (self.height, self.rows)
        assert self.aspect > 0, self.aspect

    @classmethod
    def of(cls, screen: Screen, parallel: bool = False) -> Tiling:
        """The tiling of the quilts that an engine renders for `screen`, with orbiting cameras."""
        return cls(
            screen.columns,
            screen.rows,
            screen.views,
            screen.quilt_width,
            screen.quilt_height,
            screen.aspect,
            screen.yaws_degrees[-1] - screen.yaws_degrees[0],
            parallel,
        )

    def sized(self, width: int, height: int) -> Tiling:
        """This tiling in a quilt of `width` x `height` pixels: the same views, of other sizes."""
        return self if (width, height) == (self.width, self.height) else replace(self, width=width, height=height)

    @property
    def note(self) -> str:
        """What a file with such views says of its cameras."""
        if not self.fan_degrees:
            return OFF_AXIS
        return f"telequilt: orbit {self.fan_degrees:.6g} {'parallel' if self.parallel else 'perspective'}"

    def noted(self, note: str) -> Tiling:
        """This tiling with the cameras that a file's `note` tells. Without one, or with another program's, they are as they were."""
        orbit = ORBIT.fullmatch(note)
        if orbit is not None:
            return replace(self, fan_degrees=float(orbit[1]), parallel=orbit[2] == "parallel")
        return replace(self, fan_degrees=0.0, parallel=False) if note == OFF_AXIS else self

    @property
    def tile_width(self) -> int:
        """Pixels of one view across."""
        return self.width // self.columns

    @property
    def tile_height(self) -> int:
        """Pixels of one view down."""
        return self.height // self.rows

    @property
    def opening(self) -> float:
        """Picture width over focal length of the cameras that orbited; 0 for parallel projection."""
        return 0.0 if self.parallel else 1 / float(intrinsics(self.aspect)[0, 0])


def named(file_name: str, width: int, height: int) -> Tiling | None:
    """The tiling in the name of a quilt file (`head_qs6x4a0.75.mp4`) of `width` x `height` pixels, if the name tells."""
    found = re.search(r"qs(\d{1,3})x(\d{1,3})a(\d+(?:\.\d+)?|\.\d+)", file_name)
    if not found:
        return None
    columns, rows, aspect = int(found[1]), int(found[2]), float(found[3])
    if not (0 < columns <= width and 0 < rows <= height and 0 < aspect < 100):
        return None
    return Tiling(columns, rows, columns * rows, width, height, aspect)
