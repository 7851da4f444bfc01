"""ROME, full size, on a GPU: what is drawn by the kernels, and every network in float32 and float16, against the official outputs."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from engines.rome import offsets
from engines.rome.network import Rome
from engines.rome.visible import rasterised
from tests.golden.test_rome_goldens import SPARSE, SUB, check, codes, inputs, picture, published, stored, tensors

__all__ = ["check", "inputs", "published", "tensors"]
"Fixtures."

pytestmark = [pytest.mark.golden, pytest.mark.gpu, pytest.mark.usefixtures("no_gradients")]

LOOSE = {"float32": 1e-3, "float16": 1e-2}
"Relative RMS of pictures: a GPU's float16 sums in another order than the CPU that the goldens are of."


@pytest.fixture(scope="module", params=["float32", "float16"], ids=lambda name: f"eager {name}")
def way(request: pytest.FixtureRequest, tensors: dict[str, Tensor]) -> tuple[Rome, str]:
    torch.backends.cudnn.allow_tf32 = False
    return Rome.from_tensors(tensors, device="cuda", dtype=getattr(torch, request.param)), request.param


def test_stages(way: tuple[Rome, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    texture = network.texture(picture(inputs, "source").cuda(), torch.from_numpy(inputs.matte()).cuda())
    check.assert_close("texture", "texture_sub", texture[SUB].cpu(), precision)
    exact = stored(check, "texture", "texture").cuda()
    posed = network.posed(codes(inputs, "a"))
    check.assert_close("flame", "a_verts", posed.vertices.cpu())
    latent = network.mesh_deformer(
        offsets.geometry_input(network.flame, exact, posed.vertices).to(next(network.unet.parameters()))
    )
    check.assert_close("deform", "latent_sub", latent[SPARSE].float().cpu(), "float16")
    check.assert_close("deform", "vertices_final", network.deform(exact, codes(inputs, "a")).cpu(), "float16")


def test_drawing_and_shading(way: tuple[Rome, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    near = stored(check, "render", "projected").cuda() + torch.tensor([0, 0, network.NEARNESS], device="cuda")
    face = rasterised(near, network.flame.faces, 256).face[0].cpu()
    check.assert_face_map("render", "face_index", face, outliers=0)
    uv, normal = (stored(check, "render", name).cuda() for name in ("uv", "normal"))
    alpha = (stored(check, "render", "alpha") > 0).float()[None, None].cuda()
    texture = stored(check, "texture", "texture").cuda()
    colours, soft = network.shade(texture, uv, normal, alpha)
    for key, made in {"image_sub": colours, "soft_mask_sub": soft}.items():
        error = check.rel_rms(made[SUB].cpu().numpy(), check.load_golden("render")[key])
        assert error < LOOSE[precision] + 2e-3, (key, error)  # the stored texture is half precision
