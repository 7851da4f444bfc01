"""Pickled: arrays out of pickles that nobody vouches for. Runs nothing that a file asks for.

FLAME's models are pickles of Python 2 with chumpy arrays and scipy's sparse matrices. Here those become plain arrays by stand-ins
that only remember; of numpy and torch what rebuilds an array is let through; any other name in a file refuses the whole file.
"""

from __future__ import annotations

import codecs
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from engines.weights import CheckpointRejected


class _Refused(Exception):
    """The file asks for something that is not an array; the message says for what."""


class _Array:
    """In place of numpy's array class, which could be asked for any amount of memory."""


class _Chumpy:
    """In place of a chumpy array: its values, where it holds any of its own."""

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def array(self) -> np.ndarray:
        """What it stands for, as numpy's."""
        values = getattr(self, "state", {}).get("x")
        if not isinstance(values, np.ndarray):
            raise _Refused("a chumpy object without values of its own")
        return values


class _Sparse:
    """In place of scipy.sparse's compressed matrices."""

    by_rows = False

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def array(self) -> np.ndarray:
        state = {name.removeprefix("_"): value for name, value in getattr(self, "state", {}).items()}
        rows, columns = state["shape"]
        if not 0 < rows * columns <= 1 << 24:
            raise _Refused("a sparse matrix of no plausible size")
        across, along = (rows, columns) if self.by_rows else (columns, rows)
        dense = np.zeros((across, along), np.asarray(state["data"]).dtype)
        starts, places = np.asarray(state["indptr"]), np.asarray(state["indices"])
        np.add.at(dense, (np.repeat(np.arange(across), np.diff(starts)), places), state["data"])
        return dense if self.by_rows else dense.T


class _SparseByRows(_Sparse):
    by_rows = True


def _reconstructed(kind: type, base: type, state: Any) -> object:
    """Of copy_reg: how Python 2 pickles an object."""
    if kind not in (_Chumpy, _Sparse, _SparseByRows):
        raise _Refused("an object of a kind that is not an array")
    return kind()


def _empty(kind: type, shape: tuple[int, ...], code: object) -> np.ndarray:
    """Of numpy: an array that its state is put into afterwards; always empty when a writer is honest."""
    if kind is not _Array or tuple(shape) != (0,):
        raise _Refused("an array that is not made as numpy makes one")
    return np.empty((0,), np.int8)


def _from_buffer(buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _scalar(dtype: np.dtype, value: bytes | str = b"") -> object:
    raw = value.encode("latin1") if isinstance(value, str) else value
    if dtype.hasobject:
        raise _Refused("a scalar that is an object")
    return np.frombuffer(raw, dtype=dtype, count=1)[0]


def _encoded(text: str, encoding: str) -> bytes:
    """Of Python 3: how protocol 2 writes bytes."""
    if encoding != "latin1":
        raise _Refused("bytes that are not written as pickles write them")
    return codecs.encode(text, "latin1")


def _storage(raw: bytes) -> Any:
    """Of torch: a pickle within the pickle."""
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: object) -> torch.Tensor:
    return torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())  # type: ignore[attr-defined]


_ARRAYS: dict[tuple[str, str], Any] = {
    ("builtins", "object"): object,
    ("collections", "OrderedDict"): OrderedDict,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("_codecs", "encode"): _encoded,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}


_RENAMED = {"copy_reg": "copyreg", "__builtin__": "builtins"}
"Modules of Python 2."


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        top, _, _ = module.partition(".")
        if top == "chumpy":
            return _Chumpy
        if top == "scipy" and name in ("csc_matrix", "csr_matrix", "csc_array", "csr_array"):
            return _SparseByRows if name.startswith("csr") else _Sparse
        wanted = _RENAMED.get(module, module.replace("numpy._core", "numpy.core")), name
        if wanted not in _ARRAYS:
            raise _Refused(f"it asks for {module}.{name}, which is not an array")
        return _ARRAYS[wanted]


def read(path: Path) -> Any:
    """What a pickle holds: dicts, lists, numbers, text and arrays. Raises weights.CheckpointRejected or FileNotFoundError."""
    return _read(path, lambda file: plain(_unpickled(file)))


def read_npy(path: Path) -> Any:
    """What a .npy file holds; where that is objects, as `read` lets them in. Raises as `read`."""
    return _read(path, _npy)


def _read(path: Path, how: Callable[[IO[bytes]], Any]) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            return how(file)
    except _Refused as failure:
        raise CheckpointRejected(f"{path.name} is refused: {failure}; nothing in it was run") from None
    except Exception as failure:  # a damaged file may break anything
        raise CheckpointRejected(
            f"{path.name} cannot be read: it is truncated, damaged or of another format ({type(failure).__name__})"
        ) from None


def _unpickled(file: IO[bytes]) -> Any:
    return _Unpickler(file, encoding="latin1").load()


def _npy(file: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = header(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.load(file, allow_pickle=False)
    found = plain(_unpickled(file))
    return found.item() if isinstance(found, np.ndarray) and found.shape == () else found


def plain(value: Any) -> Any:
    """`value` with every stand-in and tensor within it as an array."""
    if isinstance(value, _Chumpy | _Sparse):
        return plain(value.array())
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(each) for each in value)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        inside = np.empty(value.shape, object)
        for place in np.ndindex(value.shape):
            inside[place] = plain(value[place])
        return inside
    return value
