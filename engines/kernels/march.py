"""March: both marches of rays through a tri-plane as kernels. Their definitions are engines/triplane.py and shared_volume.py.

Four kernels a part of the views, nothing waits for the device, shapes are fixed, so a march can be captured in a CUDA graph:

    look (even samples) > find_depths > look (drawn samples) > composite
    bounds > fill_grid > read_grid > find_depths > look (drawn samples, tiles that meet something) > composite

Why not one kernel: a ray's colours must be kept until its weights are known, 1.5 kB a ray or 200 kB a tile, which is what a
multiprocessor has. Computed, not measured: through memory they cost 2.1 GB for 24 views with 96 + 96 samples, 0.5 ms of an
H200's 4.3 TB/s; sampling and decoding take 75 million points x 128 ex2/lg2 = 2.7 ms at its 16 a clock, x 1500 other
instructions = 4 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from engines.kernels.compositing import composite, find_depths
from engines.kernels.field import fill_grid, look
from engines.kernels.grid import bounds, read_grid
from engines.kernels.launch import launch, parts_of, power_of_two
from engines.shared_volume import EMPTY, Budget
from engines.triplane import FAR, NEAR, Decoder

LEAST_COLUMNS = 16
"Columns that a tensor core's product has at least."
RANGE = {"NEAR": NEAR, "FAR": FAR}


@dataclass(frozen=True)
class Tuning:
    """How the work is cut up; changes no number but by rounding."""

    tile: tuple[int, int] = (8, 8)
    "Pixels across and down that one program marches together; powers of two."
    steps: int = 16
    "Samples that one program takes along each of its rays."
    samples_at_once: int = 1 << 25
    "Samples of one part of the views: 0.5 GB of numbers between kernels with half-precision planes."

    @property
    def rays(self) -> int:
        """Rays that one program marches."""
        return self.tile[0] * self.tile[1]

    def along(self, count: int) -> int:
        """Steps of a program where a ray has `count`."""
        return min(self.steps, count)

    @property
    def warps(self) -> int:
        """16 rays each: with twice as many, float32 planes spill (compiled for sm_90; see benchmarks/kernel_resources.py)."""
        return self.rays // 16


def tunings() -> Iterator[Tuning]:
    """What a benchmark tries. Nothing is tried out by itself: a march must be the same while a graph is captured."""
    for tile, steps, samples in product(((8, 8), (16, 4), (16, 8)), (8, 16, 32), (1 << 22, 1 << 25)):
        yield Tuning(tile, steps, samples)


@dataclass(frozen=True)
class Field:
    """A tri-plane field ready for the kernels; make it once per driven state with `prepare`."""

    texels: Tensor
    "[3, P + 2, P + 2, C]: each plane's texels with a ring of zeros, channels last."
    decoder: Decoder

    @property
    def device(self) -> torch.device:
        """Where its texels lie."""
        return self.texels.device


def prepare(planes: Tensor, decoder: Decoder, dtype: torch.dtype = torch.float16) -> Field:
    """`planes`: [3, C, P, P] with C a power of two. `dtype`: float16, beyond a quarter of whose range values are cut off, or float32."""
    assert dtype in (torch.float16, torch.float32), dtype
    assert planes.shape[0] == 3, planes.shape
    assert planes.shape[2] == planes.shape[3], planes.shape
    size, channels = planes.shape[-1], planes.shape[1]
    assert channels == power_of_two(channels), channels
    texels = torch.zeros(3, size + 2, size + 2, channels, dtype=dtype, device=planes.device)
    largest = torch.finfo(dtype).max / 4  # so that the sum of three planes has a number too
    texels[:, 1:-1, 1:-1].copy_(planes.permute(0, 2, 3, 1).clamp(-largest, largest))
    return Field(texels, Decoder(*(part.float().contiguous() for part in vars(decoder).values())))


def march(field: Field,
          cam2world: Tensor,   # [V, 4, 4]
          intrinsics: Tensor,  # [V, 3, 3]
          resolution: int = 128, coarse: int = 96, fine: int = 96, channels: int = 32,
          tuning: Tuning = Tuning()) -> tuple[Tensor, Tensor]:  # fmt: skip
    """triplane.march: feature pictures [V, channels, R, R] (-1..1) and depth [V, 1, R, R]."""
    assert coarse >= 4, coarse
    assert fine != 1, fine
    seen = _Pictures(field, cam2world, intrinsics, resolution, channels)
    for part in seen.parts(coarse + fine, tuning):
        part.look(coarse, first=0, even=True)
        if fine:
            part.find_depths(part.logits, coarse, fine)
            part.look(fine, first=coarse, even=False)
        part.composite(coarse, fine, coarse)
    return seen.feature, seen.depth


def shared_march(field: Field,
                 cam2world: Tensor,   # [V, 4, 4]
                 intrinsics: Tensor,  # [V, 3, 3]
                 resolution: int = 128, budget: Budget = Budget(), channels: int = 3,
                 tuning: Tuning = Tuning()) -> tuple[Tensor, Tensor]:  # fmt: skip
    """shared_volume.march; rays that meet nothing spend no samples where a whole tile of them does."""
    assert budget.steps >= 4, budget
    assert budget.fine > 1, budget
    seen = _Pictures(field, cam2world, intrinsics, resolution, channels)
    low, high = seen.box(tuning)
    grid = density_grid(field, low, high, budget.grid, tuning)
    for part in seen.parts(budget.fine, tuning):
        read = part.read_grid(grid, low, high, budget.steps)
        part.find_depths(read, budget.steps, budget.fine)
        part.look(budget.fine, first=0, even=False, sparse=True)
        part.composite(0, budget.fine, budget.steps, sparse=True)
    return seen.feature, seen.depth


def density_grid(field: Field, low: Tensor, high: Tensor, side: int, tuning: Tuning) -> Tensor:
    """shared_volume.density_grid: the density logit [side, side, side], indexed z, y, x, of a box's points."""
    logits = torch.empty(side, side, side, device=field.device)
    grid = (parts_of(side**3, tuning.rays * tuning.steps),)
    sizes = {"GRID": side, "POINTS": tuning.rays} | _sizes(field)
    launch(fill_grid, grid, *_weights(field), low, high, logits, tuning.steps, **sizes, warps=tuning.warps)
    return logits


def _weights(field: Field) -> tuple[Tensor, ...]:
    return field.texels, *vars(field.decoder).values()


def _sizes(field: Field) -> dict[str, object]:
    hidden, channels = field.decoder.hidden_weight.shape
    return {
        "SIDE": field.texels.shape[1],
        "CHANNELS": channels,
        "HIDDEN": hidden,
        "HALF": field.texels.dtype == torch.float16,
    }


class _Pictures:
    """What a march makes, and the parts of the views that it makes it in."""

    def __init__(self, field: Field, cam2world: Tensor, intrinsics: Tensor, resolution: int, channels: int) -> None:
        assert cam2world.shape[1:] == (4, 4), cam2world.shape
        assert intrinsics.shape == (len(cam2world), 3, 3), (intrinsics.shape, cam2world.shape)
        self.field, self.resolution, self.channels = field, resolution, channels
        self.cam2world, self.intrinsics = cam2world.float().contiguous(), intrinsics.float().contiguous()
        views = len(cam2world)
        self.feature = torch.empty(views, channels, resolution, resolution, device=field.device)
        self.depth = torch.empty(views, 1, resolution, resolution, device=field.device)

    def tiles(self, tuning: Tuning) -> int:
        """Of one view."""
        return parts_of(self.resolution, tuning.tile[0]) * parts_of(self.resolution, tuning.tile[1])

    def parts(self, samples: int, tuning: Tuning) -> Iterator[_Part]:
        """Even parts of the views, for `samples` kept along each ray."""
        views, of_view = len(self.cam2world), samples * self.tiles(tuning) * tuning.rays
        at_once = parts_of(views, parts_of(views * of_view, max(of_view, tuning.samples_at_once)))
        for begin in range(0, views, at_once):
            yield _Part(self, slice(begin, begin + at_once), samples, tuning)

    def box(self, tuning: Tuning) -> tuple[Tensor, Tensor]:
        """shared_volume.box_of all rays: two corners [3]."""
        tiles = len(self.cam2world) * self.tiles(tuning)
        corners = torch.empty(2, 3, tiles, device=self.field.device)
        shape = {"RESOLUTION": self.resolution, "TILE_W": tuning.tile[0], "TILE_H": tuning.tile[1]}
        launch(bounds, (tiles,), self.cam2world, self.intrinsics, corners, tiles, **shape, **RANGE, warps=tuning.warps)
        return corners[0].amin(1), corners[1].amax(1)


class _Part:
    """Some of the views, and the numbers of their rays between kernels."""

    def __init__(self, whole: _Pictures, views: slice, samples: int, tuning: Tuning) -> None:
        self.field, self.tuning, device = whole.field, tuning, whole.field.device
        self.cameras = whole.cam2world[views], whole.intrinsics[views]
        self.feature, self.depth = whole.feature[views], whole.depth[views]
        self.tiles = len(self.depth) * whole.tiles(tuning)
        self.slots = self.tiles * tuning.rays
        kept = power_of_two(whole.channels)
        assert samples * self.slots * kept < 1 << 31, "one view's samples are counted in 32 bits"
        self.shape = {"RESOLUTION": whole.resolution, "TILE_W": tuning.tile[0], "TILE_H": tuning.tile[1]}
        self.colour = {"COLOURS": whole.channels, "KEPT": kept}
        self.logits = torch.empty(samples, self.slots, device=device)
        self.colours = torch.empty(samples, self.slots, kept, dtype=self.field.texels.dtype, device=device)
        self.looked, self.meets = self.logits, torch.empty(self.slots, dtype=torch.int8, device=device)

    def look(self, count: int, first: int, even: bool, sparse: bool = False) -> None:
        """The field at `count` samples of each ray: even or drawn ones, kept from row `first` on."""
        steps, columns = self.tuning.along(count), max(LEAST_COLUMNS, self.colour["KEPT"])
        launch(
            look, (self.tiles, parts_of(count, steps)), *_weights(self.field), *self.cameras,
            self.looked, self.meets, self.logits[first:], self.colours[first:], self.slots, steps,
            COUNT=count, EVEN=even, SPARSE=sparse, COLUMNS=columns,
            **self.shape, **RANGE, **_sizes(self.field), **self.colour, warps=self.tuning.warps,
        )  # fmt: skip

    def read_grid(self, grid: Tensor, low: Tensor, high: Tensor, count: int) -> Tensor:
        """[count, slots]: the grid's logits at even depths."""
        read = torch.empty(count, self.slots, device=self.field.device)
        steps = self.tuning.along(count)
        launch(
            read_grid, (self.tiles, parts_of(count, steps)), grid, low, high, *self.cameras, read, self.slots, steps,
            COUNT=count, GRID=len(grid), **self.shape, **RANGE, warps=self._one_ray_a_lane,
        )  # fmt: skip
        return read

    def find_depths(self, logits: Tensor, count: int, fine: int) -> None:
        """`fine` depths a ray, where the first `count` rows of `logits`, at even depths, say that there is something."""
        self.looked = torch.empty(fine, self.slots, device=self.field.device)
        launch(
            find_depths, (self.tiles,), logits, self.looked, self.meets, self.slots,
            POINTS=self.tuning.rays, COARSE=count, FINE=fine, LEAST=EMPTY, **RANGE, warps=self._one_ray_a_lane,
        )  # fmt: skip

    def composite(self, coarse: int, fine: int, even: int, sparse: bool = False) -> None:
        """The part's pictures; depth is clamped to the range of `even` even samples."""
        launch(
            composite, (self.tiles,), self.logits, self.colours, self.looked, self.meets, self.feature, self.depth, self.slots,
            COARSE=coarse, FINE=fine, COUNT=even, SPARSE=sparse,
            **self.shape, **RANGE, **self.colour, warps=self._one_ray_a_lane,
        )  # fmt: skip

    @property
    def _one_ray_a_lane(self) -> int:
        return max(1, self.tuning.rays // 32)
