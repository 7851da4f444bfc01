"""VOODOO 3D, full size, on a GPU: eager and recorded, with its kernels, against outputs of the official code."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engines.runtime import choose
from engines.voodoo3d.network import Voodoo3D

pytestmark = [
    pytest.mark.golden,
    pytest.mark.gpu,
    pytest.mark.usefixtures("no_gradients"),
]

WAYS = [("eager", "float32"), ("eager", "bfloat16"), ("eager", "float16"), ("graphs", "float32"), ("graphs", "float16")]


@pytest.fixture(scope="module", params=WAYS, ids=" ".join)
def way(request: pytest.FixtureRequest, tensors: dict[str, Tensor]) -> Iterator[tuple[Voodoo3D, str]]:
    """The network on the GPU as a runtime runs it, and the precision by whose limits it is judged."""
    runtime, precision = request.param
    copies = {name: tensor.to("cuda") for name, tensor in tensors.items()}
    network = Voodoo3D.from_tensors(copies, device="cuda", dtype=getattr(torch, precision))
    yield network.run_by(choose(runtime, "cuda"), views_at_once=1), precision
    torch.cuda.empty_cache()


def picture(inputs: ModuleType, name: str, size: int = 512) -> Tensor:
    """-1..1, on the GPU."""
    return torch.from_numpy(inputs.image(name, size)).cuda()


def test_lift(way: tuple[Voodoo3D, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    planes = network.lift((picture(inputs, "source") + 1) / 2).flatten(1, 2).cpu()
    check.assert_close("lift", "planes_sub", planes[:, :, 3::8, 5::8], precision)
    check.assert_close("lift", "planes_crop", planes[:, ::8, 100:132, 60:92], precision)


def test_transfer(way: tuple[Voodoo3D, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    source = (picture(inputs, "xs_frontal") + 1) / 2
    driver = F.interpolate((picture(inputs, "xd_frontal", 128) + 1) / 2, scale_factor=4)
    planes = torch.from_numpy(inputs.planes()).cuda()
    delta = (network.transfer(source, driver, planes) - planes).flatten(1, 2).cpu()
    check.assert_close("exp_transfer", "delta_sub", delta[:, :, 3::8, 5::8], precision)


@pytest.mark.parametrize(("golden", "samples"), [("render_24_24", (24, 24)), ("render_96_96", (96, 96))])
def test_march(
    way: tuple[Voodoo3D, str], inputs: ModuleType, check: ModuleType, golden: str, samples: tuple[int, int]
) -> None:
    network, precision = way
    view = torch.from_numpy(inputs.orbit_cam2world(0, 0)).cuda(), torch.from_numpy(inputs.intrinsics()).cuda()
    planes = torch.from_numpy(inputs.planes()).cuda()
    feature, depth = (part.cpu() for part in network.march(planes, *view, 128, *samples))
    if precision == "float32" and network.prepared.runtime.name == "eager":
        check.assert_close(golden, "frontal_feature", feature)
    else:  # kernels add up in another order, and in half precision planes are rounded
        expected = check.load_golden(golden)["frontal_feature"]
        assert check.psnr(feature.numpy(), expected) >= (60 if precision != "bfloat16" else 50)
    assert check.psnr(depth[0, 0].numpy(), check.load_golden(golden)["frontal_depth"][0, 0]) >= 50


def test_superresolution(way: tuple[Voodoo3D, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    image = network.superresolve(picture(inputs, "sr", 128)).cpu()
    check.assert_close("superres", "image", image, precision)
    check.assert_close("superres", "image_sub", image[:, :, 3::8, 5::8], precision)


def test_a_mirrored_picture_is_refused(way: tuple[Voodoo3D, str], inputs: ModuleType, check: ModuleType) -> None:
    network, precision = way
    image = network.superresolve(picture(inputs, "sr", 128).flip(3)).cpu()
    with pytest.raises(AssertionError, match="image"):
        check.assert_close("superres", "image", image, precision)
