"""The plain variant that benchmarks compare against gives the same pictures, view by view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import official_structure, rome
from engines.rome.synthetic import SMALL
from engines.voodoo3d.architecture import Architecture


def test_both_structures_make_the_same_pictures() -> None:
    result = official_structure.compare(Architecture(64, 16), views=3, calls=3, samples=16)
    assert [row["view"] for row in result["agreement"]] == [0, 1, 2]
    for row in result["agreement"]:
        assert row["raw_db"] > 60
        assert row["image_db"] > 60


def test_writes_its_figures_and_their_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official_structure.main(views=2, calls=1, samples=12, small=True, out=tmp_path)
    figures = json.loads((tmp_path / "official_structure.json").read_text())
    assert figures["official_calls_measured"] == 1
    assert set(figures["ours"]["wall"]) >= {"enrol (once)", "lift", "march", "super-resolution"}
    assert (tmp_path / "official_structure.png").read_bytes()[:4] == b"\x89PNG"
    assert "at equal output" in capsys.readouterr().out


@pytest.mark.usefixtures("no_gradients", "one_thread")
def test_rome_as_published_makes_the_same_pictures() -> None:
    result = rome.views_against_calls(SMALL, views=3, calls=3)
    assert result["least_db"] == 120  # to the last bit
    assert result["published"]["cpu_s"] > result["published_source_kept"]["cpu_s"] > 0


@pytest.mark.usefixtures("one_thread")
def test_romes_figures_and_their_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["rome", *["--small", "--views", "2", "--calls", "1", "--repeats", "1", "--out"], str(tmp_path)]
    )
    rome.main()
    figures = json.loads((tmp_path / "rome.json").read_text())
    assert figures["driving"]["ratio"] > 0
    assert figures["viewing"]["views"] == 2
    assert (tmp_path / "rome.png").read_bytes()[:4] == b"\x89PNG"
