"""The ROME engines behind their three verbs, small and synthetic: who works when, where things stand, and what screens get."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from display import offaxis, optics
from display.optics import Cameras, fan
from display.screen import screen
from engines.contract import CROP, Engine, FaceObservation, PortraitRejected
from engines.geometry import charts, glb, motion
from engines.geometry import views as geometry_views
from engines.geometry.asset import Asset, posed
from engines.geometry.motion import Record
from engines.options import EngineOptions
from engines.rome import bust, components, drive, embedding, enrol, fit, render, synthetic
from engines.rome.drive import RomeState
from engines.rome.embedding import Embedding
from engines.rome.engine import RomeEngine
from engines.rome.enrol import RomeAvatar
from engines.rome.flame import Flame
from engines.rome.geometry import SIDE
from engines.rome.linear import LinearRomeEngine
from engines.weights import CheckpointRejected
from pipeline.preprocess.canonical import CANONICAL

pytestmark = pytest.mark.usefixtures("no_gradients", "one_thread")

ENGINES = {"rome": RomeEngine, "rome-linear": LinearRomeEngine}
PIXELS_PER_CM, MIDDLE = 21.94, np.array([0.0, -0.4, 2.1])


def face(seed: int = 1, yaw: float = 0.0, moved: np.ndarray | float = 0.0, **changes: Any) -> FaceObservation:
    """The canonical face, turned, its landmarks `moved` by centimetres [478, 3] from rest, in a picture of blocks."""
    draw = np.random.default_rng(seed)
    blocks = draw.integers(0, 256, (16, 16, 3), np.uint8).repeat(CROP // 16, 0).repeat(CROP // 16, 1)
    matte = np.zeros((CROP, CROP), np.float32)
    matte[64:, 96:-96] = 1.0
    shape = (CANONICAL + moved).astype(np.float32)
    pose = optics.orbit(-yaw)
    turned = (shape - MIDDLE) @ (np.diag([1.0, -1, -1]) @ pose[:3, :3].T @ np.eye(3)).T
    upright = FaceObservation(shape, shape, shape, pose, 1.0).head_rotation
    turned = (shape - MIDDLE) @ upright.T * [1, -1, -1]
    landmarks = (PIXELS_PER_CM * turned + [CROP / 2, CROP / 2, 0]).astype(np.float32)
    seen = FaceObservation(landmarks, shape, CANONICAL.astype(np.float32), pose, 1.0, crop=blocks, matte=matte)
    return replace(seen, **changes)


def blocks_of(seed: int) -> np.ndarray:
    crop = face(seed).crop
    assert crop is not None
    return crop


@pytest.fixture(scope="module")
def engines() -> dict[str, RomeEngine]:
    return {name: kind(EngineOptions(synthetic_weights=True), small=True) for name, kind in ENGINES.items()}


@pytest.fixture(scope="module", params=ENGINES)
def either(request: pytest.FixtureRequest, engines: dict[str, RomeEngine]) -> RomeEngine:
    return engines[request.param]


@pytest.fixture(scope="module")
def engine(engines: dict[str, RomeEngine]) -> RomeEngine:
    """The quicker one, where both do the same."""
    return engines["rome-linear"]


@pytest.fixture(scope="module")
def avatar(engine: RomeEngine) -> RomeAvatar:
    with torch.no_grad():
        return engine.enrol(face())


@pytest.fixture(scope="module")
def state(engine: RomeEngine, avatar: RomeAvatar) -> RomeState:
    with torch.no_grad():
        return engine.drive(avatar, face(2, 15))


def three(width: int = 128, height: int = 128) -> Cameras:
    places = np.stack([optics.orbit(yaw) for yaw in (-17.5, 0.0, 17.5)])
    return Cameras(places, np.repeat(optics.intrinsics(width / height)[None], 3, 0), width, height)


def test_is_an_engine(either: RomeEngine) -> None:
    kept: Engine[RomeAvatar, RomeState] = either
    assert kept.name in ENGINES
    assert kept.wants == {"crop"}
    assert either.abilities.batches


@pytest.mark.parametrize("lacks", ["crop", "matte"])
def test_a_portrait_without_its_picture_is_refused(engine: RomeEngine, lacks: str) -> None:
    lacking: dict[str, Any] = {lacks: None}
    with pytest.raises(PortraitRejected) as refused:
        engine.enrol(face(**lacking))
    assert refused.value.reason == "no_picture"


def test_the_head_stands_where_the_portrait_shows_it(engine: RomeEngine, avatar: RomeAvatar) -> None:
    """Landmarks of the head at rest, seen by the display's frontal camera, lie about where the portrait has them."""
    rig, stand = avatar.rig, avatar.stand
    points, _ = rig.points(np.zeros(50), fit.REST_JAW)
    shown = stand.scale * ((points - stand.middle) @ stand.upright.T)[:, :2] * [1, -1]
    seen = enrol.in_picture(face().landmarks[avatar.embedding.landmarks])
    assert np.linalg.norm(shown.mean(0) - seen.mean(0)) < 0.03
    assert np.linalg.norm(shown - seen, axis=1).mean() < 0.09
    turn = stand.upright
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) < 15


def test_an_embedding_of_another_head_is_not_believed(
    engine: RomeEngine, avatar: RomeAvatar, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    network = engine._networks.here()
    faces = network.flame.faces.numpy()
    anywhere = faces[np.random.default_rng(1).integers(0, len(faces), len(embedding.FACE))]
    wrong = Embedding(embedding.FACE, anywhere, np.full((len(anywhere), 3), 1 / 3))
    for given, believed in ((wrong, False), (avatar.embedding, True)):
        monkeypatch.setattr(network, "embedding", given)
        enrolled = engine.enrol(face())
        assert (enrolled.embedding is given) == believed
        assert abs(enrolled.stand.scale - avatar.stand.scale) < 0.5
    assert "another head" in said.text


def test_the_source_is_aligned_before_it_is_seen(engine: RomeEngine) -> None:
    network = engine._networks.here()
    image, matte = enrol.aligned(network, face())
    assert image.shape == (1, 3, 64, 64)
    assert image[..., :3, :].abs().max() == 0  # the published framing is wider than the crop
    assert matte.max() == 1


class TestFit:
    @pytest.fixture(scope="class")
    def rig(self) -> fit.Rig:
        head = Flame(bust.tensors(41, 40), 32)
        places = embedding.found(CANONICAL, head.template.numpy(), head.faces.numpy())
        return fit.rig(head, places, np.zeros(100))

    def test_an_expression_is_found_again(self, rig: fit.Rig) -> None:
        draw = np.random.default_rng(3)
        codes, jaw = 0.8 * draw.standard_normal(50), np.array([0.25, 0.03, -0.02])
        turn, cam = fit.rotation(np.array([0.1, 0.3, -0.05])), np.array([9.0, 0.01, -0.02])
        seen = shown(rig, fit.Fitted(codes, jaw, turn, cam))
        start = fit.from_rotation(rig, seen, fit.rotation(np.array([0.15, 0.2, 0.0])))
        found = fit.fitted(rig, seen, np.ones(len(seen)), start)
        assert np.abs(shown(rig, found) - seen).mean() < 0.1 * np.abs(shown(rig, start) - seen).mean()
        assert np.degrees(np.arccos((np.trace(found.turn.T @ turn) - 1) / 2)) < 2
        np.testing.assert_allclose(found.cam, cam, rtol=0.02, atol=0.01)

    def test_slopes_are_derivatives(self, rig: fit.Rig) -> None:
        codes, jaw = 0.5 * np.random.default_rng(4).standard_normal(50), np.array([0.2, 0.05, -0.05])
        slopes, (points, _) = rig.slopes(codes, jaw), rig.points(codes, jaw)
        for k in range(53):
            step = 1e-6 * (np.arange(53) == k)
            numeric = (rig.points(codes + step[:50], jaw + step[50:])[0] - points) / 1e-6
            np.testing.assert_allclose(slopes[:, :, k], numeric, atol=1e-5)

    def test_nothing_leaves_what_is_plausible(self, rig: fit.Rig) -> None:
        rest = fit.Fitted(np.zeros(50), fit.REST_JAW, np.eye(3), np.array([9.0, 0, 0]))
        wild = 2 * np.random.default_rng(5).standard_normal((len(rig.weights), 2))
        found = fit.fitted(rig, wild, np.ones(len(wild)), rest)
        assert np.abs(found.codes).max() <= 3
        assert (found.jaw >= fit.LEAST_JAW).all()
        assert (found.jaw <= fit.MOST_JAW).all()


def shown(rig: fit.Rig, head: fit.Fitted) -> np.ndarray:
    points, root = rig.points(head.codes, head.jaw)
    return head.cam[0] * (((points - root) @ head.turn.T + root)[:, :2] + head.cam[1:]) * [1, -1]


class TestDrive:
    @pytest.fixture
    def blind(self, engine: RomeEngine, monkeypatch: pytest.MonkeyPatch) -> RomeEngine:
        """The engine without DECA's encoder, so that landmarks are fitted."""
        monkeypatch.setitem(engine._networks.here()._modules, "deca", None)
        return engine

    def test_a_face_at_rest_leaves_the_head_at_rest(self, blind: RomeEngine, avatar: RomeAvatar) -> None:
        found = drive.fitted_to(avatar, face(3, 20))
        np.testing.assert_allclose(found.codes, 0, atol=1e-6)
        np.testing.assert_allclose(found.jaw, fit.REST_JAW, atol=1e-6)

    def test_a_movement_of_the_mouth_is_fitted_and_eased(self, blind: RomeEngine, avatar: RomeAvatar) -> None:
        moved = np.zeros((478, 3))
        moved[[17, 14, 84, 314, 87, 317]] = [0, -0.6, 0]
        network, seen = blind._networks.here(), face(3, 10, moved)
        rest, half, whole = (drive.codes_of(network, avatar, seen, presence) for presence in (0.0, 0.5, 1.0))
        assert rest["exp"].abs().max() == 0
        assert whole["exp"].abs().max() > 1e-3
        torch.testing.assert_close(half["exp"], whole["exp"] / 2)
        torch.testing.assert_close(half["pose"], (rest["pose"] + whole["pose"]) / 2)

    def test_the_encoder_is_asked_where_there_is_one(self, engine: RomeEngine, avatar: RomeAvatar) -> None:
        network, seen = engine._networks.here(), face(3)
        found = drive.codes_of(network, avatar, seen, 1.0)
        other = drive.codes_of(network, avatar, face(4), 1.0)  # the same landmarks in another picture
        assert (found["exp"] - other["exp"]).abs().max() > 1e-4
        torch.testing.assert_close(found["shape"], avatar.shape)

    def test_the_small_regressor_takes_the_encoders_place(self, engine: RomeEngine, avatar: RomeAvatar) -> None:
        network = synthetic.network(synthetic.SMALL, linear=True, mobile=True)
        found, seen = drive.codes_of(network, avatar, face(3), 1.0), enrol.picture01(blocks_of(3), network)
        torch.testing.assert_close(found["exp"], network.mobile_codes(seen)["exp"])
        half = drive.codes_of(network, avatar, face(3), 0.5)
        torch.testing.assert_close(half["exp"], found["exp"] / 2)

    @pytest.mark.parametrize("broken", [np.nan, np.inf])
    def test_what_is_not_finite_is_rest(self, engine: RomeEngine, avatar: RomeAvatar, broken: float) -> None:
        seen = face(2)
        seen.shape[5, 1] = seen.landmarks[3, 0] = broken
        pose = np.array(seen.pose)
        pose[0, 0] = broken
        for bad in (seen, replace(face(2), pose=pose), replace(face(2), presence=float("nan"))):
            state = engine.drive(avatar, bad)
            assert state.vertices.isfinite().all()
            assert np.isfinite(state.turn).all()

    def test_presence_turns_the_head_back(self, engine: RomeEngine, avatar: RomeAvatar) -> None:
        turns = [engine.drive(avatar, face(2, 20, presence=presence)).turn for presence in (0.0, 0.5, 1.0)]
        angles = [np.degrees(np.arccos((np.trace(turn) - 1) / 2)) for turn in turns]
        np.testing.assert_allclose(angles, [0, 10, 20], atol=0.1)

    def test_only_the_full_model_runs_a_network_over_the_texture(
        self, either: RomeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        network, asked, avatar = either._networks.here(), [], either.enrol(face())
        run = network._run
        monkeypatch.setattr(network, "_run", lambda component: asked.append(component) or run(component))
        either.drive(avatar, face(2))
        full = [components.codes, components.geometry, components.offsets]
        assert asked == (full[:1] if either.linear else full)


class TestRender:
    def test_the_middle_of_the_head_stays_where_it_is(self, state: RomeState) -> None:
        """Views turn about it: whatever the camera, a head at rest has it in the picture's middle."""
        resting = replace(state, turn=np.eye(3))
        projection = render.projection(resting, three())
        stand = state.avatar.stand
        from_root = stand.middle - state.root[0].double().numpy()
        placed = projection.turns @ from_root + projection.upright @ -from_root
        np.testing.assert_allclose(placed * projection.scales + projection.shifts, 0, atol=1e-9)

    def test_a_camera_to_the_right_sees_the_nose_to_the_left(self, engine: RomeEngine, state: RomeState) -> None:
        resting = replace(state, turn=np.eye(3))
        screens = render.on_screen(engine._networks.here(), resting, three())
        nose = state.vertices[0, :, 2].argmax()
        across = screens[:, nose, 0]
        assert across[0] > across[1] > across[2]
        assert (screens[:, nose, 2] < screens[:, :, 2].mean(1)).all()

    def test_a_head_turned_by_the_caller_is_a_camera_gone_round_it(self, engine: RomeEngine, state: RomeState) -> None:
        network = engine._networks.here()
        turned = replace(state, turn=replace(face(1, 17.5)).head_rotation.astype(np.float64))
        by_caller = render.on_screen(network, turned, three())[1]
        by_camera = render.on_screen(network, replace(state, turn=np.eye(3)), three())
        nearest = min((0, 2), key=lambda k: float((shape_of(by_caller) - shape_of(by_camera[k])).abs().max()))
        torch.testing.assert_close(shape_of(by_caller), shape_of(by_camera[nearest]), atol=1e-5, rtol=0)

    def test_off_axis_views_are_what_the_display_would_make(self, engine: RomeEngine, state: RomeState) -> None:
        """The display asks parallel engines for off-axis views by lenses of their own: a slide and a narrowing, no more."""
        orbit, network = three(), engine._networks.here()
        matrices = offaxis.homographies(orbit, focus=0.05, parallel=True)
        narrowed = offaxis.reframed(orbit, matrices)
        asked = render.on_screen(network, state, narrowed)
        plain = render.on_screen(network, state, orbit)
        for view, matrix in enumerate(matrices):
            there, here = (
                each[view, :, 0].double().numpy() / (2 * cameras.span[0]) + 0.5
                for each, cameras in ((asked, narrowed), (plain, orbit))
            )
            np.testing.assert_allclose(matrix[0, 0] * there + matrix[0, 2], here, atol=1e-5)
        torch.testing.assert_close(asked[..., 1:], plain[..., 1:], atol=1e-5, rtol=0)

    @pytest.mark.parametrize("size", [(128, 128), (96, 128), (160, 90)])
    def test_screens_get_their_shape(self, engine: RomeEngine, state: RomeState, size: tuple[int, int]) -> None:
        views = engine.render(state, three(*size))
        assert views.images.shape == (3, size[1], size[0], 4)
        assert (views.images[..., 3] == 255).all()

    def test_callers_share_batches(self, engine: RomeEngine, state: RomeState) -> None:
        other = engine.drive(engine.enrol(face(7)), face(8, -10))
        together = engine.render_many([(state, three()), (other, three(96, 128))])
        for views, alone in zip(
            together, (engine.render(state, three()), engine.render(other, three(96, 128))), strict=True
        ):
            assert (views.images.int() - alone.images.int()).abs().max() <= 1
        assert engine.render_many([]) == []

    def test_a_part_of_a_fan_is_that_part(self, engine: RomeEngine, state: RomeState) -> None:
        whole = fan(screen("telequilt"))
        part = whole.split(8)[5]
        views = engine.render(state, part)
        assert views.first == part.first
        again = engine.render(state, part.split(3)[1])
        assert (again.images.int() - views.images[1:2].int()).abs().max() <= 1

    def test_every_picture_says_noise(self, engine: RomeEngine, state: RomeState) -> None:
        engine.noise = False
        try:
            quiet = engine.render(state, three()).images
        finally:
            engine.noise = True
        loud = engine.render(state, three()).images
        assert (loud[:, :64] != quiet[:, :64]).any(3).float().mean() > 0.05
        assert torch.equal(loud[:, 64:], quiet[:, 64:])


def shape_of(places: torch.Tensor) -> torch.Tensor:
    """Where points are from each other: a head that turns about its root has moved besides."""
    return places - places.mean(0)


def test_a_mesh_has_the_heads_topology_and_the_colours_of_its_views(engine: RomeEngine, state: RomeState) -> None:
    found = engine.mesh(state)
    flame = engine._networks.here().flame
    assert found.vertices.shape == tuple(state.vertices.shape[1:])
    np.testing.assert_array_equal(found.faces, flame.faces.numpy())
    edges = np.linalg.norm(found.vertices[found.faces[:, 0]] - found.vertices[found.faces[:, 1]], axis=1)
    corners = state.vertices[0, flame.faces.long()]
    np.testing.assert_allclose(edges, (corners[:, 0] - corners[:, 1]).norm(dim=1).numpy(), atol=1e-5)
    assert found.colours.std(0).min() > 5


def test_what_is_drawn_elsewhere_moves_as_it_is_driven(either: RomeEngine) -> None:
    """A preview in its colours; its face lies where the engine's own views have it, to a fifth of a pixel of a crop."""
    with torch.no_grad():
        avatar = either.enrol(face())
        state = either.drive(avatar, face(2, 15))
        network = either._networks.here()
        asset, moved = either.asset(avatar), either.motion(state)
        shown = render.on_screen(network, state, three()).numpy()
    assert either.abilities.preview
    packed = glb.packed(asset, "AI avatar")
    record = motion.packed(Record(moved, packed.number, 1, 0.0))
    sent, _ = glb.unpacked(packed.data)
    assert isinstance(sent, Asset)
    points, _ = posed(sent, motion.unpacked(record).motion)
    flame = network.flame
    source, _, _ = charts.welded(flame.faces.numpy(), (flame.corners_uv.numpy() + 1) * SIDE / 2)
    left, jaw = flame.movable.numpy()[source] > 0, flame.jaw_weight.numpy()[source] > 0
    exact = (
        ~left if either.name == "rome" else ~(left & jaw)
    )  # what leaves the head and goes with the jaw is turned by it, too
    for view, seen in enumerate(shown):
        places = geometry_views.seen(points, asset.parallel, three(), view)
        assert np.abs(2 * (places[:, :2] - 0.5) - seen[source, :2])[exact].max() < 0.2 / 256
    assert np.abs(state.face.numpy()[0, :50]).max() > 0.01, "it has an expression"
    assert asset.atlas[..., :3].reshape(-1, 3).std(0).min() > 5


@pytest.mark.soak
def test_every_network_can_be_exported_whole(engines: dict[str, RomeEngine]) -> None:
    """As TensorRT and torch.compile want it: no branch, no shape of its own, the same numbers."""
    for component in (component for component in engines["rome"]._networks.here().components() if component.often):
        program = torch.export.export(component.module, component.example(), strict=True)
        made, expected = program.module()(*component.example()), component.module(*component.example())
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


class TestEmbedding:
    def test_found_places_lie_like_the_face(self) -> None:
        head = bust.tensors(41, 40)
        template, faces = head["template"].numpy(), head["faces"].numpy()
        places = embedding.found(CANONICAL, template, faces)
        on_head = (template[places.corners] * places.weights[..., None]).sum(1)
        face = CANONICAL[places.landmarks] / 100
        assert np.corrcoef(on_head[:, 0], face[:, 0])[0, 1] > 0.97
        assert np.corrcoef(on_head[:, 1], face[:, 1])[0, 1] > 0.97
        assert set(places.emphasis) == {1.0, 3.0}

    def test_given_ones_are_read(self, tmp_path: Path) -> None:
        faces = np.arange(30).reshape(10, 3)
        chosen, weights = np.arange(5), np.full((5, 3), 1 / 3)
        np.savez(tmp_path / "m.npz", lmk_face_idx=chosen, lmk_b_coords=weights, landmark_indices=np.arange(100, 105))
        read = embedding.read(tmp_path / "m.npz", faces)
        np.testing.assert_array_equal(read.landmarks, np.arange(100, 105))
        np.testing.assert_array_equal(read.corners, faces[:5])
        chosen, weights = np.arange(51) % 10, np.full((51, 3), 1 / 3)
        deca = {"static_lmk_faces_idx": chosen, "static_lmk_bary_coords": weights}
        np.save(tmp_path / "landmark_embedding.npy", np.array(deca, dtype=object), allow_pickle=True)
        read = embedding.read(tmp_path / "landmark_embedding.npy", faces)
        np.testing.assert_array_equal(read.landmarks, embedding.FACE)
        again = Embedding.from_tensors(read.tensors())
        np.testing.assert_array_equal(again.corners, read.corners)

    def test_others_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "m.npz", something=np.zeros(3))
        (tmp_path / "cut.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:40])
        np.savez(tmp_path / "far.npz", lmk_face_idx=[99], lmk_b_coords=[[1, 0, 0]], landmark_indices=[0])
        for name in ("m", "cut", "far"):
            with pytest.raises(CheckpointRejected, match=name):
                embedding.read(tmp_path / f"{name}.npz", np.zeros((10, 3), int))
