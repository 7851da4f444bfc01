"""`engines list`, `build` and `verify` as an operator meets them, on a machine without a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from engines import catalogue
from engines.runtime.cache import Cache
from server import __main__ as command_line
from server.commands.engines import app
from server.settings import Settings
from tests.curves import KEY, Trial

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without a GPU is told")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("TELEQUILT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for variable in ("TELEQUILT_RUNTIME", "TELEQUILT_PRECISION", "TELEQUILT_SYNTHETIC_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)
    return Cache(tmp_path / "engines")


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, words)
    return done.exit_code, done.output


class TestList:
    def test_an_empty_folder_is_explained(self, cache: Cache) -> None:
        code, said = run("list")
        assert code == 0
        assert "the processor can have: eager, graphs" in said
        assert str(cache.folder) in said
        assert "python -m server engines verify --small" in said

    def test_each_entry_says_what_it_is_worth(self, cache: Cache) -> None:
        cache.write(replace(KEY, component="lift"), b"whole")
        broken = cache.write(replace(KEY, component="expression"), b"whole")
        (cache.folder / broken.file).write_bytes(b"")
        code, said = run("list")
        assert code == 0
        assert next(line for line in said.splitlines() if line.startswith("lift")).count("foreign") == 1
        assert "damaged" in next(line for line in said.splitlines() if line.startswith("expression"))
        assert "has 0 of 5 bytes" in said


def test_building_without_a_gpu_says_why_not_and_what_can_be_done() -> None:
    code, said = run("build")
    assert code == 2
    assert "no CUDA device" in said
    assert "engines verify --small" in said


class TestVerify:
    def test_agreement_ends_well(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalogue, "on_trial", lambda *_: Trial())
        code, said = run("verify", "--small")
        assert code == 0
        assert "the processor" in said
        assert said.count("✓") == 4
        assert "all 4 agree" in said

    def test_disagreement_is_named_and_ends_with_1(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalogue, "on_trial", lambda *_: Trial(error=0.1))
        code, said = run("verify", "--small")
        assert code == 1
        assert said.count("✗") == 2
        assert "2 of 4 disagree with eager" in said
        assert "curve by eager in float16" in said

    def test_the_real_networks_small(self) -> None:
        code, said = run("verify", "--small", "--runtime", "eager", "--precision", "bfloat16")
        assert code == 0, said
        for component in ("lift", "expression", "march of 24", "shared march of 24", "superresolution"):
            assert component in said
        assert "exactly" in said  # eager against itself

    def test_missing_weights_are_invented_aloud(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(catalogue, "on_trial", lambda *_: Trial())
        monkeypatch.setattr(catalogue, "_loaded", {})
        code, said = run("verify", "--precision", "float32")
        assert code == 0
        assert "weights import voodoo3d.pth" in said
        assert "invented weights are taken" in said

    @pytest.mark.parametrize(
        ("words", "answer"),
        [
            (["--runtime", "fast"], "auto, trt, graphs, eager"),
            (["--precision", "int8"], "auto, float32, bfloat16, float16"),
            (["--engine", "relief"], "voodoo3d"),
        ],
    )
    def test_unknown_names_are_answered_with_the_known(self, words: list[str], answer: str) -> None:
        code, said = run("verify", "--small", *words)
        assert code == 2
        assert answer in said


class TestChoosing:
    """--runtime and --precision of `serve`, and the variables: checked before anything starts."""

    @pytest.mark.parametrize(
        ("words", "answer"), [(["--runtime", "fast"], "graphs"), (["--precision", "int8"], "bfloat16")]
    )
    @pytest.mark.parametrize("command", [["serve"], ["render", "--portrait", "a", "--driver", "b", "--out", "c"]])
    def test_a_flag_that_does_not_exist(self, command: list[str], words: list[str], answer: str) -> None:
        done = CliRunner().invoke(command_line.app, [*command, *words])
        assert done.exit_code == 2
        assert answer in done.output

    @pytest.mark.parametrize("variable", ["TELEQUILT_RUNTIME", "TELEQUILT_PRECISION"])
    def test_a_variable_that_does_not_exist(self, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
        monkeypatch.setenv(variable, "nonsense")
        with pytest.raises(ValueError, match="is called 'nonsense'; there are: auto"):
            Settings()

    def test_what_an_operator_chose(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert (Settings().runtime, Settings().precision) == ("auto", "auto")
        monkeypatch.setenv("TELEQUILT_RUNTIME", "graphs")
        assert Settings(precision="float16").model_dump(include={"runtime", "precision"}) == {
            "runtime": "graphs",
            "precision": "float16",
        }
