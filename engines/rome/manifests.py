"""Manifests: the networks without weights, and the names and shapes that published files therefore have. There is no list of them."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from engines import weights
from engines.rome.architecture import HAIR, LATENT, MOBILE_CODES, NECK, Architecture
from engines.rome.offsets import OffsetMLP
from engines.rome.regressors import DecaEncoder, MobileNet, ResNet
from engines.rome.texture import TextureEncoder
from engines.rome.unet import UNet

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


def _shapes(network: nn.Module, part: str = "") -> dict[str, tuple[int, ...]]:
    under = f"{part}." if part else ""
    return {f"{under}{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}


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
