"""Mesh: a tri-plane field's surface as coloured triangles, and as PLY and GLB files.

The surface is found by scikit-image's marching cubes (Lewiner's, watertight). PLY is a header before plain arrays, so it is
written here rather than by a package of a hundred formats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from engines import gltf, triplane
from engines.triplane import TriplaneField

Progress = Callable[[int, int], None]
"Told (slices done, of how many)."

SIDE = 256
HALF_WIDTH = 0.5
"Of the cube that is looked through: all that the field holds."
SURFACE = 10.0
"Density logit at the surface: the level that EG3D (arXiv 2112.07945) extracts its shapes at."


class NoSurface(ValueError):
    """The field nowhere crosses the level; the message says what its density spans."""


class MeshingMissing(RuntimeError):
    """The operator has to install what finds surfaces; the message says how."""


@dataclass(frozen=True)
class Mesh:
    """Triangles with a colour at each corner."""

    vertices: np.ndarray
    "[N, 3] float32; y up, the face looks along +z. World units (display/optics.py) of a volume, metres of a head that has them."
    faces: np.ndarray
    "[M, 3] int32, counter-clockwise seen from outside."
    colours: np.ndarray
    "[N, 3] uint8 RGB."


class HasVolume(Protocol):
    """An engine whose avatars are fields in space (engines.contract.Abilities.volume)."""

    def field(self, state: Any) -> TriplaneField:
        """The state's density and colour, in the head's own world (display/optics.py)."""
        ...


class HasMesh(Protocol):
    """An engine whose avatars are meshes (engines.contract.Abilities.mesh)."""

    def mesh(self, state: Any, side: int = SIDE, progress: Progress = lambda *_: None) -> Mesh:
        """The driven head, in its own world; `side`: points along each side of the grid that it is looked for in, if it is."""
        ...


def surface(
    field: TriplaneField, side: int = SIDE, level: float = SURFACE, progress: Progress = lambda *_: None
) -> Mesh:
    """Where the field's density logit is `level`, from side^3 points taken a slice at a time. Raises NoSurface or
    MeshingMissing."""
    volume = density_volume(field, side, progress)
    if not volume.min() < level < volume.max():
        span = f"{volume.min():.1f} to {volume.max():.1f}"
        raise NoSurface(f"no density of {level:g} in this field, whose density goes from {span}")
    # what the cube cuts through is closed
    outside = np.pad(volume, 1, constant_values=min(float(volume.min()), level - 1))
    step = 2 * HALF_WIDTH / (side - 1)
    found, faces = marched(outside, level)
    vertices = np.clip((found[:, ::-1] - 1) * step - HALF_WIDTH, -HALF_WIDTH, HALF_WIDTH).astype(np.float32)
    faces = np.ascontiguousarray(faces[:, ::-1])  # z, y, x became x, y, z, which turns every triangle over
    return Mesh(vertices, faces, _colours(field, vertices))


def marched(volume: np.ndarray, level: float, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [N, 3] float32 in the volume's own indices and faces [M, 3] int32, wound so that they face lower values; in cells
    `where` (bool, like the volume) only. Raises MeshingMissing."""
    try:
        from skimage.measure import marching_cubes
    except ModuleNotFoundError:
        raise MeshingMissing("meshes need scikit-image: pip install -c constraints.txt -e '.[mesh]'") from None
    vertices, faces, _, _ = marching_cubes(volume, level, gradient_direction="ascent", mask=where)
    return vertices.astype(np.float32), faces.astype(np.int32)


def density_volume(field: TriplaneField, side: int, progress: Progress = lambda *_: None) -> np.ndarray:
    """[side, side, side] float32 density logits, indexed z, y, x, with the cube's faces included."""
    axis = torch.linspace(-HALF_WIDTH, HALF_WIDTH, side, device=field.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    volume = np.empty((side, side, side), np.float32)
    for k, z in enumerate(axis):
        points = torch.stack((x, y, z.expand_as(x)), -1).view(-1, 3)
        volume[k] = field(points, 0)[0].view(side, side).cpu().numpy()
        progress(k + 1, side)
    return volume


def _colours(field: TriplaneField, vertices: np.ndarray) -> np.ndarray:
    _, logits = field(torch.from_numpy(vertices).to(field.device), 3)
    return (triplane.colour(logits) * 255).round().clamp(0, 255).byte().cpu().numpy()


def write(mesh: Mesh, path: Path, note: str = "") -> None:
    """To `path`, as its ending says: .ply or .glb. `note` is kept within the file. Raises ValueError for another ending."""
    makers = {".ply": as_ply, ".glb": as_glb}
    if path.suffix.lower() not in makers:
        raise ValueError(f"a mesh is written as .ply or .glb, not as {path.suffix or 'a file without an ending'}")
    path.write_bytes(makers[path.suffix.lower()](mesh, note))


def as_ply(mesh: Mesh, note: str = "") -> bytes:
    """Binary little-endian PLY."""
    lines = ["ply", "format binary_little_endian 1.0"]
    lines += [f"comment {line}" for line in note.splitlines()]
    lines += [f"element vertex {len(mesh.vertices)}", *(f"property float {axis}" for axis in "xyz")]
    lines += [f"property uchar {name}" for name in ("red", "green", "blue")]
    lines += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    vertices = np.empty(len(mesh.vertices), [("place", "<f4", 3), ("colour", "u1", 3)])
    vertices["place"], vertices["colour"] = mesh.vertices, mesh.colours
    faces = np.empty(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.faces
    return "\n".join(lines).encode("ascii", "replace") + vertices.tobytes() + faces.tobytes()


def as_glb(mesh: Mesh, note: str = "") -> bytes:
    """glTF 2.0 in one binary file; vertex colours are linear there, as the format demands."""
    linear = np.where(mesh.colours <= 10, mesh.colours / 255 / 12.92, ((mesh.colours / 255 + 0.055) / 1.055) ** 2.4)
    colours = np.full((len(mesh.colours), 4), 255, np.uint8)
    colours[:, :3] = (linear * 255).round()
    buffer = gltf.Buffer()
    attributes = {
        "POSITION": buffer.accessor(mesh.vertices.astype(np.float32), gltf.VERTICES, bounds=True),
        "COLOR_0": buffer.accessor(colours, gltf.VERTICES, normalized=True),
    }
    indices = buffer.accessor(mesh.faces.astype(np.uint32).ravel(), gltf.INDICES)
    scene = {
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "mode": gltf.TRIANGLES}]}],
    }
    return gltf.packed(scene, buffer, note)
