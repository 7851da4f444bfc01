"""Warping sharpness between views: against heads whose every view is known sharp, and who is super-resolved at all."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.launches import META, Counting
from display import optics
from display.optics import Cameras, fan
from display.screen import PRODUCT, screen
from engines import shared_volume, triplane
from engines.heads import head
from engines.options import EngineOptions
from engines.runtime import UnknownRuntime
from engines.shared_volume import Budget, Sampling
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.drive import Voodoo3dState
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from engines.voodoo3d.network import Voodoo3D
from engines.voodoo3d.warp import Resolved, Warp, Warping, chosen_views, picked

pytestmark = pytest.mark.usefixtures("no_gradients")

CPU = torch.device("cpu")
SECOND, THIRD = Resolved.SECOND, Resolved.THIRD
RAW, SHARP = 32, 96
GRAIN = 0.1
"How far from the surface's colour its finest pattern goes, of -1..1."


@dataclass(frozen=True)
class Scene:
    """Neighbouring views of one head, as marched and as they ought to be sharp."""

    raw: Tensor
    depth: Tensor
    cam2world: Tensor
    intrinsics: Tensor
    sharp: Tensor

    def warped(self, resolved: Resolved) -> Tensor:
        given = self.raw, self.depth, self.cam2world, self.intrinsics
        return Warping(Warp(len(self.raw), resolved), CPU)(*given, picked(self.sharp, resolved))


@cache
def scene(name: str) -> Scene:
    """Four neighbours of a quilt's 24 views. Sharp ones have a pattern on the head's surface finer than a march's pixels."""
    cameras = fan(screen(PRODUCT)).split(6)[1]
    cam2world, intrinsics = (torch.from_numpy(part) for part in (cameras.cam2world, cameras.intrinsics))
    views = cam2world, intrinsics
    raw, depth = shared_volume.march(head(name), *views, RAW, Budget(48, 64, 20))
    plain, surface = shared_volume.march(head(name), *views, SHARP, Budget(48, 64, 10))
    origins, directions = triplane.rays(*views, SHARP)
    places = origins[:, None] + directions * surface.view(len(surface), -1, 1)
    wave = 2 * math.pi * 60
    grain = (torch.sin(wave * places) * torch.cos(wave * places.roll(1, -1) + 1)).transpose(1, 2)
    solid = plain.amax(1, keepdim=True) > -0.95
    return Scene(raw, depth, *views, plain + GRAIN * solid * grain.reshape(plain.shape))


def psnr(one: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(4 / (one - other).square().mean()))


def enlarged(raw: Tensor) -> Tensor:
    return F.interpolate(raw, size=(SHARP, SHARP), mode="bilinear", align_corners=False)


class TestPictures:
    @pytest.mark.parametrize(("name", "least_db", "gain_db"), [("plain", 36.5, 7), ("haired", 32.5, 4)])
    @pytest.mark.parametrize("resolved", [SECOND, THIRD], ids=lambda each: each.value)
    def test_what_is_carried_is_nearly_what_would_have_been_there(
        self, name: str, least_db: float, gain_db: float, resolved: Resolved
    ) -> None:
        """Seen: 37.8..38.3 dB against 29.5 of the march enlarged, and 34.0..34.8 against 28.7 where hair hides and shows."""
        known = scene(name)
        made, soft = known.warped(resolved), enlarged(known.raw)
        for view in set(range(4)) - set(resolved.of(4)):
            assert psnr(made[view], known.sharp[view]) >= least_db
            assert psnr(made[view], known.sharp[view]) >= psnr(soft[view], known.sharp[view]) + gain_db

    @pytest.mark.parametrize("resolved", [SECOND, THIRD], ids=lambda each: each.value)
    def test_views_that_were_super_resolved_stay_as_they_are(self, resolved: Resolved) -> None:
        known = scene("plain")
        chosen = resolved.of(4)
        assert torch.equal(known.warped(resolved)[chosen], known.sharp[chosen])

    def test_between_views_that_coincide_is_the_same_view(self) -> None:
        known = scene("plain")
        one = Scene(*(part[:1].expand(3, *part.shape[1:]) for part in vars(known).values()))
        made = one.warped(SECOND)[1]
        sees = (one.depth[0] < triplane.FAR - 0.1).all()
        assert not sees  # there is background too, and its depth says little
        assert psnr(made, known.sharp[0]) > 60

    def test_where_neither_neighbour_sees_anything_the_same_stays_what_was_marched(self) -> None:
        known = scene("plain")
        walls = known.depth.clone()
        walls[[0, 2, 3]] = triplane.NEAR  # the neighbours stand before walls
        blind = Scene(known.raw, walls, known.cam2world, known.intrinsics, torch.zeros_like(known.sharp))
        torch.testing.assert_close(blind.warped(SECOND)[1], enlarged(known.raw)[1], rtol=0, atol=1e-5)

    def test_what_one_neighbour_cannot_see_comes_from_the_other(self) -> None:
        known = scene("plain")
        walls, painted = known.depth.clone(), known.sharp.clone()
        walls[0], painted[0] = triplane.NEAR, 1.0
        made = Scene(known.raw, walls, known.cam2world, known.intrinsics, painted).warped(SECOND)[1]
        assert psnr(made, known.sharp[1]) > 36

    def test_shapes_are_fixed_and_nothing_is_waited_for_or_sent(self) -> None:
        warping = Warping(Warp(24, THIRD), META)
        with META:
            given = torch.empty(24, 3, 32, 32), torch.empty(24, 1, 32, 32), torch.empty(24, 4, 4), torch.empty(24, 3, 3)
            sharp = torch.empty(9, 3, 128, 128)
        with Counting() as counting:
            made = warping(*given, sharp)
        assert made.shape == (24, 3, 128, 128)
        assert counting.launches.waits == counting.launches.sent == 0


class TestChoice:
    @pytest.mark.parametrize(
        ("resolved", "views", "chosen"),
        [
            (Resolved.EVERY, 3, [0, 1, 2]),
            (SECOND, 6, [0, 2, 4, 5]),
            (SECOND, 5, [0, 2, 4]),
            (THIRD, 6, [0, 3, 5]),
            (THIRD, 2, [0, 1]),
            (THIRD, 1, [0]),
        ],
    )
    def test_each_other_view_stands_between_two(self, resolved: Resolved, views: int, chosen: list[int]) -> None:
        assert resolved.of(views) == chosen
        assert picked(torch.arange(views), resolved).tolist() == chosen

    def test_a_name_that_does_not_exist_is_told_with_those_that_do(self) -> None:
        with pytest.raises(UnknownRuntime, match=r"'fourth'.*every, second, third"):
            Voodoo3d(EngineOptions(superresolved="fourth", synthetic_weights=True))
        assert chosen_views("second") is SECOND


SMALL = Architecture(image=32, thin=32)


class TestEngine:
    @pytest.fixture(scope="class")
    def network(self) -> Voodoo3D:
        return synthetic.network(SMALL)

    @pytest.fixture(scope="class")
    def state(self) -> Voodoo3dState:
        planes = torch.randn(1, 3, 32, SMALL.planes, SMALL.planes, generator=torch.Generator().manual_seed(2))
        return Voodoo3dState(planes, optics.orbit(4))

    @staticmethod
    def engine(network: Voodoo3D, resolved: Resolved) -> Voodoo3d:
        options = EngineOptions(superresolved=resolved.value)
        return Voodoo3d(options, network=network, samples=Samples(6, 6), sampling=Sampling.EXACT)

    @pytest.mark.parametrize(("resolved", "pictures"), [(Resolved.EVERY, 24), (SECOND, 13), (THIRD, 9)])
    def test_so_many_pictures_of_a_quilt_are_super_resolved(
        self,
        network: Voodoo3D,
        state: Voodoo3dState,
        resolved: Resolved,
        pictures: int,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seen: list[int] = []
        whole = Voodoo3D.superresolve
        monkeypatch.setattr(Voodoo3D, "superresolve", lambda it, rgb: (seen.append(len(rgb)), whole(it, rgb))[1])
        shown = self.engine(network, resolved).render(state, fan(screen(PRODUCT)))
        assert seen == [pictures]
        assert len(shown.images) == 24

    def test_each_caller_is_carried_over_from_their_own_views(self, network: Voodoo3D, state: Voodoo3dState) -> None:
        engine, other = self.engine(network, SECOND), Voodoo3dState(-state.planes, optics.orbit(-8))
        first, second = fan(screen(PRODUCT)).split(6)[:2]
        together = engine.render_many([(state, first), (other, second)])
        for made, (one, cameras) in zip(together, ((state, first), (other, second)), strict=True):
            alone = engine.render(one, cameras)
            assert made.first == alone.first == cameras.first
            assert (made.images.int() - alone.images.int()).abs().max() <= 1

    def test_views_that_are_super_resolved_are_those_of_super_resolving_every(
        self, network: Voodoo3D, state: Voodoo3dState
    ) -> None:
        cameras = fan(screen(PRODUCT)).split(6)[2]
        every, second = (self.engine(network, resolved).render(state, cameras) for resolved in (Resolved.EVERY, SECOND))
        same = (every.images == second.images).flatten(1).all(1)
        assert same.tolist() == [True, False, True, True]

    def test_a_lone_view_is_super_resolved(self, network: Voodoo3D, state: Voodoo3dState) -> None:
        lone = Cameras(np.stack([optics.orbit(3)]), np.stack([optics.intrinsics()]), 64, 64)
        every, third = (self.engine(network, resolved).render(state, lone) for resolved in (Resolved.EVERY, THIRD))
        assert torch.equal(every.images, third.images)

    def test_batches_are_not_filled_up_with_parts_of_other_frames(self, network: Voodoo3D) -> None:
        assert self.engine(network, SECOND).views_at_once == 1
        assert self.engine(network, Resolved.EVERY).views_at_once == network.views_at_once


def test_the_benchmark_writes_its_figures_and_their_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the picture is drawn by matplotlib")
    from benchmarks import warp as benchmark

    options = ["--cpu", "--heads", "plain", "--views", "4", "--side", "96", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["warp", *options])
    benchmark.main()
    found = json.loads((tmp_path / "warp.json").read_text())
    assert [row["pictures"] for row in found["work"]] == [24, 13, 9]
    for row in found["quality"]:
        assert min(row["psnr_db"]) > max(row["enlarged_psnr_db"])
        assert min(row["ssim"]) > max(row["enlarged_ssim"])
    assert (tmp_path / "warp.png").read_bytes()[:4] == b"\x89PNG"
