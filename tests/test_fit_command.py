"""Fit, interpolate and transfer on the command line, with the head model that comes with the engine and fewer steps than people get."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("skimage", reason="heads are found by scikit-image")

import cv2
from typer.testing import CliRunner

from engines import mesh
from engines.parametric import checkpoint, extraction, fitting, strips
from engines.parametric.detail import Refining
from server.__main__ import app


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model's average head as somebody's scanner would give it: in millimetres."""
    monkeypatch.setattr(
        fitting, "Search", partial(fitting.Search, steps=16, points=400, refining=Refining(steps=6, points=300))
    )
    monkeypatch.setattr(strips, "SIDE", 32)
    model = checkpoint.load(None)
    found = extraction.surface(model.distance(model.mean[None]), side=48)
    path = tmp_path / "scan.ply"
    grey = np.full(found.vertices.shape, 128, np.uint8)
    mesh.write(mesh.Mesh(found.vertices * 250, found.faces, grey), path, "a scan")
    return path


def test_a_scan_becomes_a_mesh_and_codes_that_the_other_commands_take(scan: Path, tmp_path: Path) -> None:
    run, head = CliRunner().invoke, tmp_path / "head.glb"
    said = run(app, ["fit", str(scan), "--out", str(head), "--side", "32", "--noise", "0.5"])
    assert said.exit_code == 0, said.output
    assert "taken as mm" in said.output
    assert head.read_bytes()[:4] == b"glTF"
    with np.load(tmp_path / "head.npz") as codes:
        assert set(codes.files) == {"z_id", "z_ex", "detail"}
        assert np.isfinite(codes["detail"]).all()
        assert codes["detail"].any()

    for command in (["interpolate", "--steps", "2"], ["transfer", "--steps", "2", "--expression", "smile"]):
        out = tmp_path / f"{command[0]}.png"
        said = run(app, [*command, str(tmp_path / "head.npz"), str(tmp_path / "head.npz"), "--out", str(out)])
        assert said.exit_code == 0, said.output
        assert cv2.imread(str(out)).std() > 10


def test_codes_of_another_model_are_told_from_ours(scan: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", z_id=np.zeros((1, 7)), z_ex=np.zeros((1, 3)), detail=np.zeros((1, 3, 2, 8, 8)))
    np.savez(tmp_path / "none.npz", z_id=np.zeros((1, 7)))
    for name, wanted in (("other", "another model's"), ("none", "holds no codes")):
        path = str(tmp_path / f"{name}.npz")
        said = CliRunner().invoke(app, ["interpolate", path, path, "--out", str(tmp_path / "x.png")])
        assert said.exit_code != 0
        assert wanted in " ".join(said.output.split()), said.output
