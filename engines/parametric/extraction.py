"""Extraction: a head's surface as triangles, looked for coarse to fine. Knows distances, not who they are of.

A cell whose centre is further from the surface than a distance can change across it holds none, so it is not looked into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from engines import mesh
from engines.parametric.network import gradient

Field = Callable[[Tensor], Tensor]
"Points [1, N, 3] -> signed distances [1, N], positive outside."
Progress = Callable[[int, int], None]
"Told (levels done, of how many)."

SIDE = 256
BASE = 16
"Cells along each side of the coarsest look."
MARGIN = 1.1
"Of the steepest slope found by chance over the steepest that there might be."
PROBES = 8192
NEAR = 0.15
"Canonical units from the surface within which slopes are probed: no cell whose inside matters is further from it."
BLOCKS = {"cpu": 8192, "cuda": 1 << 20}
"Points at once: the best of 2,048 to 200,000 measured on a CPU; on a GPU as many as fit with ease."


@dataclass(frozen=True)
class Box:
    """What is looked through, in canonical units."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def size(self) -> np.ndarray:
        """[3] float64 canonical units: its sides."""
        return np.subtract(self.high, self.low)


HEAD = Box((-0.7, -0.7, -0.7), (0.7, 0.7, 0.7))
"Holds every head with its piece of neck."


@dataclass(frozen=True)
class Surface:
    """A closed mesh and how it was come by."""

    vertices: np.ndarray
    "[N, 3] float32 canonical units."
    faces: np.ndarray
    "[M, 3] int32, counter-clockwise from outside."
    evaluated: int = 0
    "Points at which the field was asked."
    steepest: float = 1.0
    "Slope that was assumed at most."
    dropped: list[int] = field(default_factory=list)
    "Vertices of each component that was left out, the largest first."


def surface(
    distance: Field, box: Box = HEAD, side: int = SIDE, device: str = "cpu", progress: Progress = lambda *_: None
) -> Surface:
    """The largest component of where the distance is 0, from a grid of side^3. Raises mesh.NoSurface, mesh.MeshingMissing."""
    steepest = steepness(distance, box, device)
    volume, band, evaluated = coarse_to_fine(distance, box, side, steepest, device, progress)
    vertices, faces = _contour(volume, band, box)
    vertices, faces, dropped = largest(vertices, faces)
    return Surface(vertices, faces, evaluated, steepest, dropped)


@torch.no_grad()
def dense(distance: Field, box: Box, side: int, device: str = "cpu") -> np.ndarray:
    """[side, side, side] float32 distances at cells' centres, indexed x, y, z: the plain twin of `coarse_to_fine`."""
    cells = torch.cartesian_prod(*(torch.arange(side, device=device),) * 3)
    return asked(distance, centres(cells, side, box)).view(side, side, side).cpu().numpy()


@torch.no_grad()
def coarse_to_fine(
    distance: Field,
    box: Box,
    side: int,
    steepest: float,
    device: str = "cpu",
    progress: Progress = lambda *_: None,
) -> tuple[np.ndarray, np.ndarray, int]:
    """What `dense` gives wherever the surface is near, and values of the right sign elsewhere.

    Returns [side, side, side] float32; where it was asked at the finest level, a bool alike; and at how many points in all. `side` is
    BASE times a power of two, or less than that."""
    count = _coarsest(side)
    cells = torch.cartesian_prod(*(torch.arange(count, device=device),) * 3)
    levels = (side // count).bit_length()
    values = torch.empty((count,) * 3, device=device)
    evaluated = 0
    for level in range(levels):
        if level:
            count *= 2
            values = values.repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)
        found = asked(distance, centres(cells, count, box))
        values[tuple(cells.T)] = found
        evaluated += len(cells)
        progress(level + 1, levels)
        if level + 1 < levels:
            within = (np.linalg.norm(box.size / count) / 2 + np.linalg.norm(box.size / side)) * steepest
            cells = _halved(cells[found.abs() <= float(within)])
    band = torch.zeros(values.shape, dtype=torch.bool, device=device)
    band[tuple(cells.T)] = True
    return values.cpu().numpy(), band.cpu().numpy(), evaluated


def steepness(distance: Field, box: Box, device: str = "cpu", probes: int = PROBES) -> float:
    """The steepest slope among random points of the box near the surface, and a margin: how fast the distance can change there."""
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(1, probes, 3, generator=generator)
    low, size = torch.tensor(box.low), torch.from_numpy(box.size).float()
    with torch.enable_grad():
        points = (low + share * size).to(device).requires_grad_(True)
        values = distance(points)
        slopes = gradient(values, points).norm(dim=-1)
    near = slopes[values.detach().abs() < NEAR]
    return MARGIN * max(float(near.max()) if len(near) else 1.0, 1.0)


def largest(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Of a mesh of vertices [N, 3], faces [M, 3]: the component with most vertices, alike, int32.

    And how many vertices each of the others had, the largest first."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]).T
    links = coo_matrix((np.ones(ends.shape[1], bool), (ends[0], ends[1])), shape=(len(vertices),) * 2)
    _, label = connected_components(links, directed=False)
    sizes = np.bincount(label)
    kept = label == sizes.argmax()
    number = np.cumsum(kept) - 1
    others = np.sort(np.delete(sizes, sizes.argmax()))[::-1]
    return vertices[kept], number[faces[kept[faces[:, 0]]]].astype(np.int32), others.tolist()


def _contour(volume: np.ndarray, band: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3] and faces [M, 3] of where `volume` [side]^3 is 0 within `band` (alike, bool). Raises mesh.NoSurface."""
    if not volume.min() < 0 < volume.max():
        span = f"{volume.min():.3g} to {volume.max():.3g}"
        raise mesh.NoSurface(f"no surface in this field, whose distance goes from {span}")
    for axis in range(3):  # there too where nothing was looked for, since it is far inside
        for end in (0, -1):
            band.swapaxes(0, axis)[end] = True
    outside = np.pad(volume, 1, constant_values=max(float(volume.max()), 1e-3))  # what the box cuts through is closed
    vertices, faces = mesh.marched(outside, 0.0, np.pad(band, 1, constant_values=True))
    step = box.size / volume.shape[0]
    placed = np.asarray(box.low) + (vertices - 0.5) * step
    return placed.astype(np.float32), np.ascontiguousarray(faces[:, ::-1])  # distances rise outwards, densities inwards


def asked(distance: Field, points: Tensor) -> Tensor:
    """[N] distances of points [N, 3], as many at once as suit their device."""
    return torch.cat([distance(block[None])[0] for block in points.split(BLOCKS.get(points.device.type, 1 << 16))])


def centres(cells: Tensor, count: int, box: Box) -> Tensor:
    """[N, 3] canonical: the middles of cells [N, 3] int of a grid of `count` to each side of the box."""
    step = torch.from_numpy(box.size / count).float().to(cells.device)
    return torch.tensor(box.low, device=cells.device) + (cells.float() + 0.5) * step


def _halved(cells: Tensor) -> Tensor:
    """[8 N, 3]: the eight smaller cells in each of cells [N, 3]."""
    eight = torch.cartesian_prod(*(torch.arange(2, device=cells.device),) * 3)
    return (2 * cells[:, None] + eight).view(-1, 3)


def _coarsest(side: int) -> int:
    """The side halved as often as it stays even and no smaller than BASE."""
    while side % 2 == 0 and side // 2 >= BASE:
        side //= 2
    return side
