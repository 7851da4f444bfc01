"""Weights: published checkpoints in, checked tensors out. Knows files and tensors; which engine wants what is the engine's.

A checkpoint is untrusted: pickles are read with `weights_only=True` alone, every tensor is held against a manifest, and what
is refused leaves one line and no file.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Progress = Callable[[str, int, int], None]
"Told (what is being done, done, of how many) as work goes on."

NAMES_SHOWN = 3
"Tensor names that an error spells out of each kind; the rest are counted."
NAME_LENGTH = 120
"Characters of one name that are shown."
HASH_BLOCK = 1 << 24


class CheckpointRejected(ValueError):
    """The operator's file is not the checkpoint that was asked for; the message is one line that says in what."""


@dataclass(frozen=True)
class Manifest:
    """What a published checkpoint holds."""

    used: Mapping[str, tuple[int, ...]]
    "Shape by name of what the network needs; kept."
    dead: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    "Stored by the authors, never read by what they run; may be there, is dropped."
    constant: Mapping[str, Tensor] = field(default_factory=dict)
    "Derivable buffers and the values that our code assumes; may be there, must then agree, are dropped."

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape by name of all that a file may hold."""
        return {**self.used, **self.dead, **{name: tuple(value.shape) for name, value in self.constant.items()}}


@dataclass(frozen=True)
class Published:
    """A checkpoint as its engine wants it: shown by `weights list`, written down beside the imported file."""

    engine: str
    file: str
    "The name it is published under."
    where: str
    "Where people get it."
    licence: str
    with_files: str = ""
    "Options that name the other files it needs, as people write them."
    takes: tuple[str, ...] = ()
    "By which names other files may come with it."

    def place(self, folder: Path) -> Path:
        """Where the imported file lies, `folder` being where weights are kept (EngineOptions.weights)."""
        return folder / f"{self.engine}.safetensors"

    @property
    def command(self) -> str:
        """The command that imports it."""
        return f"python -m server weights import {self.file} {self.with_files}".rstrip()


def read(path: Path, manifest: Manifest, entry: str = "state_dict") -> dict[str, Tensor]:
    """The used tensors of a checkpoint file, checked against `manifest`; of those under `entry` where there is such a table.

    Raises CheckpointRejected or FileNotFoundError.
    """
    tensors = _opened(path, entry)
    _check(path, tensors, manifest)
    return {name: tensors[name] for name in manifest.used}


def bring(
    source: Path, published: Published, manifest: Manifest, folder: Path, progress: Progress = lambda *_: None
) -> Path:
    """Import `source`: check it, and write what is used to its place in `folder` with a note of where it came from.

    Raises CheckpointRejected or OSError, and then leaves nothing behind.
    """
    progress("reading", 0, 1)
    tensors = finite(source, read(source, manifest), progress)
    note = {"source_sha256": sha256(source, progress), "licence": published.licence}
    return keep(tensors, note, published, folder, progress)


def finite(source: Path, tensors: Mapping[str, Tensor], progress: Progress = lambda *_: None) -> dict[str, Tensor]:
    """`tensors` of `source` in float32, or as the whole numbers they are. Raises CheckpointRejected."""
    kept: dict[str, Tensor] = {}
    for done, (name, tensor) in enumerate(tensors.items()):
        if not torch.isfinite(tensor).all():
            raise CheckpointRejected(f"{source.name}: {name} holds values that are not finite")
        kept[name] = (tensor.float() if tensor.is_floating_point() else tensor).contiguous()
        progress("checking", done + 1, len(tensors))
    return kept


def keep(
    tensors: dict[str, Tensor],
    note: dict[str, str],
    published: Published,
    folder: Path,
    progress: Progress = lambda *_: None,
) -> Path:
    """Write `tensors` to their place in `folder`, with `note` in the file and beside it: whole, or not at all. Raises OSError."""
    from safetensors.torch import save_file

    place, note = published.place(folder), note | {"published_at": published.where}
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=place.parent) as scratch:
        written = Path(scratch) / place.name
        progress("writing", 0, 1)
        save_file(tensors, written, metadata=note)
        whole = note | {
            "sha256": sha256(written, progress),
            "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        beside = Path(scratch) / "note.json"
        beside.write_text(json.dumps(whole, indent=1) + "\n")
        for part in (written, beside):
            with part.open("rb") as handle:
                os.fsync(handle.fileno())
        beside.replace(note_of(place))
        written.replace(place)
    progress("writing", 1, 1)
    return place


def note_of(place: Path) -> Path:
    """The file beside imported weights that says where they came from, under which licence, and their sha256."""
    return place.with_suffix(".json")


def read_tensor(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The one tensor that a file holds, of `shape`. Raises CheckpointRejected or FileNotFoundError."""
    tensor = _loaded(path)
    if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
        found = f"a tensor {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else "something else"
        raise CheckpointRejected(f"{path.name} does not fit: it holds {found} instead of a tensor {shape}")
    return tensor.detach()


def _loaded(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    _check_sizes(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # mapped, so that dead weights are never read; the format before torch 1.6 cannot be
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as failure:
        raise CheckpointRejected(f"{path.name} cannot be read as a checkpoint: {_reason(failure)}") from None


def _check_sizes(path: Path) -> None:
    """Raises CheckpointRejected where a zip would be more than it is: torch stores tensors as they are, and nothing twice."""
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(entry.file_size for entry in archive.infolist())
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return  # no zip: what it is then is found out by who reads it
    if packed or inflated > path.stat().st_size:
        raise CheckpointRejected(
            f"{path.name} would unpack to {inflated / 1e6:.0f} MB, which no checkpoint does; fetch the published file"
        )


def _opened(path: Path, entry: str) -> dict[str, Tensor]:
    content = _loaded(path)
    if isinstance(content, dict) and isinstance(content.get(entry), dict):
        content = content[entry]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointRejected(f"{path.name} is not a table of tensors by name")
    return content


def _reason(failure: Exception) -> str:
    text = str(failure)
    if "weights_only" in text or "Unsupported" in text:
        return "it holds code or objects besides tensors, which are never run here"
    if any(word in text for word in ("zip", "archive", "EOF", "truncated", "incomplete", "Ran out of input")):
        return "it is truncated or damaged; fetch it again"
    return f"{type(failure).__name__}, so it is damaged or of another format"


def _check(path: Path, tensors: dict[str, Tensor], manifest: Manifest) -> None:
    shapes = manifest.shapes()
    missing = [name for name in manifest.used if name not in tensors]
    unexpected = [str(name) for name in tensors if name not in shapes]
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {shapes[name]}"
        for name, tensor in tensors.items()
        if name in shapes and tuple(tensor.shape) != shapes[name]
    ]
    mistyped = [
        f"{name} ({tensors[name].dtype})"
        for name in manifest.used
        if name in tensors and not tensors[name].is_floating_point()
    ]
    other = [
        name
        for name, value in manifest.constant.items()
        if name in tensors and name not in misshapen and not _agrees(tensors[name], value)
    ]
    kinds = {
        "missing": missing,
        "unexpected": unexpected,
        "misshapen": misshapen,
        "not floating point": mistyped,
        "of another value than this engine is built for": other,
    }
    faults = [f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds.items() if names]
    if faults:
        raise CheckpointRejected(f"{path.name} does not fit: {'; '.join(faults)}")


def _agrees(tensor: Tensor, value: Tensor) -> bool:
    return tensor.shape == value.shape and torch.allclose(tensor.float(), value, rtol=0, atol=1e-5)


def _some(names: list[str]) -> str:
    rest = len(names) - NAMES_SHOWN
    return ", ".join(map(_printable, names[:NAMES_SHOWN])) + (f" and {rest} more" if rest > 0 else "")


def _printable(name: str) -> str:
    """Of a file's own words: no line, no escape sequence that a terminal would obey, and no page of it."""
    shown = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name)
    return shown if len(shown) <= NAME_LENGTH else shown[: NAME_LENGTH - 1] + "…"


def sha256(path: Path, progress: Progress) -> str:
    """Of the file's bytes, in hexadecimal; `progress` hears of bytes read. Raises OSError."""
    digest, size = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
            progress("hashing", min(file.tell(), size), size)
    return digest.hexdigest()
