"""Files: heads that somebody brings, as samples of their surfaces; and NPHM's layout, converted.

A folder holds one `.npz` a head, arrays float32 in canonical space (1 unit = 250 mm, y up, the face towards +z, scaled as FLAME's
metres times 4): `face` [n, 6] and `rest` [n, 6], places and normals at rest; and for each expression `pairs_NAME` [n, 6], places at
rest and where it carries them. What lacks a pair is trained on for identities alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from engines.parametric.train.normal_maps import Looks

Progress = Callable[[str, int, int], None]
SPLITS = 4
"Of NPHM's 200 files of samples a scan that are taken: 100,000 points of each."
TAKEN = 25_000
"Points of each."


class DataRejected(ValueError):
    """The operator's folder holds no heads to learn from; the message says what was looked for."""


class Samples:
    """Heads of a folder, mapped rather than read where they are large."""

    def __init__(self, folder: Path) -> None:
        """Raises DataRejected or FileNotFoundError."""
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            raise DataRejected(f"{folder} holds no .npz files of heads; NPHM's data: python -m server train --convert")
        self.names = [path.stem for path in paths]
        self._heads = [_checked(path) for path in paths]
        common = set.union(*({name for name in head if name.startswith("pairs_")} for head in self._heads))
        self.expressions = [name.removeprefix("pairs_") for name in sorted(common)] or ["rest"]

    @property
    def people(self) -> int:
        """How many heads there are."""
        return len(self._heads)

    def surface(self, who: np.ndarray, face: int, rest: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Heads.surface: points and unit normals, each [B, face + rest, 3] float32."""
        rows = [
            np.concatenate([_some(self._heads[k]["face"], face, rng), _some(self._heads[k]["rest"], rest, rng)])
            for k in who
        ]
        both = np.stack(rows)
        return both[..., :3], both[..., 3:]

    def codes(self, numbers: int) -> np.ndarray | None:
        """None instead of [P, numbers]: what has no registration starts from noise."""
        return None

    def normal_maps(self, who: np.ndarray, looks: Looks) -> Tensor:
        """Raises DataRejected: [B, 3, H, H] maps need meshes."""
        raise DataRejected("samples have no normal maps: train without --adversary, or on meshes")

    def pairs(
        self, who: np.ndarray, which: np.ndarray, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heads.pairs [B, count, 3] twice. A head that was not seen with an expression is shown at rest, where nothing moves."""
        rows = []
        for k, x in zip(who, which, strict=True):
            head = self._heads[k]
            table = head.get(f"pairs_{self.expressions[x]}")
            still = np.concatenate([head["face"][:, :3], head["face"][:, :3]], 1)
            rows.append(_some(still if table is None else table, count, rng))
        both = np.stack(rows)
        return both[..., :3], both[..., 3:]


def convert(source: Path, out: Path, progress: Progress = lambda *_: None) -> int:
    """NPHM's training files (arXiv 2212.02761) to ours: `{person}/{expression}_{k}_face.npy`, `_non_face.npy` and
    `{person}/{expression}/corresp_{k}.npy`. Returns how many heads were written. Raises DataRejected, FileNotFoundError."""
    if not source.is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    people = [path for path in sorted(source.iterdir()) if path.is_dir() and re.fullmatch(r"\d+", path.name)]
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for k, person in enumerate(people):
        arrays = _person(person)
        if arrays:
            np.savez(out / f"{person.name}.npz", **arrays)
            written += 1
        progress("converting", k + 1, len(people))
    if not written:
        raise DataRejected(f"{source} holds no person with *_face.npy and *_non_face.npy files, as NPHM's data have")
    return written


def _person(folder: Path) -> dict[str, np.ndarray]:
    faces, others = sorted(folder.glob("*_*_face.npy")), sorted(folder.glob("*_non_face.npy"))
    faces = [path for path in faces if not path.name.endswith("_non_face.npy")]
    if not faces or not others:
        return {}
    arrays = {"face": _joined(faces), "rest": _joined(others)}
    for expression in sorted(path for path in folder.iterdir() if path.is_dir()):
        splits = sorted(expression.glob("corresp_*.npy"))
        if splits:
            arrays[f"pairs_{expression.name}"] = _joined(splits)
    return arrays


def _joined(paths: list[Path]) -> np.ndarray:
    """[n, 6] float32 of the files' first rows."""
    return np.concatenate([np.load(path, mmap_mode="r")[:TAKEN, :6].astype(np.float32) for path in paths[:SPLITS]])


def _checked(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            arrays = {name: file[name].astype(np.float32) for name in file.files}
    except Exception as failure:
        raise DataRejected(f"{path.name} cannot be read: {type(failure).__name__}: {failure}") from None
    for name in ("face", "rest"):
        table = arrays.get(name)
        if table is None or table.ndim != 2 or table.shape[1] != 6 or not len(table) or not np.isfinite(table).all():
            raise DataRejected(f"{path.name}: {name!r} is no finite [n, 6] array of places and normals")
    extent = float(np.ptp(arrays["rest"][:, :3], axis=0).max())
    if not 0.2 < extent < 4:
        raise DataRejected(
            f"{path.name} spans {extent:.3g} units of 250 mm, which is no head; scale it to FLAME's metres times 4"
        )
    return arrays


def _some(table: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, C] rows of `table` [n, C] at random."""
    return table[rng.integers(0, len(table), count)]
