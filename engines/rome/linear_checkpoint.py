"""Linear checkpoint: the linear model's published files, or those of a distillation, and what of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from engines import weights
from engines.rome.architecture import HAIR, NECK
from engines.rome.flame_files import VERTICES
from engines.rome.manifests import manifest_of
from engines.rome.offsets import Basis

RESEARCH = "non-commercial scientific research only"
PUBLISHED = weights.Published(
    engine="rome-linear",
    file="linear_hair.pth",
    where="https://github.com/SamsungLabs/rome (with u_full.pt and mean_deform.pt), or made by: python -m server distil",
    licence=f"{RESEARCH} (Samsung, 2022); of a basis of your own, that of the weights it was distilled from",
)


def read(linear: Path) -> dict[str, Tensor]:
    """The linear model's regressor, its basis beside it, and the small regressor of codes where that lies there too."""
    tensors = under("linear", weights.read(linear, manifest_of("linear")))
    tensors |= {f"basis.{name}": tensor for name, tensor in _basis(linear.parent).items()}
    mobile = linear.parent / "disp_model.pth"
    return tensors | (under("mobile", weights.read(mobile, manifest_of("mobile"))) if mobile.is_file() else {})


def bring(
    source: Path,
    folder: Path,
    progress: weights.Progress = lambda *_: None,
    beside: Mapping[str, Path] | None = None,
) -> Path:
    """Import linear_hair.pth, published or distilled, into `folder` with its basis. Returns where all of it lies now."""
    progress("reading", 0, 1)
    tensors = weights.finite(source, read(source), progress)
    note = {"source_sha256": weights.sha256(source, progress), "licence": PUBLISHED.licence}
    return weights.keep(tensors, note, PUBLISHED, folder, progress)


def under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` named as of a part of the network."""
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def _basis(folder: Path) -> dict[str, Tensor]:
    """u_full.pt and mean_deform.pt. Raises weights.CheckpointRejected."""
    with torch.device("meta"):
        wanted = Basis(torch.empty(3 * VERTICES, HAIR + NECK), torch.empty(VERTICES, 3)).state_dict()
    files = {"directions": "u_full.pt", "mean": "mean_deform.pt"}
    return {name: weights.read_tensor(folder / file, tuple(wanted[name].shape)) for name, file in files.items()}
