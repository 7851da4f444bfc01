"""ROME's networks and what stands between them, small and synthetic: laws, work counted, files read and refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from engines.rome import bust, crops, manifests, mask, synthetic
from engines.rome.architecture import Architecture
from engines.rome.blocks import standardised
from engines.rome.flame import Flame, rotation
from engines.rome.harmonic import harmonic
from engines.rome.network import Rome
from engines.rome.offsets import Basis
from engines.rome.regressors import MobileNet, ResNet, folded

pytestmark = pytest.mark.usefixtures("no_gradients", "one_thread")

GMAC = 2e9
"FlopCounterMode counts a multiplication and an addition apart."


@pytest.fixture(scope="module")
def network() -> Rome:
    return synthetic.network(synthetic.SMALL, linear=True)


@pytest.fixture(scope="module")
def head() -> Flame:
    return Flame(bust.tensors(13, 16), 32)


def codes(seed: int = 0, **given: Tensor) -> dict[str, Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    sizes = {"shape": 100, "exp": 50, "pose": 6, "cam": 3}
    made = {name: torch.randn(1, size, generator=drawn) for name, size in sizes.items()}
    made["pose"] *= 0.2
    made["cam"] = torch.tensor([[4.5, 0.0, 0.04]])
    return made | given


def picture(seed: int, channels: int = 3, side: int = 64) -> Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(seed))


class TestFlame:
    def test_at_rest_it_is_its_template(self, head: Flame) -> None:
        posed = head.posed(torch.zeros(1, 100), torch.zeros(1, 50), torch.zeros(1, 3))
        torch.testing.assert_close(posed.vertices[0], head.template, atol=1e-7, rtol=0)
        torch.testing.assert_close(posed.root[0], head.joints[0] @ head.template)

    def test_what_goes_with_the_jaw_turns_about_it_stiffly(self, head: Flame) -> None:
        whole = head.jaw_weight.argsort()[-1]
        head_tensors = {**bust.tensors(13, 16)}
        head_tensors["jaw_weight"] = (torch.arange(len(head.template)) == whole).float()
        head_tensors["jaw_shapes"] = torch.zeros_like(head.jaw_shapes)
        one = Flame(head_tensors, 32)
        jaw = torch.tensor([[0.3, 0.1, -0.2]])
        posed = one.posed(torch.zeros(1, 100), torch.zeros(1, 50), jaw).vertices[0]
        hinge = one.joints[1] @ one.template
        before, after = one.template - hinge, posed - hinge
        assert (after - before).norm(dim=1).argmax() == whole
        torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), atol=1e-6, rtol=0)
        others = torch.arange(len(before)) != whole
        torch.testing.assert_close(after[others], before[others], atol=1e-6, rtol=0)

    def test_two_heads_at_once_are_two_heads(self, head: Flame) -> None:
        given = [torch.cat([codes(seed)[name] for seed in (1, 2)]) for name in ("shape", "exp", "pose")]
        both = head.posed(given[0], given[1], given[2][:, 3:])
        for k in range(2):
            alone = head.posed(*(part[k : k + 1] for part in (given[0], given[1], given[2][:, 3:])))
            torch.testing.assert_close(both.vertices[k], alone.vertices[0], atol=1e-6, rtol=0)
            torch.testing.assert_close(both.root[k], alone.root[0])

    def test_normals_are_unit_and_point_out(self, head: Flame) -> None:
        normals = head.normals(head.template[None])[0]
        torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)), atol=1e-5, rtol=0)
        outward = head.template * torch.tensor([1.0, 0.0, 1.0])
        inside = (head.template[:, 1] > -0.02) & (head.template[:, 1] < 0.1)
        assert ((normals * outward).sum(1)[inside] > 0).float().mean() > 0.97

    def test_a_turn_is_a_rotation_and_none_is_exactly_none(self) -> None:
        turns = rotation(torch.tensor([[0.0, 0, 0], [0, 0.5, 0], [1.0, -2, 0.3]]))
        assert torch.equal(turns[0], torch.eye(3))
        torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(3, 3, 3), atol=1e-6, rtol=0)
        torch.testing.assert_close(turns[1] @ torch.tensor([0, 0, 1.0]), torch.tensor([0.5]).sin() * torch.tensor([1.0, 0, 0])
                                   + torch.tensor([0.5]).cos() * torch.tensor([0, 0, 1.0]))  # fmt: skip

    def test_unwrapped_places_lie_on_the_head(self, head: Flame) -> None:
        places = head.unwrapped(head.template[None])[0].flatten(1).T
        covered = places.abs().sum(1) > 0
        assert covered.float().mean() > 0.8
        distance = torch.cdist(places[covered], head.template).amin(1)
        assert distance.max() < 0.05


class TestParts:
    def test_waves_stand_in_their_order(self) -> None:
        x = torch.tensor([[0.3, -0.7]])
        waves = harmonic(x)
        assert waves.shape == (1, 26)
        expected = torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()], 1)
        torch.testing.assert_close(waves[:, :10], expected)
        torch.testing.assert_close(waves[:, -4:], torch.cat([(32 * x).sin(), (32 * x).cos()], 1))

    def test_filters_are_standardised_when_loaded(self, network: Rome) -> None:
        given = torch.randn(5, 4, 3, 3) * 3 + 1
        made = standardised(given).flatten(1)
        torch.testing.assert_close(made.mean(1), torch.zeros(5), atol=1e-6, rtol=0)
        torch.testing.assert_close(made.std(1), torch.ones(5), atol=1e-4, rtol=0)
        loaded = network.unet.get_parameter("encoder.0.0.main.0.weight").flatten(1)
        torch.testing.assert_close(loaded.std(1), torch.ones(len(loaded)), atol=1e-3, rtol=0)

    @pytest.mark.parametrize(
        "kind", [lambda: ResNet(Architecture(thin=8), 7), lambda: MobileNet(Architecture(thin=8), 7)]
    )
    def test_folding_batch_norms_changes_nothing(self, kind: type) -> None:
        torch.manual_seed(1)
        regressor = kind().eval()
        for module in regressor.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(0, 0.1)
                module.get_buffer("running_var").uniform_(0.5, 2)
        seen = picture(3)
        before = regressor(seen)
        after = folded(regressor)(seen)
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in regressor.modules())
        torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-3)

    def test_the_mask_is_opened_down_each_column(self) -> None:
        soft = torch.zeros(1, 1, 32, 32)
        soft[..., 2:10, 4] = 1.0  # eight tall: goes
        soft[..., 2:11, 8] = 1.0  # nine tall: stays, however thin
        soft[..., :5, 12] = 1.0  # at the border half of it is enough
        soft[..., 12:30, 16:20] = 0.6  # not above the threshold
        opened = mask.solid(soft)[0, 0].bool()
        assert opened[:, 8].nonzero().flatten().tolist() == list(range(2, 11))
        assert opened[:, 12].sum() == 5
        assert opened.sum() == 14

    def test_a_camera_of_a_crop_is_one_of_the_picture(self) -> None:
        points = np.array([[-0.3, -0.2], [0.5, 0.6], [0.1, 0.1]])
        box = crops.box_about(points)
        cam = torch.tensor([[7.0, 0.01, -0.02]])
        place = torch.tensor([0.03, -0.04])
        scale, shift = box.uncropped(cam)[0].tensor_split([1])
        whole = scale * (place + shift) * torch.tensor([1.0, -1.0])
        of_crop = cam[0, :1] * (place + cam[0, 1:]) * torch.tensor([1.0, -1.0])
        within = torch.tensor([box.left, box.top]) + (of_crop + 1) / 2 * box.side
        torch.testing.assert_close(whole, 2 * within - 1, atol=1e-5, rtol=0)

    def test_alignment_levels_the_eyes_and_carries_points_with_it(self) -> None:
        rng = np.random.default_rng(2)
        face = rng.uniform(-0.3, 0.3, (68, 2))
        face[36:42], face[42:48], face[[48, 54]] = [-0.2, -0.1], [0.2, -0.1], [[-0.1, 0.3], [0.1, 0.3]]
        cos, sin = np.cos(0.4), np.sin(0.4)
        turned = face @ np.array([[cos, sin], [-sin, cos]]) * 0.7 + 0.05
        theta = crops.alignment(turned)
        there = crops.into_aligned(turned, theta)
        left, right = there[36:42].mean(0), there[42:48].mean(0)
        assert abs(left[1] - right[1]) < 1e-9
        assert left[0] < right[0]
        np.testing.assert_allclose(there @ theta[:, :2].T + theta[:, 2], turned, atol=1e-12)


class TestWhole:
    def test_all_views_in_a_batch_are_each_by_itself(self, network: Rome) -> None:
        T, given = network.texture(picture(1), picture(2, 1)), codes()
        vertices = network.deform(T, given)
        turns = rotation(torch.tensor([[0, angle, 0] for angle in (-0.4, 0.0, 0.3)]))
        colours, masks = network.render(T, vertices, given, turns)
        assert colours.shape == (3, 3, 64, 64)
        for k in range(3):
            alone = network.render(T, vertices, given, turns[k : k + 1])
            torch.testing.assert_close(alone[0][0], colours[k], atol=1e-5, rtol=0)
            torch.testing.assert_close(alone[1][0], masks[k], atol=1e-5, rtol=0)

    def test_a_batch_that_is_not_full_is_filled_up(self, network: Rome) -> None:
        T, given = network.texture(picture(1), picture(2, 1)), codes()
        turns = rotation(torch.tensor([[0, angle, 0] for angle in (-0.4, -0.2, 0.0, 0.2, 0.4)]))
        vertices = network.deform_linear(network.coefficients(picture(1)), given)
        expected = network.render(T, vertices, given, turns)[0]
        try:
            several = network.run_by(network.prepared.runtime, 3).render(T, vertices, given, turns)[0]
        finally:
            network.run_by(network.prepared.runtime)
        torch.testing.assert_close(several, expected, atol=1e-5, rtol=0)

    def test_only_what_may_move_leaves_the_head(self, network: Rome) -> None:
        T, given = network.texture(picture(1), picture(2, 1)), codes()
        moved = (network.deform(T, given) - network.posed(given).vertices).norm(dim=2)[0]
        movable = network.flame.movable.bool()
        assert moved[~movable].max() == 0
        assert moved[movable].max() > 1e-3
        assert (network.deform(T, given) - network.posed(given).vertices).abs().max() <= 1

    def test_a_mirrored_or_swapped_input_is_another_picture(self, network: Rome) -> None:
        seen, matte = picture(1), picture(2, 1)
        T = network.texture(seen, matte)
        for other in (seen.flip(3), seen[:, [2, 1, 0]], seen.flip(2)):
            assert (network.texture(other, matte) - T).norm() > 0.1 * T.norm()
        given = codes()
        vertices = network.deform_linear(network.coefficients(seen), given)
        turn = rotation(torch.tensor([[0, 0.4, 0]]))
        colours, _ = network.render(T, vertices, given, turn)
        for other in (turn.mT, torch.eye(3)[None]):
            assert (network.render(T, vertices, given, other)[0] - colours).abs().mean() > 0.01

    def test_expressions_change_the_offsets_too(self, network: Rome) -> None:
        """So the geometry U-Net cannot be spared from frame to frame."""
        T, given = network.texture(picture(1), picture(2, 1)), codes()
        other = given | {"exp": given["exp"] + 1}
        left = [network.deform(T, each) - network.posed(each).vertices for each in (given, other)]
        assert (left[0] - left[1]).norm() > 1e-3 * left[0].norm()


def test_work_is_what_the_specification_allows() -> None:
    with torch.device("meta"):
        parts = {**manifests.networks(), **manifests.regressors()}
    head = Flame(bust.tensors(), 256).to("meta")
    network = Rome(head, Architecture(), frozenset(parts)).eval()
    T, vertices = torch.empty(1, 8, 256, 256, device="meta"), torch.empty(1, 5023, 3, device="meta")
    with FlopCounterMode(display=False) as full:
        network.dressed(T, vertices)
    with FlopCounterMode(display=False) as view:
        network.shade(T, *(torch.empty(1, count, 256, 256, device="meta") for count in (2, 3, 1)))
    network.basis = Basis(torch.empty(15069, 60, device="meta"), torch.empty(5023, 3, device="meta"))
    with FlopCounterMode(display=False) as linear:
        seen = network.codes(torch.empty(1, 3, 224, 224, device="meta"))
        network.deform_linear(torch.empty(1, 60, device="meta"), seen)
    assert 0.9 * 101.5 < full.get_total_flops() / GMAC <= 99 + 2.5
    assert 0.9 * 98.5 < view.get_total_flops() / GMAC <= 98.5
    assert 4 < linear.get_total_flops() / GMAC <= 10
