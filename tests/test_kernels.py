"""The march kernels against their plain twins; on machines without a GPU through Triton's interpreter (tests/conftest.py)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from engines import heads, shared_volume, triplane
from engines.kernels.presence import available
from engines.runtime.eager import whole_float32
from engines.runtime.graphs import channels_last
from engines.shared_volume import Budget
from engines.triplane import Decoder, TriplaneField
from engines.voodoo3d import blocks, components, superres, synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.components import Look
from engines.voodoo3d.fused import FusedSuperResolution

kernels = pytest.importorskip("engines.kernels.march", reason="Triton is not installed")
Tuning = kernels.Tuning

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pytestmark = [
    pytest.mark.usefixtures("no_gradients"),
    pytest.mark.skipif(not available(DEVICE), reason="needs an NVIDIA GPU or Triton's interpreter"),
]

WIDE = Tuning(tile=(16, 16), steps=8)
"Few programs, each of which costs the interpreter the same."
FLOAT32, FLOAT16, BFLOAT16 = torch.float32, torch.float16, torch.bfloat16
LEAST_DB = {FLOAT32: 85.0, FLOAT16: 55.0}
"Of pictures of a restless random field. Seen with the interpreter: 123..127 dB and 79..82 dB."


def cameras(*yaws: float) -> tuple[Tensor, Tensor]:
    cam2world, lens = heads.cameras(*yaws)
    return cam2world.to(DEVICE), lens.to(DEVICE)


def moved(planes: Tensor, decoder: Decoder) -> tuple[Tensor, Decoder]:
    return planes.to(DEVICE), Decoder(*(layer.to(DEVICE) for layer in vars(decoder).values()))


def random_field(density: float = 8.0) -> tuple[Tensor, Decoder]:
    return moved(*heads.random_field(density))


def head_field(name: str) -> tuple[Tensor, Decoder]:
    planes, decoder = heads.planes_and_decoder(name)
    return moved(planes[0], decoder)


def psnr(one: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(4 / (one - other).square().mean()))


def same(seen: tuple[Tensor, Tensor], twin: tuple[Tensor, Tensor], least_db: float) -> None:
    """Pictures to `least_db`; depth to 2 mm where there is something (a nearly empty ray's is a mean over next to nothing)."""
    assert all(a.shape == b.shape for a, b in zip(seen, twin, strict=True))
    assert all(part.isfinite().all() for part in seen)
    assert psnr(seen[0], twin[0]) >= least_db
    solid = twin[0].amax(1, keepdim=True) > -0.8
    assert solid.any()
    assert (seen[1] - twin[1])[solid].abs().max() < 2e-3


ROUNDING = 1e-3
"""Of colours and depths marched in tiles of another shape, whose sums of products BLAS takes in another order. Seen: 3.2e-5 with
OpenBLAS's kernels for AVX-512, 0 with those for AVX2. A picture moved by one pixel is off by 0.13 in the mean."""


class TestExactMarch:
    @pytest.mark.parametrize(
        ("dtype", "coarse", "fine", "colours"),
        [(FLOAT32, 12, 10, 3), (FLOAT16, 12, 10, 3), (FLOAT32, 14, 0, 3), (FLOAT16, 9, 12, 32)],
    )
    def test_agrees_with_the_plain_twin(self, dtype: torch.dtype, coarse: int, fine: int, colours: int) -> None:
        planes, decoder = random_field()
        seen = kernels.march(kernels.prepare(planes, decoder, dtype), *cameras(14.0), 11, coarse, fine, colours, WIDE)
        same(
            seen,
            triplane.march(TriplaneField(planes, decoder), *cameras(14.0), 11, coarse, fine, colours),
            LEAST_DB[dtype],
        )

    @pytest.mark.parametrize(("name", "least_db"), [("haired", 50), ("spectacled", 42)])
    def test_half_precision_planes_keep_surfaces_in_place(self, name: str, least_db: float) -> None:
        planes, decoder = head_field(name)
        seen = kernels.march(kernels.prepare(planes, decoder), *cameras(-9.0), 16, 24, 24, 3, WIDE)
        same(seen, triplane.march(TriplaneField(planes, decoder), *cameras(-9.0), 16, 24, 24, 3), least_db)

    def test_views_are_the_same_alone_together_and_in_parts(self) -> None:
        field, (cam2world, intrinsics) = kernels.prepare(*random_field()), cameras(-17.5, 0.0, 17.5)
        together = kernels.march(field, cam2world, intrinsics, 5, 4, 4, 3, WIDE)
        in_parts = kernels.march(field, cam2world, intrinsics, 5, 4, 4, 3, Tuning((16, 16), 8, samples_at_once=1))
        alone = kernels.march(field, cam2world[1:2], intrinsics[1:2], 5, 4, 4, 3, WIDE)
        for whole, parts, one in zip(together, in_parts, alone, strict=True):
            assert torch.equal(whole, parts)
            assert torch.equal(whole[1:2], one)

    @pytest.mark.parametrize("tuning", [Tuning((8, 8), 4), Tuning((16, 4), 5)])
    def test_tiles_that_do_not_divide_the_picture_change_nothing(self, tuning: Tuning) -> None:
        field = kernels.prepare(*random_field())
        whole = kernels.march(field, *cameras(5.0), 9, 5, 4, 3, WIDE)
        tiled = kernels.march(field, *cameras(5.0), 9, 5, 4, 3, tuning)
        for one, other in zip(whole, tiled, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING)

    @pytest.mark.parametrize("logit", [-1e4, 1e4])
    def test_extreme_densities_are_nothing_and_a_wall(self, logit: float) -> None:
        planes, decoder = random_field(density=0.0)
        decoder.out_bias[0] = logit
        seen = kernels.march(kernels.prepare(planes, decoder), *cameras(0.0), 6, 12, 4, 3, WIDE)
        twin = triplane.march(TriplaneField(planes, decoder), *cameras(0.0), 6, 12, 4, 3)
        for one, other in zip(seen, twin, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=5e-3)
        assert ((seen[1] > triplane.FAR) if logit < 0 else (seen[1] < triplane.NEAR + 0.1)).all()

    def test_planes_beyond_half_precision_stay_finite(self) -> None:
        planes, decoder = random_field()
        decoder.hidden_weight.mul_(1e-2)
        seen = kernels.march(kernels.prepare(planes * 1e6, decoder), *cameras(0.0), 5, 8, 6, 3, WIDE)
        assert all(part.isfinite().all() for part in seen)

    def test_an_empty_ray_is_black_and_far(self) -> None:
        planes, decoder = head_field("plain")
        seen = kernels.march(kernels.prepare(torch.zeros_like(planes), decoder), *cameras(0.0), 4, 8, 8, 3, WIDE)
        twin = triplane.march(TriplaneField(torch.zeros_like(planes), decoder), *cameras(0.0), 4, 8, 8, 3)
        assert (seen[0] == -1).all()
        torch.testing.assert_close(seen[1], twin[1])


class TestSharedMarch:
    @pytest.mark.parametrize(
        ("dtype", "budget", "colours"),
        [(FLOAT32, Budget(12, 14, 10), 3), (FLOAT16, Budget(12, 14, 10), 3), (FLOAT16, Budget(9, 9, 11), 32)],
    )
    def test_agrees_with_the_plain_twin(self, dtype: torch.dtype, budget: Budget, colours: int) -> None:
        planes, decoder = random_field()
        views = cameras(14.0, -3.0)
        seen = kernels.shared_march(kernels.prepare(planes, decoder, dtype), *views, 9, budget, colours, WIDE)
        same(seen, shared_volume.march(TriplaneField(planes, decoder), *views, 9, budget, colours), LEAST_DB[dtype])

    def test_what_is_empty_to_the_twin_is_empty(self) -> None:
        planes, decoder = head_field("plain")
        budget, tuning = Budget(10, 12, 6), Tuning((8, 8), 6)
        seen = kernels.shared_march(kernels.prepare(planes, decoder), *cameras(0.0), 16, budget, 3, tuning)
        twin = shared_volume.march(TriplaneField(planes, decoder), *cameras(0.0), 16, budget, 3)
        same(seen, twin, 45)
        empty = (twin[0] == -1).all(1)
        assert empty.float().mean() > 0.2
        assert torch.equal((seen[0] == -1).all(1), empty)
        assert (seen[1][:, 0][empty] == seen[1].max()).all()

    def test_reads_nothing_where_it_was_told_that_there_is_nothing(self) -> None:
        planes, decoder = random_field(density=0.0)
        decoder.out_bias[0] = -50.0
        decoder.out_bias[1:] = torch.nan  # any sample composited would show
        seen = kernels.shared_march(kernels.prepare(planes, decoder), *cameras(0.0), 5, Budget(8, 8, 6), 3, WIDE)
        assert (seen[0] == -1).all()


class TestModulated:
    @pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"])
    @pytest.mark.parametrize(("dtype", "within"), [(FLOAT32, 2e-6), (FLOAT16, 4e-3), (BFLOAT16, 2e-2)])
    def test_finish_is_what_its_docstring_says(
        self, layout: torch.memory_format, dtype: torch.dtype, within: float
    ) -> None:
        from engines.kernels.modulated import finish

        draw = torch.Generator().manual_seed(3)

        def some(*shape: int) -> Tensor:
            drawn = torch.randn(*shape, generator=draw).to(DEVICE, dtype)
            return drawn.contiguous(memory_format=layout) if len(shape) == 4 else drawn

        picture, demodulation, noise = some(2, 70, 5, 9), some(2, 70).abs(), some(1, 1, 5, 9)
        strength, bias, scale, shift, style = (
            some(1),
            some(1, 70, 1, 1),
            some(2, 35, 5, 9),
            some(2, 35, 5, 9),
            some(2, 70),
        )
        x = picture.double() * demodulation[:, :, None, None].double() * 2**0.5 + (strength * noise + bias).double()
        plain = torch.nn.functional.leaky_relu(x, 0.2)
        bend = (scale, some(35)), (shift, some(35))
        factor, more = (part.double() + its_bias.double()[:, None, None] for part, its_bias in bend)
        bent = torch.cat((plain[:, :35], plain[:, 35:] * factor + more), 1) * style[:, :, None, None]
        for wanted, given in ((plain, (None, None)), (bent, (bend, style))):
            made = finish(picture.clone(), demodulation, noise, strength, bias, *given)
            assert made.is_contiguous(memory_format=layout)
            torch.testing.assert_close(made.double(), wanted, rtol=within, atol=within)

    @pytest.mark.parametrize(
        ("dtype", "least_db"), [(FLOAT32, 110), (FLOAT16, 55), pytest.param(BFLOAT16, 35, marks=pytest.mark.soak)]
    )
    def test_super_resolution_is_the_same(self, dtype: torch.dtype, least_db: float) -> None:
        """Seen with the interpreter, which cuts bfloat16 off where a GPU rounds: 133, 64 and 37 dB; the twin itself in half precision
        comes to 63 and 45."""
        whole_float32()  # as every runtime does; with what cuDNN does by default an H200 came to 78 dB
        network = synthetic.network(Architecture(image=32, thin=16), DEVICE).superresolution
        rgb = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(4)).to(DEVICE)
        twin = network(rgb)
        made = FusedSuperResolution(network.to(dtype))(rgb.to(dtype)).float()
        assert psnr(made / twin.std(), twin / twin.std()) > least_db

    def test_pictures_stay_laid_out_as_tensor_cores_read_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a convolution leaves is read and written as it lies: nothing is turned around in between."""
        from engines.kernels import convolved, modulated

        seen: list[bool] = []

        def look(_: object, __: object, *given: object, **___: object) -> None:
            pictures = [one for one in given if isinstance(one, Tensor) and one.dim() == 4 and 1 not in one.shape]
            seen.extend(one.is_contiguous(memory_format=torch.channels_last) for one in pictures)

        monkeypatch.setattr(modulated, "launch", look)
        monkeypatch.setattr(convolved, "launch", look)
        network = synthetic.network(Architecture(image=32, thin=16), DEVICE).superresolution
        channels_last(network)
        FusedSuperResolution(network)(torch.randn(2, 3, 8, 8).to(DEVICE))
        assert len(seen) > 80
        assert all(seen)


LAYOUTS = pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"]
)
ROUNDED = pytest.mark.parametrize(("dtype", "within"), [(FLOAT32, 1e-6), (FLOAT16, 2e-3), (BFLOAT16, 1.6e-2)])
"Of half precision two of the last places of what is about 4 at most."


@LAYOUTS
@ROUNDED
class TestConvolved:
    """Against torch in double precision: more channels than a program has, and pictures of which no program's share is a part."""

    def drawn(self, layout: torch.memory_format, dtype: torch.dtype, channels: int) -> tuple[Tensor, Tensor, Tensor]:
        """A picture, one of twice its side, and a bias."""
        draw = torch.Generator().manual_seed(5)
        small, large = torch.randn(2, channels, 3, 6, generator=draw), torch.randn(2, channels, 6, 12, generator=draw)
        bias = torch.randn(channels, generator=draw).to(DEVICE, dtype)
        return (
            small.to(DEVICE, dtype).contiguous(memory_format=layout),
            large.to(DEVICE, dtype).contiguous(memory_format=layout),
            bias,
        )

    def held(self, made: Tensor, wanted: Tensor, layout: torch.memory_format, within: float) -> None:
        assert made.is_contiguous(memory_format=layout)
        torch.testing.assert_close(made.double(), wanted, rtol=within, atol=within)

    def test_doubled(self, layout: torch.memory_format, dtype: torch.dtype, within: float) -> None:
        from engines.kernels.convolved import doubled

        small, _, bias = self.drawn(layout, dtype, 70)
        style = torch.stack((bias, 2 - bias))
        self.held(doubled(small), blocks.doubled(small.double()), layout, within)
        self.held(doubled(small, bias), blocks.doubled(_bent(small, bias)), layout, within)
        styled = small.double() * style.double()[:, :, None, None]
        self.held(doubled(small, style=style), blocks.doubled(styled), layout, 2 * within)

    @pytest.mark.parametrize("channels", [3, 70])
    def test_doubled_onto(self, layout: torch.memory_format, dtype: torch.dtype, within: float, channels: int) -> None:
        from engines.kernels.convolved import doubled_onto

        small, large, bias = self.drawn(layout, dtype, channels)
        upon = blocks.doubled(small.double())
        self.held(doubled_onto(large.clone(), bias, small), _bent(large, bias) + upon, layout, within)
        unbent = large.double() + bias.double()[:, None, None] + upon
        self.held(doubled_onto(large.clone(), bias, small, leaky=False), unbent, layout, within)

    def test_halved(self, layout: torch.memory_format, dtype: torch.dtype, within: float) -> None:
        from engines.kernels.convolved import halved

        _, large, bias = self.drawn(layout, dtype, 70)
        self.held(halved(large), F.avg_pool2d(large.double(), 2), layout, within)
        self.held(halved(large, bias), F.avg_pool2d(_bent(large, bias), 2), layout, within)

    def test_settled(self, layout: torch.memory_format, dtype: torch.dtype, within: float) -> None:
        from engines.kernels.convolved import settled

        small, _, bias = self.drawn(layout, dtype, 70)
        self.held(settled(small.clone(), bias), _bent(small, bias), layout, within)
        added = small.flip(0).contiguous(memory_format=layout)
        self.held(settled(small.clone(), bias, added), _bent(small, bias) + added, layout, within)


def _bent(picture: Tensor, bias: Tensor) -> Tensor:
    """What superres.py does to what a convolution left, in double precision."""
    return superres.leaky(picture.double() + bias.double()[:, None, None])


class TestComponent:
    def test_a_gpu_is_given_kernels_and_a_processor_torch(self) -> None:
        network = synthetic.network(Architecture(image=32, thin=16), DEVICE)
        for component in (components.superresolution(network), components.march(network, Look(2, 8, (6, 6), 3))):
            assert (component.fused is not None) == (DEVICE.type == "cuda")

    def test_a_gpu_without_triton_is_given_torch_aloud(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(components, "available", lambda _: False)
        monkeypatch.setattr("engines.runtime._said", set())
        assert not components._kernels_run_on(torch.device("cuda", 0))
        assert "pip install triton" in caplog.text
