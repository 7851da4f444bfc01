"""ROME's published files imported: from a folder as people have it to an engine that loads; what is wrong is told in a line."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from engines import catalogue
from engines.contract import WeightsMissing
from engines.options import EngineOptions
from engines.rome import checkpoint, flame_files, linear_checkpoint, manifests
from engines.rome.flame_files import Release
from engines.weights import CheckpointRejected
from server.__main__ import app

ROME, FLAME, DECA, LINEAR = "rome.pth", "generic_model.pkl", "deca_model.tar", "linear_hair.pth"


def cheap(*networks: tuple[str, nn.Module]) -> dict[str, Tensor]:
    """Tensors of the right shapes, each of one number in the file."""
    shapes = {
        f"{part}{name}": value.shape for part, network in networks for name, value in network.state_dict().items()
    }
    return {
        name: torch.full((1,), 0.01).expand(shape) for name, shape in shapes.items() if manifests.COUNTER not in name
    }


def head() -> dict[str, np.ndarray]:
    """A FLAME model in all but its looks."""
    shapes = {"v_template": 3, "shapedirs": (3, 400), "posedirs": (3, 36), "weights": 5}
    arrays = {name: np.zeros((5023, *np.atleast_1d(size))) for name, size in shapes.items()}
    arrays["v_template"] = np.random.default_rng(1).uniform(-0.1, 0.1, (5023, 3))
    return arrays | {"J_regressor": np.full((5, 5023), 1 / 5023), "f": triangles()[:9976].astype(np.uint32)}


def triangles() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 5023, (10006, 3))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything under its official name; a few megabytes, since most numbers are one number."""
    folder: Path = tmp_path_factory.mktemp("published")
    with torch.device("meta"):
        parts, regressors = manifests.networks(), manifests.regressors()
    torch.save(cheap(*((f"{name}.", part) for name, part in parts.items())), folder / ROME)
    torch.save({"E_flame": cheap(("", regressors["deca"])), "E_detail": {"any": torch.zeros(1)}}, folder / DECA)
    torch.save(cheap(("", regressors["linear"])), folder / LINEAR)
    faces = torch.from_numpy(triangles())
    torch.save(faces[None], folder / "faces_v2.pth")
    torch.save(faces[None], folder / "uvfaces_v2.pth")
    torch.save(torch.zeros(1, 5023, 2), folder / "vertex_uvcoords.pth")
    torch.save(torch.zeros(15069, 60), folder / "u_full.pt")
    torch.save(torch.zeros(5023, 3), folder / "mean_deform.pt")
    (folder / FLAME).write_bytes(pickle.dumps(head(), 2))
    (folder / "hair_list.pkl").write_bytes(pickle.dumps(list(range(346)), 2))
    (folder / "neck_list.pkl").write_bytes(pickle.dumps([np.int64(k) for k in range(3380, 3758)], 2))
    uv = np.random.default_rng(3).uniform(0, 1, (5118, 2))
    lines = [f"v {x} {y} {z}" for x, y, z in head()["v_template"]] + [f"vt {u} {v}" for u, v in uv]
    (folder / "head_template.obj").write_text("\n".join([*lines, "f 1/1 2/2 3/3", ""]))
    return folder


@pytest.fixture
def files(published: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(published, tmp_path / "files"))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TELEQUILT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TELEQUILT_SYNTHETIC_WEIGHTS", raising=False)
    return tmp_path / "data" / "weights"


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["weights", *map(str, words)])
    return result.exit_code, result.output


def test_one_command_imports_all_of_it(published: Path, data: Path) -> None:
    with pytest.raises(
        WeightsMissing, match=r"weights import rome\.pth --flame generic_model\.pkl --deca deca_model\.tar"
    ):
        catalogue.load("rome", EngineOptions(data.parent))
    beside = ("--flame", published / FLAME, "--deca", published / DECA, "--linear", published / LINEAR)
    code, said = run("import", published / ROME, *beside)
    assert code == 0, said
    assert "non-commercial" in said
    assert "serve --engine rome-linear" in said
    assert sorted(path.name for path in data.iterdir()) == [
        *("rome-linear.json", "rome-linear.safetensors", "rome.json", "rome.safetensors")
    ]
    note = json.loads((data / "rome.json").read_text())
    assert note["flame"] == Release.FLAME_2020.name
    assert Release.FLAME_2020.value in note["licence"]
    assert {f"{name}_sha256" for name in (ROME, FLAME, DECA)} <= note.keys()
    kept = checkpoint.imported(data, linear=True)
    assert {name.partition(".")[0] for name in kept} == {*manifests.NETWORKS, "flame", "deca", "linear", "basis"}
    assert not any(manifests.COUNTER in name or "E_detail" in name for name in kept)
    code, said = run("list")
    assert said.count("here, ") >= 2
    assert "non-commercial" in said


def test_what_moves_is_what_the_release_moves(published: Path) -> None:
    found = flame_files.read_flame(published / FLAME)
    assert found["movable"].sum() == 346 + 378 - len(flame_files.THROAT)
    assert len(set(flame_files.THROAT)) == 79
    assert {name: tensor.dtype for name, tensor in found.items() if "faces" in name} == {
        "faces": torch.int32,
        "uv_faces": torch.int32,
    }


def test_another_release_of_flame_is_told(files: Path) -> None:
    assert flame_files.release_of(files / FLAME) is Release.FLAME_2020
    other = head()
    other["v_template"] = other["v_template"] + 0.01
    (files / FLAME).write_bytes(pickle.dumps(other, 2))
    assert flame_files.release_of(files / FLAME) is Release.OTHER
    assert "CC BY 4.0" in Release.OTHER.value
    lines = [line for line in (files / "head_template.obj").read_text().splitlines() if line.startswith("vt")]
    (files / "head_template.obj").write_text("\n".join(lines))
    assert flame_files.release_of(files / FLAME) is Release.FLAME_2020  # by its name alone
    assert flame_files.release_of((files / FLAME).rename(files / "flame2023_Open.pkl")) is Release.OTHER


class Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-500])


def hostile(folder: Path) -> None:
    model = {**head(), "more": Runs(f"touch {folder / 'ran'}")}
    (folder / FLAME).write_bytes(pickle.dumps(model, 2))


def another_head(folder: Path) -> None:
    (folder / FLAME).write_bytes(pickle.dumps({**head(), "f": triangles()[1:9977].astype(np.uint32)}, 2))


def without_shapes(folder: Path) -> None:
    (folder / FLAME).write_bytes(pickle.dumps({**head(), "shapedirs": np.zeros((5023, 3, 150))}, 2))


def not_finite(folder: Path) -> None:
    model = head()
    model["v_template"][7, 1] = np.nan
    (folder / FLAME).write_bytes(pickle.dumps(model, 2))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (cut(ROME), "rome.pth cannot be read"),
        (cut(FLAME), "generic_model.pkl cannot be read"),
        (cut(DECA), "deca_model.tar cannot be read"),
        (hostile, "nothing in it was run"),
        (another_head, "not FLAME's head"),
        (without_shapes, "shapedirs is of shape"),
        (not_finite, "not finite"),
        (lambda folder: shutil.copy(folder / LINEAR, folder / ROME), "rome.pth does not fit"),
        (lambda folder: shutil.copy(folder / LINEAR, folder / DECA), "deca_model.tar does not fit"),
        (lambda folder: shutil.copy(folder / "mean_deform.pt", folder / "vertex_uvcoords.pth"), "vertex_uvcoords.pth"),
        (lambda folder: (folder / "neck_list.pkl").write_bytes(pickle.dumps([9999], 2)), "neck_list.pkl"),
        (lambda folder: (folder / "hair_list.pkl").unlink(), "hair_list.pkl"),
        (lambda folder: (folder / "head_template.obj").write_text("vt 0 0\n"), "not DECA's"),
        (lambda folder: (folder / "landmark_embedding.npy").write_bytes(b"\x93NUMPY"), "landmark_embedding.npy"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_leaves_nothing(
    files: Path, data: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(files)
    with pytest.raises((CheckpointRejected, FileNotFoundError)) as refused:
        catalogue.bring_weights(files / ROME, data, beside={"flame": files / FLAME, "deca": files / DECA})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (files / "ran").exists()
    assert not data.exists() or not list(data.iterdir())


def test_a_basis_of_another_shape_is_refused(files: Path, data: Path) -> None:
    torch.save(torch.zeros(15069, 50), files / "u_full.pt")
    with pytest.raises(CheckpointRejected, match=r"u_full\.pt does not fit"):
        linear_checkpoint.bring(files / LINEAR, data)


def test_files_that_an_engine_does_not_take_are_told(files: Path, data: Path) -> None:
    with pytest.raises(CheckpointRejected, match="rome-linear takes no --flame"):
        catalogue.bring_weights(files / LINEAR, data, beside={"flame": files / FLAME})
    code, said = run("import", files / ROME)
    assert code != 0
    assert "--flame generic_model.pkl" in said
