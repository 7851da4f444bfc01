"""ROME's own commands on a real photo, small and synthetic: a basis distilled, hair restyled, a head as a mesh."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from engines import catalogue
from engines.contract import AnyEngine
from engines.options import EngineOptions
from engines.rome.distillation import run
from engines.rome.engine import RomeEngine
from engines.rome.linear import LinearRomeEngine
from pipeline.puppet import puppet_portrait
from server.__main__ import app

INVENTED = EngineOptions(synthetic_weights=True)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One face under four lights, and a picture of nobody."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = puppet_portrait().pixels
    for k in range(4):
        Image.fromarray((pixels * (1 - 0.1 * k)).astype(np.uint8)).save(folder / f"{k}.png")
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(folder / "nobody.png")
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, AnyEngine] = {kind.name: kind(INVENTED, small=True) for kind in (RomeEngine, LinearRomeEngine)}
    monkeypatch.setattr(catalogue, "load", lambda name, options: made[name])
    monkeypatch.setattr(run, "Distillation", partial(run.Distillation, small=True))


def invoke(*words: object) -> str:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.usefixtures("small")
def test_a_basis_from_a_folder_of_photos(photos: Path, tmp_path: Path) -> None:
    said = invoke("distil", photos, "--out", tmp_path / "basis", "--steps", 2, "--synthetic-weights")
    assert "nobody.png" in said
    assert "weights import" in said
    assert {"linear_hair.pth", "u_full.pt", "mean_deform.pt", "report.json"} <= {
        path.name for path in (tmp_path / "basis").iterdir()
    }


@pytest.mark.usefixtures("small")
def test_hair_moves_along_a_direction(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "hair.png"
    said = invoke("restyle", "--portrait", photos / "0.png", "--out", out, "--direction", 3, "--millimetres", 40)
    assert "1 rows" in said
    strip = np.asarray(Image.open(out)).astype(int)
    assert strip.shape == (256, 5 * 256, 3)
    first, middle, last = (strip[:230, k * 256 : (k + 1) * 256] for k in (0, 2, 4))
    assert np.abs(first - middle).mean() > 1
    assert np.abs(first - last).mean() > 1


def test_a_direction_moves_what_it_says_by_what_it_says() -> None:
    from tests.test_rome_engine import face

    engine = LinearRomeEngine(INVENTED, small=True)
    network, avatar = engine._networks.here(), engine.enrol(face())
    assert network.basis is not None
    assert avatar.coefficients is not None
    for direction, part in ((3, network.flame.hair), (52, network.flame.movable - network.flame.hair)):
        other = engine.restyled(avatar, direction, 10.0)
        assert other.coefficients is not None
        moved = (network.basis(other.coefficients) - network.basis(avatar.coefficients))[0].norm(dim=1)
        chosen = part.bool()
        assert moved[~chosen].max() < 1e-6
        assert abs(float(moved[chosen].square().mean().sqrt()) - 0.01) < 1e-4


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["head.ply", "head.glb"])
def test_a_head_as_a_mesh(photos: Path, tmp_path: Path, name: str) -> None:
    said = invoke("mesh", "--engine", "rome", "--portrait", photos / "0.png", "--out", tmp_path / name)
    assert "505 points" in said
    assert b"SYNTHETIC WEIGHTS" in (tmp_path / name).read_bytes()


@pytest.mark.usefixtures("small")
def test_what_cannot_be_done_is_told(tmp_path: Path, photos: Path) -> None:
    result = CliRunner().invoke(
        app, ["distil", str(tmp_path / "none"), "--out", str(tmp_path / "b"), "--synthetic-weights"]
    )
    assert result.exit_code == 2
    result = CliRunner().invoke(app, ["distil", str(photos), "--out", str(tmp_path / "b"), "--engine", "relief"])
    assert result.exit_code == 2
    result = CliRunner().invoke(
        app, ["restyle", "--portrait", str(photos / "0.png"), "--out", str(tmp_path / "hair.txt")]
    )
    assert result.exit_code == 2
