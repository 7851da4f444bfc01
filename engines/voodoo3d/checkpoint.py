"""Checkpoint: what the published voodoo3d.pth holds, and what of it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor

from display import optics
from engines import weights
from engines.voodoo3d.architecture import Architecture

PUBLISHED = weights.Published(
    engine="voodoo3d",
    file="voodoo3d.pth",
    where="https://github.com/mbzuai-metaverse/VOODOO3D-official (link in its README)",
    licence="MIT, that of the repository which publishes it",
)


@cache
def manifest() -> weights.Manifest:
    """Names and shapes of the published file: 723 tensors, of which a quarter of the values is dead (manifest.json)."""
    listed = json.loads(files("engines.voodoo3d").joinpath("manifest.json").read_text())
    shapes = {
        kind: {name: tuple(map(int, shape.split("x"))) for name, shape in listed[kind].items()}
        for kind in ("used", "dead")
    }
    return weights.Manifest(shapes["used"], shapes["dead"], _constants())


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor the network needs. Raises weights.CheckpointRejected."""
    return weights.read(path, manifest())


def bring(
    source: Path,
    folder: Path,
    progress: weights.Progress = lambda *_: None,
    beside: Mapping[str, Path] | None = None,
) -> Path:
    """Import the published file into `folder`. Returns where it lies now."""
    return weights.bring(source, PUBLISHED, manifest(), folder, progress)


def _constants() -> dict[str, Tensor]:
    """The buffers that a checkpoint of this network carries although they follow from its definition."""
    ramp = torch.linspace(-1, 1, Architecture().image)
    grid = torch.stack(torch.meshgrid(ramp, ramp, indexing="xy"))[None]
    axes = torch.eye(3)
    networks = ("triplane_encoder.elo", "triplane_encoder.ehi")
    return {
        "lookat_point": torch.tensor(optics.LOOK_AT[None], dtype=torch.float32),
        "canonical_cam2world": torch.from_numpy(optics.orbit(0)[None]),
        "canonical_intrinsics": torch.from_numpy(optics.intrinsics()[None]),
        "renderer.plane_axes": torch.stack((axes, axes[[0, 2, 1]], axes[[2, 1, 0]])),
        **{f"{network}.id_grid": grid for network in networks},
        "exp_transfer.id_grid": grid,
    }
