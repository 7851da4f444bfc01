"""Meshes from photos: the whole way with a small synthetic VOODOO 3D network, and what is refused before any work."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from engines import catalogue
from engines.options import EngineOptions
from engines.voodoo3d import synthetic
from engines.voodoo3d.architecture import Architecture
from engines.voodoo3d.engine import Voodoo3d
from engines.voodoo3d.enrol import Samples
from pipeline.puppet import puppet_portrait
from server.__main__ import app
from server.commands import mesh
from server.commands.quilt_film import OutputRefused

pytest.importorskip("skimage", reason="meshes are found by scikit-image")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.cvtColor(puppet_portrait().pixels, cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.parametrize("ending", ["glb", "ply"])
def test_a_mesh_of_synthetic_weights_says_that_it_is_noise(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    network = synthetic.network(Architecture(64, 16))
    engine = Voodoo3d(EngineOptions(synthetic_weights=True), network=network, samples=Samples(12, 12))
    monkeypatch.setattr(catalogue, "load", lambda _name, _options: engine)
    told: list[tuple[str, int, int]] = []
    out = tmp_path / f"head.{ending}"
    made = mesh.sculpt(photo, out, "voodoo3d", photo, 24, progress=lambda *step: told.append(step))
    content = out.read_bytes()
    assert made.vertices > 100
    assert b"SYNTHETIC WEIGHTS" in content
    if ending == "glb":
        (length,) = struct.unpack_from("<I", content, 12)
        assert json.loads(content[20 : 20 + length])["accessors"][0]["count"] == made.vertices
    assert told[-1] == ("looking for the surface", 24, 24)
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, "photo.png"]


@pytest.mark.parametrize(
    ("out", "engine", "said"),
    [
        ("head.obj", "voodoo3d", "head.glb"),
        ("nowhere/head.glb", "voodoo3d", "mkdir"),
        ("head.glb", "live", "no head"),
        ("head.ply", "relief", "head.glb"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(
    photo: Path, tmp_path: Path, out: str, engine: str, said: str
) -> None:
    with pytest.raises(OutputRefused, match=said):
        mesh.sculpt(photo, tmp_path / out, engine)
    assert not (tmp_path / out).exists()


def test_the_command_of_its_help_works_on_a_machine_without_weights(photo: Path, tmp_path: Path) -> None:
    words = ["mesh", "--portrait", str(photo), "--out", str(tmp_path / "head.glb")]
    done = CliRunner().invoke(app, words, env={"XDG_DATA_HOME": str(tmp_path / "own")})
    assert done.exit_code == 0, done.output
    assert (tmp_path / "head.glb").read_bytes()[:4] == b"glTF"
