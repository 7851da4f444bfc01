"""The parametric head, full size, synthetic weights: every network and the march against outputs of the author's own modules."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from engines.parametric import march
from engines.parametric.deform import Deformation
from engines.parametric.density import laplace
from engines.parametric.discriminator import Discriminator
from engines.parametric.network import Identity, gradient
from engines.parametric.sampling import ErrorBounded
from tests.conftest import SHARED, module_at

pytestmark = [pytest.mark.golden, pytest.mark.timeout(900)]

FACTS = SHARED / "parametric"
BETA = 0.0101
State = Callable[[str], dict[str, Tensor]]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    path = FACTS / "golden/aphm.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture(scope="module")
def state() -> State:
    tensors = module_at(FACTS / "synth_weights.py").synthesize()

    def of(part: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(f"{part}/"): torch.from_numpy(value)
            for name, value in tensors.items()
            if name.startswith(f"{part}/")
        }

    return of


@pytest.fixture(scope="module")
def identity(state: State) -> Identity:
    return Identity.from_state(state("identity"))


@pytest.fixture(scope="module")
def planes(identity: Identity, golden: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return identity.planes(golden["z_id"])


def close(ours: Tensor, theirs: Tensor, atol: float) -> None:
    torch.testing.assert_close(ours.detach().reshape(theirs.shape), theirs, rtol=0, atol=atol)


def test_names_and_shapes_are_the_authors() -> None:
    if not FACTS.is_dir():
        pytest.skip(f"{FACTS} is not here")
    listed = json.loads((FACTS / "manifest.json").read_text())["tensors"]
    with torch.device("meta"):
        parts = {"identity": Identity(), "expression": Deformation(), "discriminator": Discriminator()}
    ours = {
        f"{part}/{name}": list(t.shape) for part, module in parts.items() for name, t in module.state_dict().items()
    }
    assert ours == {name: spec["shape"] for name, spec in listed.items()}


def test_the_distance_and_its_gradient(identity: Identity, planes: Tensor, golden: dict[str, Tensor]) -> None:
    points = golden["points"].clone().requires_grad_(True)
    sdf = identity.sdf(planes, points)
    close(sdf, golden["sdf"], 2e-5)
    off = (gradient(sdf, points) - golden["sdf_gradient"]).abs().amax(-1)
    assert (off < 1e-4).float().mean() >= 0.99  # at texels' borders the bilinear slope has kinks
    with torch.no_grad():
        close(identity.sdf(planes, points), golden["sdf"], 2e-5)


def test_planes_and_their_other_size(
    identity: Identity, planes: Tensor, golden: dict[str, Tensor], state: State
) -> None:
    close(planes[..., ::16, ::16], golden["planes_stride16"], 2e-5)
    small = Identity.from_state(state("identity"), side=128)
    with torch.no_grad():
        close(small.sdf(small.planes(golden["z_id"]), golden["points"]), golden["sdf_planes128"], 2e-5)


def test_batch_norm_in_training_is_another_network(state: State, golden: dict[str, Tensor]) -> None:
    network = Identity.from_state(state("identity")).train()
    with torch.no_grad():
        sdf = network.sdf(network.planes(golden["z_id"]), golden["points"])
    close(sdf, golden["sdf_batchnorm_training_mode"], 2e-5)
    assert (sdf[..., None] - golden["sdf"]).abs().max() > 0.1


def test_the_displacement(state: State, golden: dict[str, Tensor]) -> None:
    with torch.no_grad():
        moved = Deformation.from_state(state("expression")).displacement(
            golden["points"], golden["z_id"], golden["z_ex"]
        )
    close(moved, golden["displacement"], 1e-6)


def test_the_discriminator_and_its_penalty(state: State, golden: dict[str, Tensor]) -> None:
    maps = golden["discriminator_input"].clone().requires_grad_(True)
    logits = Discriminator.from_state(state("discriminator"))(maps)
    close(logits, golden["discriminator_logits"], 1e-4)
    slope = torch.autograd.grad(logits.sum(), maps)[0]
    close(slope.square().flatten(1).sum(1), golden["r1_penalty_per_image"], 1e-5)


@pytest.mark.parametrize(("name", "beta"), [("density_beta_0.1", 0.1001), ("density_beta_0.01", 0.01)])
def test_the_density(name: str, beta: float, golden: dict[str, Tensor]) -> None:
    close(laplace(golden["density_s"], beta), golden[name], 2e-5)


def test_the_march_on_the_authors_samples(identity: Identity, planes: Tensor, golden: dict[str, Tensor]) -> None:
    rays = march.rays(golden["render_intrinsics"], golden["render_cam2world"], 32)
    close(rays.directions, golden["ray_dirs"], 1e-6)
    weights, normal_map = rendered(identity, planes, rays, golden["render_z_vals"])
    close(weights, golden["render_weights"], 1e-4)
    close(march.picture(normal_map), golden["render_normal_map"], 2e-3)
    met = golden["render_weights"].sum(-1) > 1e-3
    depth = march.depth(weights, golden["render_z_vals"], rays.ahead)
    close(depth[met], golden["render_depth"][..., 0][met], 1e-3)


def test_our_sampler_shows_what_the_authors_shows(
    identity: Identity, planes: Tensor, golden: dict[str, Tensor]
) -> None:
    """Positions amplify rounding: the author's own code, on another processor, differs from the golden map by 0.044."""
    rays = march.rays(golden["render_intrinsics"], golden["render_cam2world"], 32)
    sampler = ErrorBounded(coarse=64, fine=32, extra=8)
    z_vals = sampler(lambda points: identity.sdf(planes, points), rays, BETA)
    assert z_vals.shape == golden["render_z_vals"].shape
    off = (march.picture(rendered(identity, planes, rays, z_vals)[1]) - golden["render_normal_map"]).abs()
    assert off.mean() < 1e-3
    assert off.max() < 0.15


def rendered(identity: Identity, planes: Tensor, rays: march.Rays, z_vals: Tensor) -> tuple[Tensor, Tensor]:
    points = rays.at(z_vals).flatten(1, 2).requires_grad_(True)
    sdf = identity.sdf(planes, points)
    slopes = gradient(sdf, points)
    return march.composite(sdf.detach().view(z_vals.shape), slopes.view(*z_vals.shape, 3), z_vals, BETA)
