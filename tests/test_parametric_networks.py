"""The parametric head's networks: sizes to the parameter, lookups with their twin, derivatives against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from engines.parametric.architecture import SMALL, Architecture
from engines.parametric.deform import Deformation
from engines.parametric.discriminator import Discriminator
from engines.parametric.network import Identity, features, features_without_gradients, gradient

TINY = Architecture(
    z_id=8, z_ex=4, generator=8, channels=8, side=64, reach=0.7, batch_norm=False, hidden=32, deform_hidden=40,
    deform_layers=4,
)  # fmt: skip


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


def test_the_thesis_sizes_to_the_parameter() -> None:
    with torch.device("meta"):
        assert parameters(Identity()) == 7_336_929
        assert parameters(Deformation()) == 7_350_584
        assert parameters(Discriminator()) == 12_412_465


@pytest.mark.parametrize("arch", [TINY, SMALL])
def test_sizes_are_read_off_the_tensors(arch: Architecture) -> None:
    made = Identity(arch)
    read = Identity.from_state(made.state_dict(), arch.side, arch.reach)
    z, points = torch.randn(2, arch.z_id), torch.rand(2, 20, 3) - 0.5
    torch.testing.assert_close(read.sdf(read.planes(z), points), made.sdf(made.planes(z), points))
    deformation = Deformation(arch)
    again = Deformation.from_state(deformation.state_dict(), arch.z_id)
    code = torch.randn(2, arch.z_ex)
    torch.testing.assert_close(again.displacement(points, z, code), deformation.displacement(points, z, code))


def test_another_networks_tensors_are_refused() -> None:
    state = Identity(TINY).state_dict()
    state.pop("net.2.bias")
    with pytest.raises(RuntimeError, match=r"net\.2\.bias"):
        Identity.from_state(state, TINY.side)
    with pytest.raises(AssertionError, match="an identity has 8 numbers"):
        Identity(TINY).planes(torch.zeros(1, 9))


def test_an_untrained_network_encloses_a_sphere() -> None:
    torch.manual_seed(0)
    network = Identity(SMALL)
    directions = torch.nn.functional.normalize(torch.randn(1, 200, 3), dim=-1)
    planes = network.planes(torch.zeros(1, SMALL.z_id))
    assert (network.sdf(planes, 0.1 * directions) < 0).all()
    assert (network.sdf(planes, 0.6 * directions) > 0).all()


def restless() -> Tensor:
    return torch.randn(2, 3, 5, 64, 64, generator=torch.Generator().manual_seed(1))


def test_both_lookups_agree_outside_the_cube_too() -> None:
    planes = restless()
    points = torch.rand(2, 500, 3) * 2.6 - 1.3
    points[:, :8] = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], dtype=torch.float32)
    torch.testing.assert_close(features(planes, points), features_without_gradients(planes, points), atol=1e-4, rtol=0)


def test_a_plane_is_looked_up_where_its_name_says() -> None:
    """xy, yz, xz: the first letter along the width, the second along the height."""
    ramp = torch.linspace(-1, 1, 64)
    for plane, (across, down) in enumerate(((0, 1), (1, 2), (0, 2))):
        planes = torch.zeros(1, 3, 2, 64, 64)
        planes[0, plane, 0], planes[0, plane, 1] = ramp[None], ramp[:, None]
        points = torch.rand(1, 50, 3) * 2 - 1
        torch.testing.assert_close(features(planes, points), points[..., [across, down]], atol=1e-5, rtol=0)


def test_beyond_the_cube_features_have_no_slope() -> None:
    points = torch.tensor([[[1.5, 1.5, 1.5], [0.31, 0.2, -0.4]]]).requires_grad_(True)
    slopes = gradient(features(restless()[:1], points), points)
    assert slopes[0, 0].abs().max() < 1e-4  # sums of 12 corners that cancel
    assert slopes[0, 1].abs().min() > 0.1


def test_normals_can_be_trained() -> None:
    """The gradient's own derivative, against finite differences, in a parameter of every part."""
    torch.manual_seed(3)
    network = Identity(TINY).double()
    z, base = torch.randn(1, TINY.z_id).double(), (torch.rand(1, 30, 3) - 0.5).double()

    def steepness() -> Tensor:
        points = base.clone().requires_grad_(True)
        return gradient(network.sdf(network.planes(z), points), points, again=True).norm(dim=-1).square().sum()

    for name in ("tp_gen.main.14.weight", "net.0.weight", "net.4.weight"):
        parameter, step = network.get_parameter(name), 1e-5
        place = tuple(0 for _ in parameter.shape)
        exact = torch.autograd.grad(steepness(), parameter)[0][place]
        with torch.no_grad():
            parameter[place] += step
        above = steepness().detach()
        with torch.no_grad():
            parameter[place] -= 2 * step
        assert exact.item() == pytest.approx(((above - steepness().detach()) / (2 * step)).item(), rel=1e-3, abs=1e-6)


def test_planes_come_with_their_channels_last() -> None:
    """The gathers read whole rows of channels, without a copy of the planes for each block of points."""
    planes = Identity(TINY).planes(torch.zeros(1, TINY.z_id))
    assert planes.shape == (1, 3, TINY.channels, 64, 64)
    assert planes.permute(0, 1, 3, 4, 2).is_contiguous()


@pytest.mark.parametrize("side", [4, 32, 64])
def test_maps_enter_the_discriminator_by_their_size(side: int) -> None:
    thin = Discriminator((4, 4, 4, 4, 8, 8, 8, 8, 8))
    assert thin(torch.zeros(2, 3, side, side)).shape == (2, 1)
    with pytest.raises(AssertionError):
        thin(torch.zeros(1, 3, side - 1, side - 1))
