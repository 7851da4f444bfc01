"""Avatars that were made elsewhere: brought, kept, shown by their own engine alone, moved between machines, and forgotten."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from display.optics import Cameras, intrinsics, orbit
from engines import gltf
from engines.actions import ACTIONS, INDEX
from engines.contract import FaceObservation
from engines.splats.drive import SplatState
from engines.splats.engine import Splats
from engines.turns import least_turn
from pipeline.avatar_files import Consent
from pipeline.avatars import SAMPLE, AvatarDamaged, Avatars, WrongEngine
from server.__main__ import app
from server.channels.origin import origin_of
from server.channels.services import Services, kept
from server.settings import Settings
from tests.exported import head, zipped
from tests.live import located, painted_services, serving, settings_for
from tests.painted import PaintedEngine, still_face
from tests.test_whip import problem

ENGINES: dict[str, Any] = {"splats": Splats(), "painted": PaintedEngine()}


def services_with_both(settings: Settings) -> Services:
    """Heads of Gaussians are drawn; what another engine is asked for paints its numbers."""
    return replace(painted_services(settings), engine=lambda name: ENGINES.get(name, ENGINES["painted"]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimpleNamespace]:
    data = tmp_path_factory.mktemp("data")
    settings = settings_for(data)
    async with serving(settings, services_with_both) as (base, _), httpx.AsyncClient(base_url=base, timeout=60) as http:
        yield SimpleNamespace(http=http, data=data)


def files_of(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "provenance" not in str(path)
    )


async def bring(http: httpx.AsyncClient, data: bytes, **fields: str) -> httpx.Response:
    return await http.post("/api/avatars", files={"portrait": ("me.zip", data)}, data=fields)


@pytest.mark.asyncio(loop_scope="module")
async def test_one_is_brought_by_the_road_of_a_photo_and_forgotten(live: SimpleNamespace):
    before = files_of(live.data)
    answer = await bring(live.http, head().zipped(), consent="me", name="Ada")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["engine"] == "splats"
    assert "CC BY-NC" in told["licence"]
    assert (await live.http.get(located(answer))).json() == told
    picture = await live.http.get(f"{located(answer)}/picture")
    assert picture.content.startswith(b"\x89PNG")
    assert len(files_of(live.data)) == len(before) + 3
    gone = await live.http.delete(located(answer))
    assert gone.status_code == 204
    assert files_of(live.data) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_one_that_does_not_fit_or_has_no_consent_leaves_nothing(live: SimpleNamespace):
    before = files_of(live.data)
    made = head()
    lacking = await bring(live.http, zipped({"me/skin.glb": made.glb()}), consent="me")
    assert problem(lacking, 422, "avatar-incomplete")["detail"].startswith("offset.ply is missing")
    problem(await bring(live.http, made.zipped()), 400, "consent-missing")
    problem(await bring(live.http, b"PK\x03\x04 cut off", consent="me"), 422, "avatar-not-an-avatar")
    assert files_of(live.data) == before


@pytest.fixture
def store(tmp_path: Path) -> Avatars:
    return Avatars(tmp_path, sample=still_face)


def brought(store: Avatars) -> str:
    return kept(store, ENGINES["splats"], head().zipped(), Consent.ME, "abc", "Ada").id


def test_its_own_engine_shows_it_and_no_other(store: Avatars, tmp_path: Path):
    avatar, again = brought(store), Avatars(tmp_path, sample=still_face)
    assert [record.name for record in again.records()][1:] == ["Ada"]
    assert again.get(avatar).engine == "splats"
    assert len(again.ready(avatar, ENGINES["splats"])) == len(head().vertices)
    for ask in (lambda: again.ready(avatar, ENGINES["painted"]), lambda: again.observation(avatar)):
        with pytest.raises(WrongEngine, match="brought for the engine splats"):
            ask()


def test_who_names_no_engine_gets_the_one_that_shows_it(store: Avatars, tmp_path: Path):
    services = replace(services_with_both(settings_for(tmp_path)), avatars=store)
    avatar = brought(store)
    assert services.engine_of(avatar, "relief") == "splats"
    assert services.engine_of(SAMPLE, "relief") == "relief"
    assert services.engine_of("nobody", "relief") == "relief", (
        "that there is none is told by whoever makes something of it"
    )
    with pytest.raises(WrongEngine):
        services.check(avatar, "relief")


def test_what_is_stated_of_it_has_its_own_hash(store: Avatars, tmp_path: Path):
    services = replace(services_with_both(settings_for(tmp_path)), avatars=store)
    stated = origin_of("splats", brought(store), settings_for(tmp_path), services)
    assert stated.engine.weights["avatar"] == "abc"
    assert stated.consent.category == "me"
    assert origin_of("splats", SAMPLE, settings_for(tmp_path), services).consent.category == "synthetic", "a mannequin"


def test_another_machine_takes_it_whole_or_not_at_all(store: Avatars, tmp_path: Path):
    avatar, other = brought(store), Avatars(tmp_path / "other", sample=still_face)
    files = store.files(avatar)
    with pytest.raises(ValueError, match="cannot be read"):
        other.take(avatar, files | {"brought.safetensors": b"?"})
    with pytest.raises(ValueError, match="no files of an avatar"):
        other.take(avatar, {name: data for name, data in files.items() if name != "picture.png"})
    assert not other.keeps(avatar)
    other.take(avatar, files)
    assert len(other.ready(avatar, ENGINES["splats"])) == len(store.ready(avatar, ENGINES["splats"]))


def test_one_that_was_spoiled_on_disk_spoils_itself_alone(store: Avatars, tmp_path: Path):
    avatar = brought(store)
    file = tmp_path / "avatars" / avatar / "brought.safetensors"
    arrays = load_file(file)
    arrays["which"][-1] = 1 << 20
    save_file(arrays, file)
    with pytest.raises(AvatarDamaged):
        store.ready(avatar, ENGINES["splats"])
    store.forget(avatar)
    assert not store.keeps(avatar)


def test_the_command_keeps_one_and_says_what_to_do_next(tmp_path: Path):
    file = tmp_path / "me.zip"
    file.write_bytes(head().zipped())
    run = CliRunner().invoke(
        app, ["avatars", "import", str(file), "--consent", "me", "--data-dir", str(tmp_path / "data")]
    )
    assert run.exit_code == 0, run.output
    record = Avatars(tmp_path / "data", sample=still_face).records()[1]
    assert record.name == "me"
    assert f"puppet --avatar {record.id}" in run.output
    assert "licence: made with LAM" in run.output
    stated = json.loads((tmp_path / "data" / "provenance" / "consents.log").read_text().splitlines()[0])
    assert "me" in json.dumps(stated)
    file.write_bytes(b"\x89PNG")
    refused = CliRunner().invoke(app, ["avatars", "import", str(file), "--consent", "me", "--data-dir", str(tmp_path)])
    assert refused.exit_code == 2
    assert "telequilt: this is a photo" in refused.output
    unpacked = CliRunner().invoke(app, ["avatars", "import", str(tmp_path), "--consent", "me"])
    assert unpacked.exit_code == 2
    assert "is a folder: pack it whole" in unpacked.output


def test_a_terminal_obeys_nothing_that_a_strangers_file_says(tmp_path: Path):
    made, evil = head(), "\x1b]0;mine\x07\x1b[2J CC0"
    scene = gltf.unpacked(made.glb())
    arrays = gltf.Buffer([scene.binary], scene.scene["bufferViews"], scene.scene["accessors"], len(scene.binary))
    noted = gltf.packed({"meshes": scene.scene["meshes"]}, arrays, note=evil)
    file = tmp_path / "me.zip"
    file.write_bytes(zipped({"offset.ply": made.ply(), "skin.glb": noted}))
    words = ["avatars", "import", str(file), "--consent", "me", "--name", evil, "--data-dir", str(tmp_path)]
    told = CliRunner().invoke(app, words, color=True)
    listed = CliRunner().invoke(app, ["consent", "list", "--data-dir", str(tmp_path)], color=True)
    for run in (told, listed):
        assert run.exit_code == 0, run.output
        assert "mine" in run.output
        assert not {"\x1b", "\x07"} & set(run.output)


FRONT = Cameras(orbit(0)[None], intrinsics()[None], 96, 96)


def seen(turned: np.ndarray | None = None, presence: float = 1.0, **actions: float) -> FaceObservation:
    pose, weights = orbit(0), np.zeros(len(ACTIONS), np.float32)
    if turned is not None:
        pose = pose.copy()
        pose[:3, :3] = turned.T @ pose[:3, :3]
    for name, value in actions.items():
        weights[INDEX[name]] = value
    rest = still_face()
    return FaceObservation(rest.landmarks, rest.shape, rest.neutral, pose, 1.0, presence, actions=weights)


def about_y(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)


def shown_by(state: SplatState) -> np.ndarray:
    """[3, 3]: by how much the middle view sees the face turned, from where that camera saw it at rest."""
    face, camera = state.avatar.eyes.mean(axis=0), orbit(0)[:3, 3]
    there = state.pivot + state.turn @ (face - state.pivot)
    return least_turn(camera - there, camera - face) @ state.turn


def test_a_head_is_seen_to_turn_exactly_up_to_a_limit_and_eases_to_rest():
    engine, avatar = ENGINES["splats"], ENGINES["splats"].made(ENGINES["splats"].bring(head().zipped()).arrays)
    for degrees in (-40.0, -7.0, 0.0, 20.0):
        state = engine.drive(avatar, seen(about_y(degrees)))
        assert np.allclose(shown_by(state), about_y(degrees), atol=1e-4)
    turned = engine.drive(avatar, seen(about_y(30.0))).turn
    assert 26 < np.degrees(np.arctan2(turned[0, 2], turned[2, 2])) < 28, "it goes aside, which is seen as turned"
    far = shown_by(engine.drive(avatar, seen(about_y(85.0))))
    assert 50 < np.degrees(np.arctan2(far[0, 2], far[2, 2])) < 66
    gone = engine.drive(avatar, seen(about_y(30.0), presence=0.0, jawOpen=1.0))
    assert np.allclose(gone.turn, np.eye(3))
    assert not gone.weights.any()
    half = engine.drive(avatar, seen(about_y(30.0), presence=0.5, jawOpen=1.0))
    assert np.allclose(shown_by(half), about_y(15.0), atol=1e-4)
    assert half.weights[INDEX["jawOpen"]] == pytest.approx(0.5)


def test_a_head_that_turns_looks_as_if_its_points_and_shapes_had_turned():
    """By moved cameras, against the same Gaussians turned one by one."""
    engine = ENGINES["splats"]
    avatar = engine.made(engine.bring(head().zipped()).arrays)
    state = engine.drive(avatar, seen(about_y(25.0)))
    half = np.radians(25.0) / 2
    w, x, y, z = avatar.rotations.T
    c, s = np.cos(half), np.sin(half)
    turned = replace(
        avatar,
        points=((avatar.points - state.pivot) @ state.turn.T + state.pivot).astype(np.float32),
        rotations=np.stack([c * w - s * y, c * x + s * z, c * y + s * w, c * z - s * x], axis=1).astype(np.float32),
    )
    by_cameras = engine.render(state, FRONT).images.float()
    by_points = engine.render(engine.drive(turned, seen()), FRONT).images.float()
    assert by_cameras.std() > 20
    assert float((by_cameras - by_points).abs().mean()) < 0.05
