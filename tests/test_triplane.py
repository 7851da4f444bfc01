"""The tri-plane field and its two marches by their laws, and against the plain twin."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from display import optics
from engines import plain_field, shared_volume, triplane
from engines.heads import cameras, head, planes_and_decoder, random_field
from engines.triplane import TriplaneField

pytestmark = pytest.mark.usefixtures("no_gradients")

ROUNDING = 1e-4
"""Of colours (-1..1) and depths where the same points come to BLAS in batches of another size: each processor's kernels sum in an
order of their own. Seen: 0 with kernels for AVX2 and AVX-512, 3e-5 on another machine."""


def psnr(one: Tensor, other: Tensor) -> float:
    """dB, of features that span -1..1."""
    return float(10 * torch.log10(4 / (one - other).square().mean()))


class TestField:
    def test_agrees_with_the_plain_twin_inside_at_the_edge_and_beyond(self) -> None:
        planes, decoder = random_field()
        points = (torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * 1.3
        logit, colours = TriplaneField(planes, decoder)(points, 32)
        plain_logit, plain_colours = plain_field.field(planes, decoder, points)
        torch.testing.assert_close(logit, plain_logit, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(triplane.colour(colours), plain_colours, rtol=0, atol=1e-5)

    def test_each_plane_is_read_by_its_own_two_axes(self) -> None:
        for plane, (across, along) in enumerate(((0, 1), (0, 2), (2, 1))):
            planes = torch.zeros(3, 32, 16, 16)
            planes[plane, 0, 12, 3] = 1.0  # row 12, column 3
            point = torch.full((1, 3), 0.02)
            point[0, across], point[0, along] = (3 + 0.5) / 16 - 0.5, (12 + 0.5) / 16 - 0.5
            field = TriplaneField(planes, random_field()[1])
            assert field.features(point)[0, 0] == pytest.approx(1.0, abs=1e-5)
            assert field.features(point[:, [1, 2, 0]])[0, 0] == pytest.approx(0.0, abs=1e-5)

    def test_far_beyond_the_cube_is_one_constant(self) -> None:
        planes, decoder = random_field()
        logit, _ = TriplaneField(planes, decoder)(torch.tensor([[9.0, 9, 9], [-9.0, 9, -9], [7e8, 0, 9]])[:2], 3)
        empty, _ = TriplaneField(torch.zeros_like(planes), decoder)(torch.zeros(1, 3), 3)
        torch.testing.assert_close(logit, empty.expand(2))

    def test_half_precision_planes_are_marched_in_float32(self) -> None:
        planes, decoder = random_field()
        half = TriplaneField(planes.half(), decoder)(torch.zeros(4, 3), 3)[0]
        assert half.dtype == torch.float32


class TestRays:
    def test_the_middle_of_the_picture_looks_at_the_look_at_point(self) -> None:
        cam2world, intrinsics = cameras(-17.5, 0.0, 17.5)
        origins, directions = triplane.rays(cam2world, intrinsics, 2)
        towards = torch.nn.functional.normalize(torch.tensor(optics.LOOK_AT, dtype=torch.float32) - origins, dim=-1)
        middle = torch.nn.functional.normalize(directions.mean(1), dim=-1)
        torch.testing.assert_close(middle, towards, rtol=0, atol=1e-6)

    def test_are_row_major_from_the_top_left(self) -> None:
        _, directions = triplane.rays(*cameras(0.0), 4)
        grid = directions.view(4, 4, 3)
        assert (grid[0, :, 1] > grid[3, :, 1]).all()  # world y is up, rows run down
        assert (grid[:, 0, 0] < grid[:, 3, 0]).all()

    def test_skewed_off_centre_pixels_project_back(self) -> None:
        cam2world, intrinsics = cameras(-12.0)
        lens = intrinsics.clone()
        lens[0, 0] = torch.tensor([4.7, 0.05, 0.47])
        lens[0, 1, 2] = 0.52
        _, directions = triplane.rays(cam2world, lens, 8)
        in_camera = directions[0] @ cam2world[0, :3, :3]
        pixel = (in_camera / in_camera[:, 2:]) @ lens[0].T
        centres = (torch.arange(8) + 0.5) / 8
        torch.testing.assert_close(pixel[:, 0].view(8, 8), centres.expand(8, 8), rtol=0, atol=1e-5)
        torch.testing.assert_close(pixel[:, 1].view(8, 8), centres[:, None].expand(8, 8), rtol=0, atol=1e-5)


class TestExactMarch:
    @pytest.mark.parametrize(("coarse", "fine"), [(24, 0), (24, 24), (16, 40)])
    def test_agrees_with_the_plain_twin(self, coarse: int, fine: int) -> None:
        planes, decoder = random_field()
        origins, directions = triplane.rays(*cameras(14.0), 12)
        seen = triplane.march_rays(
            TriplaneField(planes, decoder), origins.expand(144, -1), directions[0], coarse, fine, 32
        )
        feature, depth, opacity = plain_field.march(planes, decoder, origins[0], directions[0], coarse, fine)
        torch.testing.assert_close(seen.feature, feature, rtol=0, atol=2e-4)
        torch.testing.assert_close(seen.opacity, opacity, rtol=0, atol=2e-4)
        torch.testing.assert_close(seen.depth[opacity > 0.01], depth[opacity > 0.01], rtol=0, atol=1e-3)

    def test_parts_of_any_size_change_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        field, (cam2world, intrinsics) = head("haired"), cameras(-17.5, 4.0)
        whole = triplane.march(field, cam2world, intrinsics, 10, 12, 12, 3)
        monkeypatch.setitem(triplane.SAMPLES_AT_ONCE, "cpu", 24 * 7)
        monkeypatch.setitem(triplane.POINTS_AT_ONCE, "cpu", 113)
        parts = triplane.march(field, cam2world, intrinsics, 10, 12, 12, 3)
        torch.testing.assert_close(whole[0], parts[0], rtol=0, atol=ROUNDING)
        opaque = whole[0].amax(1, keepdim=True) > -0.99
        torch.testing.assert_close(whole[1][opaque], parts[1][opaque], rtol=0, atol=ROUNDING)

    def test_each_view_of_a_batch_is_what_it_is_alone(self) -> None:
        field, (cam2world, intrinsics) = head("plain"), cameras(-17.5, 0.0, 17.5)
        together, _ = triplane.march(field, cam2world, intrinsics, 16, 12, 12, 3)
        for view in range(3):
            alone, _ = triplane.march(field, cam2world[view, None], intrinsics[:1], 16, 12, 12, 3)
            torch.testing.assert_close(together[view], alone[0], rtol=0, atol=ROUNDING)

    def test_three_channels_are_the_first_three_of_all(self) -> None:
        planes, decoder = random_field()
        field, view = TriplaneField(planes, decoder), cameras(5.0)
        few, depth = triplane.march(field, *view, 8, 8, 8, 3)
        many, same = triplane.march(field, *view, 8, 8, 8, 32)
        torch.testing.assert_close(few, many[:, :3], rtol=0, atol=ROUNDING)
        torch.testing.assert_close(depth, same, rtol=0, atol=ROUNDING)

    @pytest.mark.parametrize("coarse", [2, 24, 96, 137])
    def test_the_limits_of_depth_are_those_of_the_samples(self, coarse: int) -> None:
        even = triplane.coarse_depths(coarse, torch.device("cpu"))
        assert triplane.depth_limits(coarse) == (float(even[0]), float(even[-1]))

    def test_an_empty_ray_is_black_and_far(self) -> None:
        planes, decoder = planes_and_decoder("plain")
        nothing = TriplaneField(torch.zeros_like(planes[0]), decoder)
        feature, depth = triplane.march(nothing, *cameras(0.0), 4, 24, 24, 3)
        assert (feature == -1).all()
        assert (depth == depth.max()).all()
        assert depth.max() > triplane.FAR

    def test_a_surface_is_where_it_is(self) -> None:
        _, depth = triplane.march(head("plain"), *cameras(0.0), 33, 48, 48, 3)
        assert 2.4 < depth[0, 0, 16, 16] < 2.5  # between the camera, 2.7 in front, and the face, 0.25 before the middle

    def test_opposite_views_of_a_symmetric_head_mirror_each_other(self) -> None:
        planes, decoder = planes_and_decoder("plain")
        planes[:, :, 29:32] = 0  # paint is not symmetric
        _, depth = triplane.march(TriplaneField(planes[0], decoder), *cameras(-15.0, 15.0), 24, 24, 24, 3)
        assert (depth[0, 0] - depth[1, 0].flip(1)).abs().median() < 2e-3


class TestSharedVolume:
    @pytest.mark.parametrize(("name", "grid"), [("plain", 64), ("haired", 128), ("spectacled", 64), ("soft", 64)])
    def test_shows_what_the_exact_march_shows_for_a_quarter_of_the_evaluations(
        self, name: str, grid: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The head that asks most of the grid has the product's; others do with less."""
        evaluated = [0]
        plain_call = TriplaneField.__call__

        def counting(field: TriplaneField, points: Tensor, channels: int) -> tuple[Tensor, Tensor]:
            evaluated[0] += len(points)
            return plain_call(field, points, channels)

        monkeypatch.setattr(TriplaneField, "__call__", counting)
        field, views, resolution = head(name), cameras(-17.5, 10.0), 24
        exact, _ = triplane.march(field, *views, resolution, 96, 96, 3)
        by_exact, evaluated[0] = evaluated[0], 0
        shared, _ = shared_volume.march(field, *views, resolution, shared_volume.Budget(grid))
        # the grid is shared by the 24 views of 128 x 128 rays of one moment, of which 2 of 24 x 24 stand here
        share = (evaluated[0] - grid**3) / by_exact + shared_volume.Budget().grid ** 3 / (24 * 128 * 128 * 192)
        assert share <= 0.25
        for view in range(2):
            assert psnr(exact[view], shared[view]) >= 40

    def test_each_view_looks_alike_whoever_else_is_looking(self) -> None:
        field, (cam2world, intrinsics) = head("plain"), cameras(-17.5, 0.0, 17.5)
        budget = shared_volume.Budget(grid=64, fine=24)
        together, _ = shared_volume.march(field, cam2world, intrinsics, 32, budget)
        alone, _ = shared_volume.march(field, cam2world[1:2], intrinsics[:1], 32, budget)
        assert psnr(together[1], alone[0]) >= 40

    def test_finds_the_same_depth(self) -> None:
        field, view = head("spectacled"), cameras(-9.0)
        exact, depth = triplane.march(field, *view, 32, 48, 48, 3)
        _, shared = shared_volume.march(field, *view, 32, shared_volume.Budget(grid=80))
        solid = exact.amax(1, keepdim=True) > -0.5
        assert (depth - shared)[solid].abs().quantile(0.95) < 5e-3

    @pytest.mark.parametrize("name", ["haired", "spectacled"])
    def test_fixed_shapes_show_exactly_what_skipping_empty_rays_shows(self, name: str) -> None:
        field, view, budget = head(name), cameras(-12.0, 6.0), shared_volume.Budget(grid=40, fine=24)
        skipped = shared_volume.march(field, *view, 20, budget, skip_empty=True)
        fixed = shared_volume.march(field, *view, 20, budget, skip_empty=False)
        for one, other in zip(skipped, fixed, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING)
        assert (skipped[0] == -1).all(1).any()  # there were empty rays

    def test_an_empty_field_costs_no_samples_and_is_black(self) -> None:
        planes, decoder = planes_and_decoder("plain")
        field = TriplaneField(torch.zeros_like(planes[0]), decoder)
        feature, depth = shared_volume.march(field, *cameras(0.0), 8, shared_volume.Budget(grid=8))
        assert (feature == -1).all()
        assert (depth > 3.3).all()

    def test_the_grid_agrees_with_the_field_at_its_own_points(self) -> None:
        field, low, high = head("soft"), torch.tensor([-0.3, -0.2, -0.1]), torch.tensor([0.3, 0.4, 0.2])
        grid = shared_volume.density_grid(field, low, high, 9)
        points = torch.stack((low, high, (low + high) / 2))
        torch.testing.assert_close(grid(points), field(points, 0)[0], rtol=1e-4, atol=1e-2)
