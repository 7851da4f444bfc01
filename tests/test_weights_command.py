"""`weights import` and `weights list` as an operator meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engines.voodoo3d import checkpoint
from engines.weights import Manifest
from server.commands.weights import app


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEQUILT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output


def test_list_says_what_is_missing_and_how_to_get_it(data: Path) -> None:
    code, said = run("list")
    assert code == 0
    assert "relief: wants none" in said
    assert "voodoo3d: missing" in said
    assert str(data / "weights" / "voodoo3d.safetensors") in said
    assert "licence: MIT" in said
    assert "github.com" in said
    assert "weights import voodoo3d.pth" in said


def test_a_good_file_is_imported_and_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "manifest", lambda: Manifest({"a.weight": (2, 2)}))
    torch.save({"state_dict": {"a.weight": torch.eye(2)}}, tmp_path / "voodoo3d.pth")
    code, said = run("import", tmp_path / "voodoo3d.pth")
    assert code == 0, said
    assert "serve --engine voodoo3d" in said
    assert "voodoo3d: here" in run("list")[1]


@pytest.mark.parametrize("kind", ["another network", "truncated", "absent", "unknown name"])
def test_a_bad_file_gets_one_line_and_leaves_nothing(tmp_path: Path, data: Path, kind: str) -> None:
    file = tmp_path / ("other.pth" if kind == "unknown name" else "voodoo3d.pth")
    if kind != "absent":
        torch.save({"some.weight": torch.zeros(3)}, file)
    if kind == "truncated":
        file.write_bytes(file.read_bytes()[:100])
    code, said = run("import", file)
    assert code == 2
    assert len(said.strip().splitlines()) == 1
    assert said.strip().startswith("telequilt: ")
    assert not [left for left in data.rglob("*") if left.is_file()]
