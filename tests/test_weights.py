"""Checkpoints in: what is accepted, what is refused and in which words, and that nothing is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engines import catalogue, weights
from engines.contract import UnknownEngine, WeightsMissing
from engines.options import EngineOptions
from engines.voodoo3d import checkpoint
from engines.voodoo3d.engine import Voodoo3d
from engines.weights import CheckpointRejected, Manifest, Published

pytest.importorskip("safetensors", reason="weights are kept as safetensors")
MANIFEST = Manifest(
    used={"net.weight": (4, 3), "net.bias": (4,)},
    dead={"old.weight": (9, 9)},
    constant={"axes": torch.eye(3)},
)
PUBLISHED = Published("sample", "sample.pth", "https://example.org/sample", "MIT")


def whole() -> dict[str, Tensor]:
    return {"net.weight": torch.arange(12.0).view(4, 3), "net.bias": torch.ones(4), "old.weight": torch.zeros(9, 9)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def saved(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "sample.pth"
    torch.save(content, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointRejected) as refused:
        weights.bring(path, PUBLISHED, MANIFEST, path.parent / "data" / "weights")
    assert "\n" not in str(refused.value)
    return str(refused.value)


def nothing_left(data: Path) -> bool:
    return not data.exists() or not [file for file in data.rglob("*") if file.is_file()]


@pytest.mark.parametrize("content", [whole(), {"state_dict": whole()}], ids=["raw", "wrapped"])
def test_imports_what_is_used_with_its_origin_written_down(tmp_path: Path, content: Any) -> None:
    path, told = saved(tmp_path, content), []
    place = weights.bring(path, PUBLISHED, MANIFEST, tmp_path / "data" / "weights", lambda *step: told.append(step))
    kept = weights.read(place, MANIFEST)
    assert set(kept) == {"net.weight", "net.bias"}
    assert torch.equal(kept["net.weight"], whole()["net.weight"])
    note = json.loads(weights.note_of(place).read_text())
    assert note["sha256"] == hashlib.sha256(place.read_bytes()).hexdigest()
    assert note["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert note["licence"] == "MIT"
    assert {"reading", "checking", "hashing", "writing"} == {step[0] for step in told}
    assert sorted(file.name for file in place.parent.iterdir()) == ["sample.json", "sample.safetensors"]


def test_the_format_before_torch_1_6_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "sample.pth"
    torch.save(whole(), path, _use_new_zipfile_serialization=False)
    assert weights.bring(path, PUBLISHED, MANIFEST, tmp_path / "data" / "weights").is_file()


def test_names_what_is_missing_unexpected_and_misshapen(tmp_path: Path, data: Path) -> None:
    content = whole() | {"net.weight": torch.zeros(3, 4), "other.gain": torch.zeros(1)}
    del content["net.bias"]
    said = refusal(saved(tmp_path, content))
    assert "1 missing: net.bias" in said
    assert "1 unexpected: other.gain" in said
    assert "net.weight (3, 4) instead of (4, 3)" in said
    assert nothing_left(data)


def test_many_faults_are_counted_not_listed(tmp_path: Path) -> None:
    said = refusal(saved(tmp_path, whole() | {f"more.{k}": torch.zeros(1) for k in range(50)}))
    assert "50 unexpected" in said
    assert "47 more" in said
    assert len(said) < 250


def test_a_constant_that_differs_is_another_network(tmp_path: Path) -> None:
    weights.bring(saved(tmp_path, whole() | {"axes": torch.eye(3)}), PUBLISHED, MANIFEST, tmp_path / "data" / "weights")
    assert "axes" in refusal(saved(tmp_path, whole() | {"axes": 2 * torch.eye(3)}))


def test_values_that_are_not_finite_are_refused(tmp_path: Path, data: Path) -> None:
    content = whole()
    content["net.bias"][2] = torch.nan
    assert "net.bias" in refusal(saved(tmp_path, content))
    assert nothing_left(data)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_truncated_file(tmp_path: Path, data: Path, share: float) -> None:
    path = saved(tmp_path, whole())
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert "damaged" in refusal(path)
    assert nothing_left(data)


class _Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("wrapped", [True, False])
def test_code_in_a_file_is_never_run(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sample.pth"
    if wrapped:
        torch.save({"state_dict": _Malicious()}, path)
    else:
        path.write_bytes(pickle.dumps(_Malicious(), protocol=2))
    assert "sample.pth" in refusal(path)
    assert not (tmp_path / "ran").exists()
    assert nothing_left(data)


@pytest.mark.parametrize(
    "content", [[1, 2], {"state_dict": {"a": 3}}, torch.zeros(3)], ids=["list", "numbers", "tensor"]
)
def test_something_else_entirely(tmp_path: Path, content: Any) -> None:
    assert "not a table of tensors" in refusal(saved(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth"):
        weights.bring(tmp_path / "nowhere.pth", PUBLISHED, MANIFEST, tmp_path / "data" / "weights")


def test_an_engine_without_weights_says_which_file_where_and_how(data: Path) -> None:
    with pytest.raises(WeightsMissing) as missing:
        Voodoo3d(EngineOptions(data))
    said = str(missing.value)
    assert "voodoo3d.pth" in said
    assert str(data / "weights" / "voodoo3d.safetensors") in said
    assert "python -m server weights import voodoo3d.pth" in said


def test_the_published_voodoo3d_is_described() -> None:
    assert checkpoint.PUBLISHED.licence.startswith("MIT")
    assert checkpoint.PUBLISHED.command.endswith(checkpoint.PUBLISHED.file)


def test_the_catalogue_lists_an_engine_without_weights_with_what_it_needs(data: Path) -> None:
    row = next(row for row in catalogue.listing(EngineOptions(data)) if row.name == "voodoo3d")
    assert row.failure is not None
    assert "weights import voodoo3d.pth" in row.failure
    assert "voodoo3d" in [wanted.engine for wanted in catalogue.published()]


def test_a_checkpoint_finds_its_engine_by_name_or_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnknownEngine, match=r"sample\.pth.*voodoo3d"):
        catalogue.bring_weights(saved(tmp_path, whole()), tmp_path)
    with pytest.raises(CheckpointRejected, match="566 missing"):
        catalogue.bring_weights(saved(tmp_path, whole()), tmp_path, "voodoo3d")


def zipped(path: Path, size: int, how: int) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", bytes(size))
    return path


def test_a_zip_that_would_inflate_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    said = refusal(zipped(tmp_path / "sample.pth", 64 << 20, zipfile.ZIP_DEFLATED))
    assert "would unpack to 67 MB" in said
    overlapping = zipped(tmp_path / "sample.pth", 1 << 20, zipfile.ZIP_STORED)
    data = overlapping.read_bytes()
    directory = data.rindex(b"PK\x01\x02")
    entry, end = data[directory : data.rindex(b"PK\x05\x06")], data[data.rindex(b"PK\x05\x06") :]
    size = struct.pack("<HHI", 3, 3, 3 * len(entry))
    overlapping.write_bytes(data[:directory] + entry * 3 + end[:8] + size + end[16:])
    assert "would unpack to 3 MB" in refusal(overlapping)


@pytest.mark.parametrize("name", ["\x1b[2J\x1b]0;owned\x07", "a\nb\rc", "\u202egnp.exe", "x" * 100_000, "\x9b31m"])
def test_names_out_of_a_file_are_shown_without_what_a_terminal_obeys(tmp_path: Path, name: str):
    said = refusal(saved(tmp_path, whole() | {name: torch.zeros(1)}))
    assert said.isprintable()
    assert len(said) < 500
