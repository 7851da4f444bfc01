"""The VOODOO 3D networks, small and with synthetic weights: their wiring, their plain twins, their work per frame.

Equality with the official code at full size is tests/golden/.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engines import triplane
from engines.heads import cameras
from engines.voodoo3d import checkpoint, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.blocks import Attention, with_coordinates
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.superres import ModulatedConv

pytestmark = pytest.mark.usefixtures("no_gradients")

SMALL = Architecture(image=64, thin=16)
SAMPLES = 12


@pytest.fixture(scope="module")
def network() -> Voodoo3D:
    return synthetic.network(SMALL)


@pytest.fixture(scope="module")
def right(network: Voodoo3D) -> dict[str, Tensor]:
    """Picture 2 drives picture 1."""
    with torch.no_grad():
        return reenacted(network, picture(1), picture(2))


def picture(seed: int, size: int = SMALL.image) -> Tensor:
    """[1, 3, size, size] in -1..1, smooth, with a left and a right."""
    noise = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=size, mode="bicubic").tanh()


def reenacted(network: Voodoo3D, source: Tensor, driver: Tensor) -> dict[str, Tensor]:
    return network.reenact(source, driver, *cameras(8.0), SAMPLES, SAMPLES)


def changed(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean().sqrt() / one.std())


class TestLayout:
    def test_the_network_holds_exactly_what_the_published_file_holds_less_what_is_dead(self) -> None:
        with torch.device("meta"):
            ours = {name: tuple(tensor.shape) for name, tensor in Voodoo3D().state_dict().items()}
        manifest = checkpoint.manifest()
        assert ours == dict(manifest.used)
        assert len(manifest.shapes()) == 723
        assert sum(torch.Size(shape).numel() for shape in manifest.shapes().values()) == 243_259_364
        dead = ("layer3", "layer4", "style_mlp", "toRGB")
        assert all(any(part in name for part in dead) for name in manifest.dead)

    def test_is_loaded_strictly(self) -> None:
        tensors = synthetic.tensors(SMALL)
        del tensors["exp_transfer.conv3.bias"]
        with pytest.raises(RuntimeError, match=r"exp_transfer\.conv3\.bias"):
            Voodoo3D.from_tensors(tensors, SMALL)

    def test_synthetic_weights_are_the_same_every_time(self, network: Voodoo3D) -> None:
        again = synthetic.tensors(SMALL)
        assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


class TestReenact:
    def test_shapes_and_that_nothing_blows_up_or_dies(self, network: Voodoo3D) -> None:
        seen = network.reenact(picture(1), picture(2), *cameras(-10.0, 10.0), SAMPLES, SAMPLES)
        assert seen["image_raw"].shape == (2, 3, 16, 16)
        assert seen["image"].shape == (2, 3, 64, 64)
        assert seen["depth"].shape == (2, 1, 16, 16)
        assert seen["planes"].shape == (1, 3, 32, 32, 32)
        for part in seen.values():
            assert part.isfinite().all()
            assert part.std() > 0.05

    @pytest.mark.parametrize(
        "inputs",
        [
            lambda s, d: (d, s),
            lambda s, d: (s.flip(3), d),
            lambda s, d: (s, d.flip(3)),
            lambda s, d: (s.flip(2), d),
            lambda s, d: (s, d.flip(1)),
        ],
        ids=["swapped", "mirrored source", "mirrored driver", "upside-down source", "driver's colours swapped"],
    )
    def test_every_mistake_with_its_inputs_shows(
        self, network: Voodoo3D, right: dict[str, Tensor], inputs: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> None:
        wrong = reenacted(network, *inputs(picture(1), picture(2)))
        assert changed(right["image"], wrong["image"]) > 0.1
        assert changed(right["planes"], wrong["planes"]) > 0.1

    def test_is_its_stages_in_order(self, network: Voodoo3D, right: dict[str, Tensor]) -> None:
        source = network.lift((picture(1) + 1) / 2)
        driver = network.lift((picture(2) + 1) / 2)
        planes = network.transfer(
            network.source_frontal(source, SAMPLES, SAMPLES), network.driver_frontal(driver, SAMPLES, SAMPLES), source
        )
        features, depth = network.march(planes, *cameras(8.0), 16, SAMPLES, SAMPLES)
        torch.testing.assert_close(right["image_raw"], features[:, :3], rtol=0, atol=2e-4)
        torch.testing.assert_close(right["depth"], depth, rtol=0, atol=2e-4)
        torch.testing.assert_close(right["image"], network.superresolve(features[:, :3]), rtol=0, atol=1e-3)

    @pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.25), (torch.float16, 0.05)])
    def test_half_precision_networks_stay_near(self, network: Voodoo3D, dtype: torch.dtype, limit: float) -> None:
        half = Voodoo3D.from_tensors(synthetic.tensors(SMALL), SMALL, dtype=dtype)
        image = (picture(1) + 1) / 2
        planes = network.lift(image)
        assert half.lift(image).dtype == torch.float32
        assert changed(planes, half.lift(image)) < limit
        rgb = picture(3, 16)
        assert changed(network.superresolve(rgb), half.superresolve(rgb)) < limit


class TestTwins:
    """Each fast path against the plain way to the same numbers."""

    def test_the_share_known_at_enrolment_is_part_of_the_one_convolution(self, network: Voodoo3D) -> None:
        transfer, planes = network.exp_transfer, network.lift((picture(1) + 1) / 2)
        source01, driver01 = (picture(4) + 1) / 2, (picture(5) + 1) / 2
        everything = torch.cat(
            (
                transfer.source_feat_extractor(with_coordinates(source01)),
                transfer.driver_feat_extractor(with_coordinates(driver01)),
                transfer.triplane_descriptor(planes.flatten(1, 2)),
            ),
            1,
        )
        tokens = transfer.patch_embed(everything)
        tokens = transfer.block2(transfer.block1(tokens, transfer.side), transfer.side)
        plain = planes + transfer.to_planes(tokens).unflatten(1, (3, 32))
        torch.testing.assert_close(network.transfer(source01, driver01, planes), plain, rtol=0, atol=2e-5)

    @pytest.mark.parametrize("upsample", [False, True])
    def test_a_style_around_the_weights_is_a_style_in_the_weights(self, upsample: bool) -> None:
        layer = ModulatedConv(6, 8, 3, 5, demodulate=True)
        torch.nn.init.normal_(layer.weight)
        x, latent = torch.randn(4, 6, 8, 8), torch.randn(4, 5)
        style = layer.modulation(latent)
        own = layer.weight * style[:, None, :, None, None]
        own = own * torch.rsqrt(own.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        big = F.interpolate(x, scale_factor=2, mode="bilinear") if upsample else x
        plain = torch.cat([F.conv2d(one[None], weight, padding=1) for one, weight in zip(big, own, strict=True)])
        torch.testing.assert_close(layer(x, latent, upsample), plain, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("reduction", [1, 2])
    def test_attention_is_softmax_of_scaled_products(self, reduction: int) -> None:
        layer, x = Attention(16, 2, reduction), torch.randn(1, 64, 16)
        source = x
        if reduction == 2:
            source = layer.norm(layer.sr(x.transpose(1, 2).reshape(1, 16, 8, 8)).flatten(2).transpose(1, 2))
        key, value = layer.kv(source).split(16, -1)
        heads = []
        for part in (slice(0, 8), slice(8, 16)):
            scores = layer.q(x)[..., part] @ key[..., part].transpose(1, 2) / 8**0.5
            heads.append(scores.softmax(-1) @ value[..., part])
        torch.testing.assert_close(layer(x, 8), layer.proj(torch.cat(heads, -1)), rtol=1e-4, atol=1e-5)

    def test_views_resolved_together_are_what_they_are_alone(
        self, network: Voodoo3D, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rgb = torch.cat([picture(seed, 16) for seed in range(3)])
        alone = network.superresolve(rgb)
        monkeypatch.setattr("engines.voodoo3d.network.VIEWS_AT_ONCE", {"cpu": 3})
        torch.testing.assert_close(network.superresolve(rgb), alone, rtol=0, atol=1e-4)


class TestWork:
    """Multiply-accumulates of the official sizes, counted on shapes alone (torch's flop counter, halved)."""

    BILINEAR = 3 * 4 * 32
    "Per point, which the counter does not see."

    @pytest.fixture(scope="class")
    def official(self) -> Voodoo3D:
        with torch.device("meta"):
            return Voodoo3D().eval()

    @staticmethod
    def gmac(work: Callable[[], object]) -> float:
        with FlopCounterMode(display=False) as counter:
            work()
        return counter.get_total_flops() / 2e9

    def march_gmac(self) -> float:
        """One 128 x 128 view at 96 + 96 with RGB colour: field and compositing."""
        points = torch.zeros(1000, 3)
        field = synthetic.network(SMALL).field(torch.zeros(1, 3, 32, 32, 32))
        per_point = self.gmac(lambda: field(points, 3)) * 1e9 / len(points) + self.BILINEAR + 3
        return per_point * 128 * 128 * (96 + 96) / 1e9

    def test_a_driven_frame(self, official: Voodoo3D) -> None:
        image = torch.empty(1, 3, 512, 512, device="meta")
        share = torch.empty(1, 1024, 32, 32, device="meta")
        drive = self.gmac(lambda: official.lift(image)) + self.gmac(lambda: official.expression(share, image))
        assert drive + self.march_gmac() <= 615

    def test_a_view(self, official: Voodoo3D) -> None:
        rgb = torch.empty(1, 3, 128, 128, device="meta")
        assert self.gmac(lambda: official.superresolve(rgb)) + self.march_gmac() <= 207

    def test_enrolment_leaves_only_the_drivers_work_for_later(self, official: Voodoo3D) -> None:
        image = torch.empty(1, 3, 512, 512, device="meta")
        planes = torch.empty(1, 3, 32, 256, 256, device="meta")
        share = torch.empty(1, 1024, 32, 32, device="meta")
        whole = self.gmac(lambda: official.transfer(image, image, planes))
        once = self.gmac(lambda: official.source_share(image, planes))
        each = self.gmac(lambda: official.expression(share, image))
        assert once + each == pytest.approx(whole)
        assert each < 63

    def test_a_point_of_colour_costs_four_outputs_not_thirty_three(self) -> None:
        field, points = synthetic.network(SMALL).field(torch.zeros(1, 3, 32, 32, 32)), torch.zeros(64, 3)
        assert self.gmac(lambda: field(points, 3)) * 1e9 / 64 == 2304
        assert triplane.POINTS_AT_ONCE["cpu"] * 64 * 4 <= 1 << 21


def test_runs_with_torch_and_numpy_alone() -> None:
    program = """
import sys
for name in ("safetensors", "skimage", "cv2", "scipy", "PIL", "numba", "mediapipe", "av", "matplotlib", "fastapi"):
    sys.modules[name] = None  # importing it fails from here on
import engines.mesh
from display.optics import fan
from display.screen import screen
from engines.voodoo3d import checkpoint, engine, synthetic
from engines.voodoo3d.architecture import Architecture
import torch
network = synthetic.network(Architecture(64, 16))
picture, cameras = torch.rand(1, 3, 64, 64), fan(screen("telequilt")).split(24)[0]
pose = torch.from_numpy(cameras.cam2world), torch.from_numpy(cameras.intrinsics)
assert network.reenact(picture, picture, *pose, 8, 8)["image"].isfinite().all()
assert len(checkpoint.manifest().used) == 566
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
