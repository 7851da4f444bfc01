"""Pickles that nobody vouches for: arrays come out of them as FLAME's files hold them, and nothing that they ask for is run."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from engines import pickled
from engines.weights import CheckpointRejected


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> type:
    """A class that is pickled as chumpy's arrays are."""
    array = type("Ch", (), {"__module__": "chumpy.ch"})
    module = ModuleType("chumpy.ch")
    module.Ch = array  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "chumpy", ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    return array


def written(folder: Path, value: Any, protocol: int = 2) -> Path:
    path = folder / "file.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_a_model_comes_out_as_plain_arrays(tmp_path: Path, chumpy: type, protocol: int) -> None:
    numbers = np.arange(12.0).reshape(3, 4)
    thin = np.array([[0, 2, 0], [1, 0, 3.0]])
    held = chumpy()
    held.x, held.dterms = numbers, None
    model = {
        "template": held,
        "columns": scipy.sparse.csc_matrix(thin),
        "rows": scipy.sparse.csr_matrix(thin),
        "faces": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "turned": np.asfortranarray(numbers),
        "ids": [np.int64(7), 3],
        "said": "text",
    }
    found = pickled.read(written(tmp_path, model, protocol))
    assert "chumpy" not in str({type(value).__module__ for value in found.values()})
    np.testing.assert_array_equal(found["template"], numbers)
    np.testing.assert_array_equal(found["columns"], thin)
    np.testing.assert_array_equal(found["rows"], thin)
    np.testing.assert_array_equal(found["turned"], numbers)
    np.testing.assert_array_equal(found["faces"], model["faces"])
    assert (found["ids"], found["said"]) == ([7, 3], "text")


def test_a_pickle_of_python_two_is_read(tmp_path: Path) -> None:
    """Protocol 2 as Python 2 wrote it: text for bytes, and objects by copy_reg."""
    path = tmp_path / "two.pkl"
    path.write_bytes(
        b"\x80\x02}U\x01accopy_reg\n_reconstructor\ncchumpy.ch\nCh\nc__builtin__\nobject\nN\x87R"
        b"}U\x01xcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x02\x80\xfftbsbs."
    )
    np.testing.assert_array_equal(pickled.read(path)["a"], np.array([128, 255], np.uint8))


def test_an_object_array_with_tensors_is_read(tmp_path: Path) -> None:
    held = {"faces": np.arange(5), "places": torch.arange(6.0).view(2, 3)}
    np.save(tmp_path / "held.npy", np.array(held, dtype=object), allow_pickle=True)
    found = pickled.read_npy(tmp_path / "held.npy")
    np.testing.assert_array_equal(found["faces"], held["faces"])
    np.testing.assert_array_equal(found["places"], held["places"].numpy())
    np.save(tmp_path / "plain.npy", np.arange(4))
    np.testing.assert_array_equal(pickled.read_npy(tmp_path / "plain.npy"), np.arange(4))


READS = {"pkl": pickled.read, "npy": pickled.read_npy}


class Runs:
    """A pickle that runs a command when it is opened."""

    def __init__(self, call: Any, *given: Any) -> None:
        self.call, self.given = call, given

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call, self.given


@pytest.mark.parametrize(
    ("call", "given"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open('{}', 'w')",)),
        (np.load, ("{}",)),
        (torch.load, ("{}",)),
        (np.ndarray, ((1 << 50,), "O")),
        (bytearray, (1 << 50,)),
    ],
)
@pytest.mark.parametrize("kind", READS)
def test_what_asks_for_anything_else_is_refused_in_a_line(tmp_path: Path, call: Any, given: Any, kind: str) -> None:
    mark = tmp_path / "mark"
    hostile = Runs(call, *(each.format(mark) if isinstance(each, str) else each for each in given))
    written(tmp_path, {"v_template": np.zeros(3), "more": hostile})
    np.save(tmp_path / "file.npy", np.array({"more": hostile}, dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointRejected) as refused:
        READS[kind](tmp_path / f"file.{kind}")
    assert not mark.exists()
    assert "\n" not in str(refused.value)
    assert f"file.{kind}" in str(refused.value)


def test_a_pickle_within_a_pickle_is_no_way_around(tmp_path: Path) -> None:
    inner = pickle.dumps(Runs(os.system, f"touch {tmp_path / 'mark'}"))
    hostile = Runs(torch.storage._load_from_bytes, inner)
    with pytest.raises(CheckpointRejected):
        pickled.read(written(tmp_path, hostile))
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("keep", [0, 1, 20, 200])
def test_a_truncated_file_is_told(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path, {"v_template": np.arange(99.0)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointRejected, match=r"file\.pkl"):
        pickled.read(path)


def test_arrays_that_lie_about_their_size_are_refused(tmp_path: Path) -> None:
    sparse = scipy.sparse.csc_matrix(np.eye(2))
    sparse._shape = (1 << 30, 1 << 30)
    with pytest.raises(CheckpointRejected):
        pickled.read(written(tmp_path, sparse))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        pickled.read(tmp_path / "none.pkl")
