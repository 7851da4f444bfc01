"""Screen: how a display wants its quilt tiled, by its own report or by presets.json. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from display.calibration import Calibration, Fields
from display.presets import devices

PRODUCT = "telequilt"
"The product's own screen: 24 views as 6x4 square tiles of 256 px."

HALF_FAN_DEGREES = 17.5
"Views are rendered from -17.5 to +17.5 degrees, the content cone of VOODOO 3D (arXiv 2312.04651) and of the vendor's docs."

WIDEST_HALF_FAN_DEGREES = 35.0
"However deep a picture is wanted, cameras stay on this side of a head's profile."

SMALLEST_ORDINARY_VIEW = 512
"Height in pixels of a single view shown as ordinary video."


class UnknownScreen(ValueError):
    """The caller named a screen that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Screen:
    """One tiling of views. View 0 is bottom-left and leftmost; then rightwards, then upwards."""

    name: str
    columns: int
    rows: int
    quilt_width: int
    "Pixels. Columns that do not divide it leave padding at the right."
    quilt_height: int
    "Pixels. Rows that do not divide it leave padding at the top."
    aspect: float
    "Width over height of the picture in a tile once shown; tiles may store it squeezed."
    yaws_degrees: tuple[float, ...]
    "Camera yaw of each view, leftmost (negative) first."
    every: int = 1
    "Of the pictures that are made, one of so many is shown."
    focus: float = 0.0
    "Tile widths by which the outermost views slide when shown (offaxis, lenticular): moves the plane of the glass in depth."

    def __post_init__(self) -> None:
        assert 0 < len(self.yaws_degrees) <= self.columns * self.rows, (len(self.yaws_degrees), self.columns, self.rows)
        assert self.tile_width > 0, self.quilt_width
        assert self.tile_height > 0, self.quilt_height

    @property
    def views(self) -> int:
        """How many views a quilt has."""
        return len(self.yaws_degrees)

    @property
    def tile_width(self) -> int:
        """Pixels of one view across."""
        return self.quilt_width // self.columns

    @property
    def tile_height(self) -> int:
        """Pixels of one view down."""
        return self.quilt_height // self.rows

    @property
    def file_suffix(self) -> str:
        """What a quilt file's name ends in before its extension, e.g. ``_qs6x4a1`` (columns, rows, aspect)."""
        return f"_qs{self.columns}x{self.rows}a{self.aspect:.4g}"

    def tile_origin(self, view: int) -> tuple[int, int]:
        """(left, top) in pixels of a view's tile in the top-down quilt picture."""
        assert 0 <= view < self.views, view
        return self.tile_corner(view)

    def tile_corner(self, tile: int) -> tuple[int, int]:
        """(left, top) of a tile, whether it holds a view or not."""
        column, row_from_bottom = tile % self.columns, tile // self.columns
        return column * self.tile_width, self.quilt_height - (row_from_bottom + 1) * self.tile_height

    def only(self, view: int, height: int = SMALLEST_ORDINARY_VIEW) -> Screen:
        """This screen's one `view` as ordinary video, `height` pixels high: for people without a 3D display."""
        if not 0 <= view < self.views:
            raise UnknownScreen(f"view {view} does not exist: {self.name} has views 0 to {self.views - 1}")
        width = 2 * round(height * self.aspect / 2)
        yaw = (self.yaws_degrees[view],)
        return replace(
            self,
            name=f"{self.name}/view{view}",
            columns=1,
            rows=1,
            quilt_width=width,
            quilt_height=height,
            yaws_degrees=yaw,
        )

    def thinned(self, views: int) -> Screen:
        """Every so-manieth view of this screen, `views` in all, in tiles of the same size: seen from the same angles, so that nothing
        has to be rendered for it where this screen is rendered."""
        if not 0 < views <= self.views:
            raise UnknownScreen(f"{views} views cannot be shown: {self.name} has {self.views}")
        if views == self.views:
            return self
        rows = max(rows for rows in range(1, int(views**0.5) + 1) if views % rows == 0)
        columns = views // rows
        return replace(
            self,
            name=f"{self.name}/{views}",
            columns=columns,
            rows=rows,
            quilt_width=columns * self.tile_width,
            quilt_height=rows * self.tile_height,
            yaws_degrees=tuple(self.yaws_degrees[view] for view in nearest_views(views, self.views)),
        )

    def scaled(self, scale: float) -> Screen:
        """This screen with tiles of `scale` times the sides, even ones; the tiling stays."""
        if scale == 1.0:
            return self
        width, height = (2 * round(scale * side / 2) for side in (self.tile_width, self.tile_height))
        return replace(
            self,
            name=f"{self.name}/x{scale:g}",
            quilt_width=width * self.columns,
            quilt_height=height * self.rows,
        )

    def slowed(self, every: int) -> Screen:
        """This screen, of which one of `every` pictures is shown."""
        return self if every == self.every else replace(self, name=f"{self.name}/slow{every}", every=every)

    def deepened(self, scale: float) -> Screen:
        """This screen with its cameras `scale` times as far apart: below 1 a head looks flatter, above 1 deeper."""
        assert scale > 0, scale
        widest = max(map(abs, self.yaws_degrees)) or 1.0
        scale = min(scale, max(WIDEST_HALF_FAN_DEGREES / widest, 1.0))
        return replace(self, yaws_degrees=tuple(round(yaw * scale, 6) for yaw in self.yaws_degrees))

    def filled(self, columns: int, rows: int) -> Screen:
        """This screen's views repeated until they fill a grid that another program insists on; tiles keep their size."""
        chosen = nearest_views(columns * rows, self.views)
        return replace(
            self,
            name=f"{self.name}/{columns}x{rows}",
            columns=columns,
            rows=rows,
            quilt_width=columns * self.tile_width,
            quilt_height=rows * self.tile_height,
            yaws_degrees=tuple(self.yaws_degrees[view] for view in chosen),
        )


def fan_yaws(views: int) -> tuple[float, ...]:
    """Yaw in degrees of each of the `views` cameras of a camera array, both ends included, leftmost first."""
    if views == 1:
        return (0.0,)
    step = 2 * HALF_FAN_DEGREES / (views - 1)
    return tuple(round(-HALF_FAN_DEGREES + i * step, 6) for i in range(views))


def nearest_views(wanted: int, rendered: int) -> tuple[int, ...]:
    """Which of `rendered` views stands in for each of `wanted` ones that cover the same angle, centre to centre."""
    return tuple((2 * i + 1) * rendered // (2 * wanted) for i in range(wanted))


def reported(default_quilt: str | Mapping[str, Any], calibration: Calibration) -> Screen:
    """The screen that a display asks for in Bridge's `defaultQuilt` (a record or its text); it counts more than tables.

    A display that reports no quilt gets its preset, and one that is in no table the product's own 24 views, which every
    panel can show. Raises CalibrationRejected, naming the field.
    """
    fields = Fields.of(default_quilt, f"defaultQuilt of {calibration.serial or 'a display'}")
    if not fields.values:
        return preset(calibration) or screen(PRODUCT)
    columns, rows = (fields.whole(name, 1, 50) for name in ("tileX", "tileY"))
    return Screen(
        name=calibration.hardware or calibration.serial or "reported",
        columns=columns,
        rows=rows,
        quilt_width=fields.whole("quiltX", 256, 16384),
        quilt_height=fields.whole("quiltY", 256, 16384),
        aspect=fields.number("quiltAspect", 0.1, 10, default=calibration.aspect),
        yaws_degrees=fan_yaws(columns * rows),
    )


def preset(calibration: Calibration) -> Screen | None:
    """What tables say about this kind of display."""
    return screens().get(calibration.hardware)


@cache
def screens() -> dict[str, Screen]:
    """Every screen by name: the product's own first, then each device's default quilt."""
    found = {PRODUCT: Screen(PRODUCT, 6, 4, 1536, 1024, 1.0, fan_yaws(24))}
    for device in devices():
        tilings = device["presets"]
        if not tilings:
            continue
        tiling = next((t for t in tilings if t.get("default")), tilings[0])
        aspect = device["aspect"] or device["aspectNote"]
        found[device["id"]] = Screen(
            device["id"],
            tiling["columns"],
            tiling["rows"],
            tiling["quiltWidth"],
            tiling["quiltHeight"],
            aspect,
            fan_yaws(tiling["views"]),
        )
    return found


def screen(name: str) -> Screen:
    """The screen called `name`. Raises UnknownScreen with the list of names."""
    try:
        return screens()[name]
    except KeyError:
        raise UnknownScreen(f"no screen is called {name!r}; there are: {', '.join(screens())}") from None
