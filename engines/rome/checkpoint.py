"""Checkpoint: the published files of `rome`, and what of them is kept: rome.pth, a FLAME model and DECA's encoder, with ROME's and
DECA's small data files beside the FLAME model. `rome-linear` uses them too (linear_checkpoint.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from engines import weights
from engines.rome import embedding, linear_checkpoint
from engines.rome.flame_files import read_flame, release_of
from engines.rome.linear_checkpoint import RESEARCH, under
from engines.rome.manifests import manifest, manifest_of
from engines.weights import CheckpointRejected

PUBLISHED = weights.Published(
    engine="rome",
    file="rome.pth",
    where="https://github.com/SamsungLabs/rome (with its data folder; FLAME at https://flame.is.tue.mpg.de, deca_model.tar "
    "at https://github.com/yfeng95/DECA)",
    licence=f"ROME's weights and data: {RESEARCH} (Samsung, 2022); DECA's: {RESEARCH} (Max Planck); FLAME's: that of its release",
    with_files="--flame generic_model.pkl --deca deca_model.tar",
    takes=("flame", "deca", "embedding"),
)
EMBEDDING = "landmark_embedding.npy"
"DECA's; FLAME's site offers mediapipe_landmark_embedding.npz."


def read(
    rome: Path, flame: Path, deca: Path | None = None, linear: Path | None = None, places: Path | None = None
) -> dict[str, Tensor]:
    """Every tensor of an engine made of these published files, named as in an imported one; `places`: a landmark embedding, by
    default DECA's where it lies beside the FLAME model. Raises weights.CheckpointRejected or FileNotFoundError."""
    tensors = weights.read(rome, manifest()) | under("flame", read_flame(flame))
    places = places or flame.parent / EMBEDDING
    if places.name != EMBEDDING or places.is_file():
        tensors |= under("embedding", embedding.read(places, tensors["flame.faces"].numpy()).tensors())
    if deca is not None:
        tensors |= under("deca", weights.read(deca, manifest_of("deca"), "E_flame"))
    return tensors | (linear_checkpoint.read(linear) if linear is not None else {})


def bring(
    source: Path,
    folder: Path,
    progress: weights.Progress = lambda *_: None,
    beside: Mapping[str, Path] | None = None,
) -> Path:
    """Import rome.pth into `folder` with the files `beside` it: `flame`, and, if they are there, `deca` and `embedding`.

    Returns where all of it lies now. Raises weights.CheckpointRejected or OSError, and then leaves nothing behind.
    """
    beside = beside or {}
    if "flame" not in beside:
        raise CheckpointRejected(f"{source.name} needs a FLAME model beside it: {PUBLISHED.command}")
    flame = beside["flame"]
    progress("reading", 0, 1)
    found = read(source, flame, beside.get("deca"), places=beside.get("embedding"))
    tensors, release = weights.finite(source, found, progress), release_of(flame)
    note = {f"{path.name}_sha256": weights.sha256(path, progress) for path in (source, *beside.values())}
    note |= {"licence": f"{PUBLISHED.licence}; {release.value}", "flame": release.name}
    return weights.keep(tensors, note, PUBLISHED, folder, progress)


def imported(folder: Path, linear: bool) -> dict[str, Tensor]:
    """What was imported into `folder`: of `rome`, and of `rome-linear` where that is asked for."""
    from safetensors.torch import load_file

    more = load_file(linear_checkpoint.PUBLISHED.place(folder)) if linear else {}
    return load_file(PUBLISHED.place(folder)) | more
