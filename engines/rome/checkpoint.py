"""Checkpoint: the published files, and what of them is kept. Names and shapes follow from the networks; there is no list of them.

`rome` is imported from rome.pth, a FLAME model and DECA's encoder, with ROME's and DECA's small data files beside the FLAME model;
`rome-linear` from linear_hair.pth with its basis beside it, and uses what was imported for `rome`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from engines import weights
from engines.rome import embedding
from engines.rome.architecture import HAIR, LATENT, MOBILE_CODES, NECK, Architecture
from engines.rome.flame_files import read_flame, release_of
from engines.rome.offsets import Basis, OffsetMLP
from engines.rome.regressors import DecaEncoder, MobileNet, ResNet
from engines.rome.texture import TextureEncoder
from engines.rome.unet import UNet
from engines.weights import CheckpointRejected

RESEARCH = "non-commercial scientific research only"
PUBLISHED = weights.Published(
    engine="rome",
    file="rome.pth",
    where="https://github.com/SamsungLabs/rome (with its data folder; FLAME at https://flame.is.tue.mpg.de, deca_model.tar "
    "at https://github.com/yfeng95/DECA)",
    licence=f"ROME's weights and data: {RESEARCH} (Samsung, 2022); DECA's: {RESEARCH} (Max Planck); FLAME's: that of its release",
    with_files="--flame generic_model.pkl --deca deca_model.tar",
)
LINEAR = weights.Published(
    engine="rome-linear",
    file="linear_hair.pth",
    where="https://github.com/SamsungLabs/rome (with u_full.pt and mean_deform.pt), or made by: python -m server distil",
    licence=f"{RESEARCH} (Samsung, 2022); of a basis of your own, that of the weights it was distilled from",
)
EMBEDDING = "landmark_embedding.npy"
"DECA's; FLAME's site offers mediapipe_landmark_embedding.npz."
COUNTER = "num_batches_tracked"
"Of batch norms in training: may be in a file, is never read."


NETWORKS = ("autoencoder", "mesh_deformer", "mlp_deformer", "unet")
"Of rome.pth."


def networks(arch: Architecture = Architecture()) -> dict[str, nn.Module]:
    """The four networks of rome.pth, by their names there, without weights."""
    made = TextureEncoder(arch), UNet(LATENT, arch), OffsetMLP(arch), UNet(4, arch)
    return dict(zip(NETWORKS, made, strict=True))


def regressors(arch: Architecture = Architecture()) -> dict[str, nn.Module]:
    """The networks that read codes out of pictures, by what they are called here: `deca`, `linear` and `mobile`."""
    return {
        "deca": DecaEncoder(arch),
        "linear": ResNet(arch, HAIR + NECK),
        "mobile": MobileNet(arch, sum(MOBILE_CODES.values())),
    }


@cache
def manifest() -> weights.Manifest:
    """Of rome.pth: 308 tensors that are used, and what the release's module registers besides, which may be there."""
    with torch.device("meta"):
        used = {name: shape for part, net in networks().items() for name, shape in _shapes(net, part).items()}
    return weights.Manifest(used, {f"parametric_avatar.{name}": shape for name, shape in _REGISTERED.items()})


@cache
def manifest_of(regressor: str) -> weights.Manifest:
    """Of `deca` (entry E_flame of deca_model.tar), `linear` (linear_hair.pth) or `mobile` (disp_model.pth)."""
    with torch.device("meta"):
        every = _shapes(regressors()[regressor])
    return weights.Manifest(
        {name: shape for name, shape in every.items() if not name.endswith(COUNTER)},
        {name: shape for name, shape in every.items() if name.endswith(COUNTER)},
    )


def read(
    rome: Path, flame: Path, deca: Path | None = None, linear: Path | None = None, places: Path | None = None
) -> dict[str, Tensor]:
    """Every tensor of an engine made of these published files, named as in an imported one; `places`: a landmark embedding, by
    default DECA's where it lies beside the FLAME model. Raises weights.CheckpointRejected or FileNotFoundError."""
    tensors = weights.read(rome, manifest()) | _under("flame", read_flame(flame))
    places = places or flame.parent / EMBEDDING
    if places.name != EMBEDDING or places.is_file():
        tensors |= _under("embedding", embedding.read(places, tensors["flame.faces"].numpy()).tensors())
    if deca is not None:
        tensors |= _under("deca", weights.read(deca, manifest_of("deca"), "E_flame"))
    return tensors | (read_linear(linear) if linear is not None else {})


def read_linear(linear: Path) -> dict[str, Tensor]:
    """The linear model's regressor, its basis beside it, and the small regressor of codes where that lies there too."""
    tensors = _under("linear", weights.read(linear, manifest_of("linear")))
    tensors |= {f"basis.{name}": tensor for name, tensor in _basis(linear.parent).items()}
    mobile = linear.parent / "disp_model.pth"
    return tensors | (_under("mobile", weights.read(mobile, manifest_of("mobile"))) if mobile.is_file() else {})


def bring(
    source: Path,
    progress: weights.Progress = lambda *_: None,
    *,
    flame: Path | None = None,
    deca: Path | None = None,
    places: Path | None = None,
) -> Path:
    """Import rome.pth with the other files it takes. Returns where all of it lies now."""
    if flame is None:
        raise CheckpointRejected(f"{source.name} needs a FLAME model beside it: {PUBLISHED.command}")
    progress("reading", 0, 1)
    tensors = weights.finite(source, read(source, flame, deca, places=places), progress)
    release = release_of(flame)
    sources = {path.name: weights.sha256(path, progress) for path in (source, flame, deca, places) if path is not None}
    note = {f"{name}_sha256": digest for name, digest in sources.items()}
    note |= {"licence": f"{PUBLISHED.licence}; {release.value}", "flame": release.name}
    return weights.keep(tensors, note, PUBLISHED, progress)


def bring_linear(source: Path, progress: weights.Progress = lambda *_: None) -> Path:
    """Import linear_hair.pth, published or distilled, with its basis. Returns where all of it lies now."""
    progress("reading", 0, 1)
    tensors = weights.finite(source, read_linear(source), progress)
    note = {"source_sha256": weights.sha256(source, progress), "licence": LINEAR.licence}
    return weights.keep(tensors, note, LINEAR, progress)


def imported(linear: bool) -> dict[str, Tensor]:
    """What was imported: of `rome`, and of `rome-linear` where that is asked for."""
    from safetensors.torch import load_file

    return load_file(PUBLISHED.place) | (load_file(LINEAR.place) if linear else {})


def _shapes(network: nn.Module, part: str = "") -> dict[str, tuple[int, ...]]:
    under = f"{part}." if part else ""
    return {f"{under}{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _under(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def _basis(folder: Path) -> dict[str, Tensor]:
    """u_full.pt and mean_deform.pt. Raises weights.CheckpointRejected."""
    with torch.device("meta"):
        wanted = Basis(torch.empty(3 * 5023, HAIR + NECK), torch.empty(5023, 3)).state_dict()
    files = {"directions": "u_full.pt", "mean": "mean_deform.pt"}
    return {name: weights.read_tensor(folder / file, tuple(wanted[name].shape)) for name, file in files.items()}


_REGISTERED: dict[str, tuple[int, ...]] = {
    "uv_grid": (1, 256, 256, 2),
    "harmonized_uv_grid": (1, 1, 256, 256, 26),
    "hair_faces": (1, 749, 3),
    "neck_faces": (1, 770, 3),
    **{f"faces_{part}_mask": (1, 10006, 3, 1) for part in ("hair", "neck", "face")},
    "flame.eye_pose": (1, 6),
    "flame.neck_pose": (1, 3),
    "flame.faces_tensor": (9976, 3),
    "flame.v_template": (5023, 3),
    "flame.shapedirs": (5023, 3, 150),
    "flame.posedirs": (36, 15069),
    "flame.J_regressor": (5, 5023),
    "flame.parents": (5,),
    "flame.lbs_weights": (5023, 5),
    "flame.lmk_faces_idx": (51,),
    "flame.lmk_bary_coords": (51, 3),
    "flame.dynamic_lmk_faces_idx": (79, 17),
    "flame.dynamic_lmk_bary_coords": (79, 17, 3),
    "flame.full_lmk_faces_idx": (1, 68),
    "flame.full_lmk_bary_coords": (1, 68, 3),
    "flame.neck_kin_chain": (2,),
}
"Shapes of the buffers under parametric_avatar that the release's module registers and that come from other files here."
