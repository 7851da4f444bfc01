"""The parametric engine with the head model that comes with it: fits what it knows, enrols a photo, follows a face, says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("numba")
pytest.importorskip("skimage", reason="heads are found by scikit-image")

from display import optics, screen
from engines.contract import FaceObservation, PortraitRejected
from engines.geometry import glb, motion, plain
from engines.geometry.motion import Record
from engines.parametric import checkpoint, detail, extraction, fitting, posing, scan, strips
from engines.parametric.checkpoint import SHIPPED
from engines.parametric.detail import Refining
from engines.parametric.drive import CHEEKS, coefficients
from engines.parametric.engine import Parametric
from engines.parametric.enrol import ParametricAvatar
from engines.parametric.fitting import CloudRejected, ExpressionSearch, Search
from engines.parametric.head import Codes, HeadModel, UnknownExpression
from engines.weights import CheckpointRejected

FOLDER = Path(checkpoint.__file__).parent


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return checkpoint.load(FOLDER / SHIPPED)


@pytest.fixture(scope="module")
def engine(model: HeadModel) -> Parametric:
    made = Parametric(model=model, side=64)
    made.warm_up()
    return made


@pytest.fixture(scope="module")
def avatar(engine: Parametric, sample_portrait: FaceObservation) -> ParametricAvatar:
    return engine.enrol(sample_portrait)


@pytest.fixture(scope="module")
def somebody(model: HeadModel) -> tuple[torch.Tensor, extraction.Surface]:
    """An identity drawn from the prior, and its surface."""
    z = model.z(torch.randn(1, len(model.basis), generator=torch.Generator().manual_seed(4)))
    return z, extraction.surface(model.distance(z), side=64)


def test_what_ships_is_small_and_says_how_it_was_made(model: HeadModel) -> None:
    assert (FOLDER / SHIPPED).stat().st_size < 3_000_000
    assert "Anny" in model.note["heads"]
    assert "server train" in model.note["command"]
    assert len(model.landmark_indices) >= 105


def test_halves_keep_the_surface(model: HeadModel, tmp_path: Path) -> None:
    checkpoint.save(model, tmp_path / "again.safetensors")
    again = checkpoint.load(tmp_path / "again.safetensors")
    points = torch.rand(1, 500, 3) - 0.5
    with torch.no_grad():
        one, other = (m.distance(m.mean[None])(points) for m in (model, again))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert again.note == model.note


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointRejected, match="is not a parametric head model") as refused:
        checkpoint.load(path)
    assert "\n" not in str(refused.value)


def test_a_head_of_the_family_is_found_again(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]
) -> None:
    """From points of its surface, five times as near as the average head: the prior's own heads are the easiest there are."""
    cloud = fitting.checked(somebody[1].vertices)
    average = float(fitting.distances(model, model.mean[None], cloud).mean())
    found = fitting.identity(model, cloud, Search(steps=80, points=600, refining=None))
    assert found.error < average / 4
    assert found.error < 0.6  # millimetres


def dented(surface: extraction.Surface) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of a head with a dent on its forehead that no identity has, and which of them lie in it."""
    points = torch.from_numpy(surface.vertices).clone()
    brow = points[points[:, 2].argmax()] + torch.tensor([0.0, 0.3, -0.1])
    depth = 6 / 250 * torch.exp(-(points - brow).square().sum(-1) / 2 / 0.08**2)
    points[:, 2] -= depth
    return points, depth > 3 / 250


def test_detail_is_what_no_identity_has(model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]) -> None:
    """It brings the surface into a dent, and leaves it where it was elsewhere."""
    z, surface = somebody
    points, inside = dented(surface)
    more = detail.refined(model, z, points, 0.1, Refining(steps=80, points=900))
    before, after = (fitting.distances(model, z, points, one) for one in (None, more))
    assert inside.sum() > 20
    assert after[inside].mean() < before[inside].mean() / 3
    assert after[~inside].mean() < 0.3  # millimetres


@pytest.mark.soak
def test_the_noisier_a_scan_the_less_of_it_is_believed(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]
) -> None:
    z, surface = somebody
    true = torch.from_numpy(surface.vertices)
    noisy = true + 1.5 / 250 * torch.randn(true.shape, generator=torch.Generator().manual_seed(0))
    off = []
    for noise in (0.0, 1.5):
        more = detail.refined(model, z, noisy, noise, Refining(steps=80, points=900))
        off.append(float(fitting.distances(model, z, true, more).mean()))
    assert off[1] < off[0] * 0.8


def test_a_cloud_that_is_a_little_off_is_put_right(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]
) -> None:
    cloud = fitting.checked(somebody[1].vertices + np.array([0.02, -0.016, 0.012]))
    fast = fitting.identity(model, cloud, Search(steps=60, points=500, refining=None))
    loose = fitting.identity(model, cloud, Search(steps=60, points=500, loose=True, refining=None))
    assert loose.error < fast.error


def test_an_expression_is_found_in_a_cloud(model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]) -> None:
    z, found = somebody
    surface = torch.from_numpy(found.vertices)
    code = model.expression("jaw")
    with torch.no_grad():
        posed = surface + model.deformation.displacement(surface[None], z, code)[0]
    got = fitting.expression(model, z, surface, posed, ExpressionSearch(steps=40, points=1500))
    with torch.no_grad():
        reached = surface + model.deformation.displacement(surface[None], z, got)[0]
    size = (posed - surface).norm(dim=-1)
    moving = size > 4 / 250
    assert ((reached - posed).norm(dim=-1)[moving].mean() / size[moving].mean()) < 0.5


def test_a_moved_face_is_brought_back_to_rest(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]
) -> None:
    z, surface = somebody[0], torch.from_numpy(somebody[1].vertices)
    jaw = model.expression("jaw")
    with torch.no_grad():
        posed = surface + model.deformation.displacement(surface[None], z, jaw)[0]
    seen = torch.cat((posed[::7], posed[:20] + torch.tensor([0.0, 0.0, 1.0])))
    rest = fitting.brought_back(model, z, surface, seen, jaw)
    assert len(rest) == len(seen) - 20, "what lies on no head is left out"
    off = [float(fitting.distances(model, z, points).mean()) for points in (posed[::7], rest)]
    assert off[1] < 0.1 * off[0]


@pytest.mark.soak
def test_a_jaw_that_hangs_is_not_taken_for_the_shape_of_a_head(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface]
) -> None:
    z, surface = somebody[0], torch.from_numpy(somebody[1].vertices)
    with torch.no_grad():
        posed = surface + model.deformation.displacement(surface[None], z, model.expression("jaw"))[0]
    search = Search(steps=30, points=500, refining=Refining(steps=25, points=500))
    alone = fitting.identity(model, posed, search)
    both, z_ex = fitting.with_expression(model, posed, search, ExpressionSearch(steps=8, points=500, tried=200))
    chin = surface[(posed - surface).norm(dim=-1) > 0.03]
    off = [float(fitting.distances(model, found.z_id, chin, found.detail).mean()) for found in (alone, both)]
    assert off[1] < 0.7 * off[0], off
    assert z_ex.shape == (1, model.expressions.shape[1])


def test_clouds_that_are_no_heads_are_refused(model: HeadModel) -> None:
    good = np.random.default_rng(0).uniform(-0.4, 0.4, (200, 3))
    for wrong, said in (
        (good[:10], "at least 50 points"),
        (np.where(good > 0.39, np.nan, good), "not finite"),
        (good * 250, "say --units"),
    ):
        with pytest.raises(CloudRejected, match=said):
            fitting.checked(wrong)
    with pytest.raises(AssertionError, match="an identity has"):
        model.identity.planes(torch.zeros(1, 3))
    with pytest.raises(UnknownExpression, match="there are: closed"):
        model.expression("sulk")


@pytest.mark.parametrize(("unit", "size"), [("mm", 1.0), ("m", 1000.0), ("canonical", 250.0)])
def test_units_are_guessed_and_heads_put_in_place(
    somebody: tuple[torch.Tensor, extraction.Surface], unit: str, size: float
) -> None:
    away = (somebody[1].vertices * 250 + np.array([40, 900, -70])) / size
    found, taken = scan.canonical(away)
    assert taken == unit
    assert np.abs(found - somebody[1].vertices).max() < 0.12


def test_scans_are_read_as_text_and_binary(tmp_path: Path) -> None:
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    header = "ply\nformat {}\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nproperty uchar red\nend_header\n"
    text, binary = tmp_path / "a.ply", tmp_path / "b.ply"
    text.write_text(header.format("ascii 1.0") + "".join(f"{x} {y} {z} 7\n" for x, y, z in points))
    table = np.zeros(4, [("p", "<f4", 3), ("c", "u1")])
    table["p"] = points
    binary.write_bytes(header.format("binary_little_endian 1.0").encode() + table.tobytes())
    np.testing.assert_array_equal(scan.read(text), points)
    np.testing.assert_array_equal(scan.read(binary), points)
    (tmp_path / "c.ply").write_bytes(b"solid nothing")
    with pytest.raises(CloudRejected, match="is no PLY file"):
        scan.read(tmp_path / "c.ply")
    with pytest.raises(CloudRejected, match=r"a scan is a \.ply"):
        scan.read(Path(__file__))


def test_a_photo_becomes_a_head_whose_landmarks_lie_where_they_were(
    model: HeadModel, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    assert avatar.off < 6  # crop pixels; the acceptance's three are for full steps, see docs/parametric.md
    found = posing.fit(model, sample_portrait.landmarks, sample_portrait.pose)
    assert np.linalg.norm(found.coefficients) < 20
    assert len(avatar.vertices) < 30_000
    assert 0.15 < (avatar.coloured.colours[:, 3] > 0.5).mean() < 0.8


def test_views_are_its_sides(engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation) -> None:
    state = engine.drive(avatar, replace(sample_portrait, presence=0.0))
    cameras = optics.fan(screen.screen("telequilt"))
    views = engine.render(state, cameras)
    assert views.images.shape == (len(cameras), cameras.height, cameras.width, 4)
    shown = views.images[..., :3].float().mean(-1) > 0
    assert 0.15 < shown[len(cameras) // 2].float().mean() < 0.9
    assert (views.images[0] != views.images[-1]).any()
    again = engine.render(state, cameras.split(2)[1])
    assert torch.equal(again.images, views.images[again.first :])


def test_a_jaw_that_drops_opens_the_avatars_mouth(
    engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    rest = replace(sample_portrait, shape=sample_portrait.neutral.copy())
    lower = [14, 17, 87, 317, 84, 314, 152, 148, 377, 200, 199, 18, 83, 313]
    shape = rest.neutral.copy()
    shape[lower, 1] -= 2.0  # centimetres
    still, open_ = engine.drive(avatar, rest), engine.drive(avatar, replace(rest, shape=shape))
    assert np.abs(still.coefficients).max() < 1e-4
    dropped = still.points[:, 1] - open_.points[:, 1]
    chin = avatar.landmarks[avatar.indices.index(152)]
    near = np.linalg.norm(avatar.vertices - chin, axis=1) < 0.06
    crown = avatar.vertices[:, 1] > 0.4
    assert dropped[near].mean() > 0.2 * 2.0 / 25 * avatar.scale  # of the chin and the throat below it, which stays
    assert np.abs(dropped[crown]).max() < 0.1 * dropped[near].mean()


def test_what_a_caller_does_is_shown_whole(
    model: HeadModel, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    """Landmarks moved as the network moves them, a jaw as far as it hangs and brows by their millimetres, come out as that."""
    from engines.parametric.baking import displacements

    z, both = (
        torch.from_numpy(avatar.z_id)[None],
        np.concatenate([avatar.vertices - avatar.baked.shut, avatar.landmarks]),
    )
    rest = replace(sample_portrait, shape=sample_portrait.neutral.copy())
    width = np.linalg.norm(rest.neutral[CHEEKS[0]] - rest.neutral[CHEEKS[1]])
    codes = torch.cat([model.expression(name) for name in ("closed", "jaw", "brows up", "blink", "smile")])
    closed, *moved = displacements(model, z, torch.from_numpy(both.astype(np.float32)), codes)
    for true in moved - closed:
        shape = rest.neutral.copy()
        shape[list(avatar.indices)] += true[len(avatar.vertices) :] * (width / avatar.width)
        reached = np.tensordot(coefficients(avatar, replace(rest, shape=shape)), avatar.baked.shapes, 1)
        off = np.linalg.norm(reached - true[: len(avatar.vertices)])
        assert off < 0.3 * np.linalg.norm(true[: len(avatar.vertices)])


def test_heads_turn_as_they_are_seen_and_necks_stay(
    engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    rest = replace(sample_portrait, shape=sample_portrait.neutral.copy(), pose=optics.orbit(0))
    turned = replace(rest, pose=optics.orbit(-20))
    a, b = engine.drive(avatar, rest).points, engine.drive(avatar, turned).points
    nose = np.argmax(a[:, 2])
    assert abs(b[nose, 0] - a[nose, 0]) > 0.05
    low = avatar.turning == 0
    assert low.any()
    np.testing.assert_allclose(a[low], b[low], atol=1e-6)


def test_what_is_drawn_elsewhere_is_what_it_renders(
    engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    """From bytes alone, against its own picture four times as large, since its outlines are not softened."""
    turned = replace(sample_portrait, pose=optics.orbit(-14), shape=sample_portrait.shape * [1, 1.04, 1])
    state = engine.drive(avatar, turned)
    assert np.abs(state.coefficients).max() > 0.5, "the face moves"
    packed = glb.packed(engine.asset(avatar), "AI avatar")
    record = motion.packed(Record(engine.motion(state), packed.number, 1, 0.0))
    assert len(record) < 400
    cameras = optics.Cameras(optics.orbit(-17.5)[None], optics.intrinsics()[None], 128, 128)
    drawn = plain.drawn(glb.unpacked(packed.data)[0], motion.unpacked(record).motion, cameras).images[0, ..., :3]
    large = engine.render(state, replace(cameras, width=512, height=512)).images[0, ..., :3]
    right = large.view(128, 4, 128, 4, 3).float().mean((1, 3))
    assert 10 * torch.log10(255**2 / (drawn.float() - right).square().mean()) >= 38


def test_what_cannot_be_followed_rests(
    engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    rest = engine.drive(avatar, replace(sample_portrait, presence=0.0)).points
    broken = sample_portrait.shape.copy()
    broken[5] = np.nan
    for seen in (replace(sample_portrait, shape=broken), replace(sample_portrait, presence=float("nan"))):
        np.testing.assert_array_equal(engine.drive(avatar, seen).points, rest)


def test_baked_shapes_are_the_networks_expressions(model: HeadModel, avatar: ParametricAvatar) -> None:
    """Every named expression by the shapes, against the network itself: the fast way against the plain one."""
    from engines.parametric.baking import displacements

    z, rest = torch.from_numpy(avatar.z_id)[None], avatar.vertices - avatar.baked.shut
    chosen = rest[::5]
    flat = avatar.baked.shapes[:, ::5].reshape(len(avatar.baked.shapes), -1)
    for name in ("jaw", "smile", "blink", "pucker"):
        true = displacements(model, z, torch.from_numpy(chosen), model.expression(name))[0] - avatar.baked.shut[::5]
        best = np.linalg.lstsq(flat.T, true.ravel(), rcond=None)[0] @ flat
        off = np.linalg.norm(best.reshape(-1, 3) - true, axis=1) * 250
        assert off.mean() < 0.25, name  # millimetres


def test_a_mesh_for_other_programs(
    engine: Parametric, avatar: ParametricAvatar, sample_portrait: FaceObservation
) -> None:
    state = engine.drive(avatar, replace(sample_portrait, presence=0.0))
    told: list[tuple[int, int]] = []
    made = engine.mesh(state, 48, lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1]
    assert made.colours.std(0).min() > 5
    for end in (np.min, np.max):
        np.testing.assert_allclose(end(made.vertices, 0), end(state.points, 0), atol=0.05)


def test_strips_go_from_one_to_the_other(
    model: HeadModel, somebody: tuple[torch.Tensor, extraction.Surface], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips, "SIDE", 48)
    rest = model.expressions[:1]
    strip = strips.between(model, Codes(model.mean[None], rest), Codes(somebody[0], model.expression("jaw")), 2)
    assert strip.shape == (256, 384, 3)
    assert (strip[:, :192] != strip[:, 192:]).any()
    assert strips.transferred(
        model, Codes(model.mean[None], rest), Codes(somebody[0], rest), model.expression("smile"), 2
    ).shape == (512, 384, 3)


def test_portraits_that_show_no_head_are_rejected(engine: Parametric, sample_portrait: FaceObservation) -> None:
    for wrong, reason in (
        (replace(sample_portrait, crop=None), "no_picture"),
        (replace(sample_portrait, landmarks=np.full((478, 3), np.nan, np.float32)), "no_face"),
        (replace(sample_portrait, landmarks=(sample_portrait.landmarks * 0.1).astype(np.float32)), "face_too_small"),
    ):
        with pytest.raises(PortraitRejected) as rejected:
            engine.enrol(wrong)
        assert rejected.value.reason == reason
