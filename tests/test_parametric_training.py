"""Training of the parametric head: losses fall, a run that was stopped goes on, data of others come in, the adversary plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.parametric.architecture import SMALL
from engines.parametric.train import curves, expressions, files, finish, formula, normal_maps
from engines.parametric.train.adversary import Adversary
from engines.parametric.train.dataset import Crowd, Scanner
from engines.parametric.train.family import Family
from engines.parametric.train.files import DataRejected, Samples
from engines.parametric.train.loop import RunRejected, Trainer
from engines.parametric.train.losses import Weights, deep_points
from engines.parametric.train.steps import Learner, Plan

TINY = replace(SMALL, z_id=8, z_ex=4, generator=8, channels=8, hidden=32, deform_hidden=40, deform_layers=4)
PLAN = Plan(people=4, face=40, rest=24, near=24, far=16, pairs=60)


@pytest.fixture(scope="module")
def heads() -> formula.Formulas:
    return formula.Formulas.drawn(6, seed=1, count=800)


def test_losses_fall(heads: formula.Formulas) -> None:
    learner = Learner(heads, TINY, PLAN)
    off = [learner.identity_step()["surface"] for _ in range(40)]
    assert off[-1] < 0.5 * off[0]
    learner = Learner(heads, TINY, replace(PLAN, rate=5e-3, code_rate=3e-2))
    before = off_by(learner)
    for _ in range(150):
        learner.expression_step()
    assert off_by(learner) < 0.75 * before


def test_deep_points_lie_inside() -> None:
    """Of two balls beside each other: steps inwards that end in a ball are inside, those that come out of it are not."""
    torch.manual_seed(0)
    facing = torch.nn.functional.normalize(torch.randn(2, 800, 3), dim=-1)
    middle = torch.tensor([[-0.3, 0.0, 0.0], [0.3, 0.0, 0.0]])[torch.arange(800) % 2]
    radius = torch.tensor([0.2, 0.08])[torch.arange(800) % 2][:, None]
    deep, inside = deep_points(middle + radius * facing, facing, 400)
    depth = torch.maximum(0.2 - (deep - middle[0]).norm(dim=-1), 0.08 - (deep - middle[1]).norm(dim=-1))
    assert (depth[inside] > 0.02).all()
    assert inside[depth > 0.06].float().mean() > 0.9


def test_a_hollow_head_is_filled(heads: formula.Formulas) -> None:
    """A field that is positive everywhere inside, and asked nothing else, becomes negative deep within the heads."""
    asked = Weights(surface=0, normals=0, eikonal=0, empty=0, identity=0, hollow=1)
    learner = Learner(heads, TINY, replace(PLAN, weights=asked, deep=64))
    last = learner.identity.net[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.constant_(last.bias, 0.4)
    off = [learner.identity_step()["hollow"] for _ in range(30)]
    assert off[-1] < 0.6 * off[0]


def off_by(learner: Learner) -> float:
    """Units between where every expression carries points of every head, and where F_ex does."""
    every = np.stack(np.meshgrid(np.arange(6), np.arange(len(formula.NAMES)))).reshape(2, -1)
    rest, posed = (
        torch.from_numpy(part) for part in learner.heads.pairs(every[0], every[1], 50, np.random.default_rng(0))
    )
    z, codes = learner.people.weight[every[0]], learner.expressions.weight[every[1]]
    with torch.no_grad():
        return float((rest + learner.deformation.displacement(rest, z, codes) - posed).norm(dim=-1).mean())


@pytest.mark.soak
def test_a_run_that_was_stopped_goes_on(heads: formula.Formulas, tmp_path: Path) -> None:
    short = replace(PLAN, identity_minutes=0.03, expression_minutes=0.02)
    told: list[tuple[str, int, int]] = []
    one = Trainer(heads, TINY, short, tmp_path)
    assert not one.resume()
    trained = one.run(lambda *step: told.append(step))
    assert {what for what, *_ in told} == {"identity", "expression"}
    other = Trainer(heads, TINY, short, tmp_path)
    assert other.resume()
    assert other.steps == one.steps
    for name, tensor in other.learner.identity.state_dict().items():
        assert torch.equal(tensor, trained.identity.state_dict()[name]), name
    other.run()
    assert other.steps == one.steps  # its time was spent
    picture = curves.drawn(tmp_path)
    assert picture is not None
    assert picture.stat().st_size > 1000
    model = finish.finished(trained, heads, {"heads": "a test"})
    assert model.expression_names[0] == "rest"
    assert len(model.basis) <= len(heads.who) - 1


def test_maps_and_the_adversary_reach_the_networks(heads: formula.Formulas) -> None:
    pytest.importorskip("skimage", reason="true maps of formulas are of their meshes")
    plan = replace(
        PLAN,
        map_side=8,
        maps=1,
        discriminator=0.02,
        weights=Weights(planes=1e-4, density=1.0, normal_maps=0.3, adversary=0.1),
    )
    learner = Learner(heads, TINY, plan)
    early = learner.identity_step()
    assert {"planes", "density", "normal_maps"} <= early.keys()
    assert "adversary" not in early
    before = learner.adversary.discriminator.final_layer.weight.clone()
    assert learner.identity_step(1.0)["adversary"] > 0
    assert not torch.equal(before, learner.adversary.discriminator.final_layer.weight)


def test_the_discriminator_learns_to_tell() -> None:
    torch.manual_seed(0)
    adversary = Adversary(0.05)
    real, fake = torch.ones(4, 3, 16, 16), torch.zeros(4, 3, 16, 16)
    losses = [adversary.learn(fake, real)["discriminator"] for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]
    assert adversary.asked(fake) > adversary.asked(real)


def test_true_maps_show_what_rays_meet() -> None:
    """A ball's map: white outside, and the normal of the place that each ray hits."""
    pytest.importorskip("numba")
    from engines.parametric import extraction

    found = extraction.surface(lambda points: points.norm(dim=-1) - 0.4, side=64)
    normals = found.vertices / np.linalg.norm(found.vertices, axis=1, keepdims=True)
    looks = normal_maps.drawn(2, 32, np.random.default_rng(1))
    maps = normal_maps.of_meshes(np.stack([found.vertices] * 2), np.stack([normals] * 2), found.faces, looks)
    rays = looks.rays
    near = -(rays.origins * rays.directions).sum(-1)
    apart = (rays.origins + near[..., None] * rays.directions).norm(dim=-1)
    hit = near - (0.16 - apart.square()).clamp(min=0).sqrt()
    expected = torch.where(
        apart[..., None] < 0.4, (rays.origins + hit[..., None] * rays.directions) / 0.4, torch.ones(3)
    )
    from engines.parametric import march

    off = (march.picture(expected) - maps).abs().amax(1)
    assert off.median() < 0.05
    assert (off < 0.2).float().mean() > 0.95  # but for pixels at the outline


def write_nphm(folder: Path, person: str, rng: np.random.Generator) -> None:
    place = folder / person
    (place / "003").mkdir(parents=True)
    for name in ("000_0_face", "000_0_non_face", "003/corresp_0"):
        np.save(place / f"{name}.npy", rng.uniform(-0.4, 0.4, (200, 6)).astype(np.float32))


def test_nphms_files_become_ours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for person in ("017", "018"):
        write_nphm(tmp_path / "nphm", person, rng)
    assert files.convert(tmp_path / "nphm", tmp_path / "ours") == 2
    data = Samples(tmp_path / "ours")
    assert (data.people, data.expressions) == (2, ["003"])
    points, facing = data.surface(np.array([0, 1]), 5, 3, rng)
    assert points.shape == facing.shape == (2, 8, 3)
    rest, posed = data.pairs(np.array([1]), np.array([0]), 7, rng)
    assert rest.shape == posed.shape == (1, 7, 3)


def test_folders_without_heads_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataRejected, match=r"no \.npz files"):
        Samples(tmp_path)
    np.savez(tmp_path / "a.npz", face=np.zeros((3, 6)), rest=np.full((3, 6), np.nan))
    with pytest.raises(DataRejected, match="'rest' is no finite"):
        Samples(tmp_path)
    np.savez(tmp_path / "a.npz", face=np.zeros((3, 6)), rest=np.array([[0] * 6, [200] * 6]))
    with pytest.raises(DataRejected, match="which is no head"):
        Samples(tmp_path)
    with pytest.raises(DataRejected, match="no person with"):
        files.convert(tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        Samples(tmp_path / "nowhere")


def test_expressions_close_the_mouth_but_where_they_open_it() -> None:
    names, rows = expressions.weights(("jawOpen", "mouthSmileLeft", "mouthSmileRight"), closing=0.2, mixed=2)
    by_name = dict(zip(names, rows, strict=True))
    assert names[0] == expressions.CLOSED
    np.testing.assert_allclose(by_name["smile"], [-0.2, 1, 1])
    np.testing.assert_allclose(by_name["jaw"], [1, 0, 0])
    np.testing.assert_allclose(by_name["mouthSmile left"], [-0.2, 1, 0])


def test_points_are_drawn_where_a_surface_bends() -> None:
    """Of a sheet with one fold: points come from all of it by area, and most of them from along the fold."""
    flat = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0), [0.0], indexing="ij"), -1).reshape(-1, 3)
    flat[:, 2] = np.where(flat[:, 0] > 2, 2.0 * (flat[:, 0] - 2), 0)
    corner = np.arange(25) // 5 * 6 + np.arange(25) % 5
    quads = np.stack([corner, corner + 6, corner + 7, corner + 1], 1)
    triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32)
    family = Family(
        flat.astype(np.float32),
        np.zeros((1, 36, 3), np.float32),
        np.zeros((1, 36, 3), np.float32),
        ("jawOpen",),
        triangles,
        np.array([0], np.int32),
        np.arange(36, dtype=np.int32),
    )
    crowd = Crowd(family, np.zeros((2, 1)), ["rest"], np.zeros((1, 1)), Scanner(0, 0))
    share = crowd._drawn
    bends = (np.abs(flat[triangles][..., 0] - 2) < 0.5).any(1)
    assert share.sum() == pytest.approx(1)
    assert share[bends].mean() > 3 * share[~bends].mean()
    assert share[~bends].min() > 0


def test_a_folder_of_another_run_is_said_to_be_one(heads: formula.Formulas, tmp_path: Path) -> None:
    Trainer(heads, TINY, PLAN, tmp_path).save()
    with pytest.raises(RunRejected, match="another --folder"):
        Trainer(heads, replace(TINY, hidden=16), PLAN, tmp_path).resume()
    (tmp_path / "state.pt").write_bytes(b"no run")
    with pytest.raises(RunRejected, match="another --folder"):
        Trainer(heads, TINY, PLAN, tmp_path).resume()


def test_a_run_that_is_interrupted_keeps_what_it_reached(heads: formula.Formulas, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    one = Trainer(heads, TINY, PLAN, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        one.run(stop)
    other = Trainer(heads, TINY, PLAN, tmp_path)
    assert other.resume()
    assert other.steps == {"identity": 1, "expression": 0}
