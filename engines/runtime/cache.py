"""Cache: engines that were built ahead, on disk. What is not exactly what was asked for, whole, is never given out.

An entry is a note (JSON: the key it was built for, and size and sha256 of the engine) and the engine itself, whose name holds
its hash. Both are written beside their places and moved there, the note last, so an entry is there whole or not at all. The hash
finds damage and half-written files; it is no signature: whoever may write this folder may run code as its user.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path


class NotKept(LookupError):
    """There is no engine to be had for a key; the message says why, for instance which driver there was before."""


@dataclass(frozen=True)
class Key:
    """All that an engine depends on."""

    component: str
    gpu: str
    capability: str
    driver: str
    tensorrt: str
    torch_tensorrt: str
    torch: str
    precision: str
    shapes: str
    program: str
    "sha256 of the exported program's code."
    weights: str
    "sha256 of every tensor it holds."

    @property
    def name(self) -> str:
        """What its file is called, without an ending."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Entry:
    """What a note says."""

    key: Key
    sha256: str
    size: int
    "Bytes."
    built: str
    "When, ISO 8601."

    @property
    def file(self) -> str:
        """The engine itself."""
        return f"{self.key.name}-{self.sha256[:16]}.engine"


class Standing(Enum):
    """What an entry is worth on this machine, today."""

    READY = "ready"
    STALE = "stale"
    "For this GPU, but for another network, TensorRT or driver than it would run with now."
    FOREIGN = "foreign"
    "For another GPU."
    DAMAGED = "damaged"


class Cache:
    """A folder of entries; several processes may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: Key) -> bytes:
        """The engine built for exactly `key`, checked. Raises NotKept."""
        note = self.folder / f"{key.name}.json"
        if not note.is_file():
            raise NotKept(self._nearest(key))
        entry = _entry(note)
        if entry is None or entry.key != key:
            raise NotKept(f"the note {note.name} is damaged")
        return self._whole(entry)

    def standing(self, entry: Entry, wanted: Collection[Key]) -> tuple[Standing, str]:
        """How an entry stands where `wanted` are the engines of use, and why; reads all of it."""
        try:
            self._whole(entry)
        except NotKept as fault:
            return Standing.DAMAGED, str(fault)
        if entry.key in wanted:
            return Standing.READY, ""
        differences = [_differences(entry.key, key) for key in wanted if key.component == entry.key.component]
        if not differences:
            return Standing.FOREIGN, "nothing on this machine asks for it"
        fewest = min(differences, key=len)
        standing = Standing.FOREIGN if {"gpu", "capability"} & set(fewest) else Standing.STALE
        return standing, f"built for another {', '.join(fewest)}"

    def write(self, key: Key, engine: bytes) -> Entry:
        """Keep `engine` for `key`, in place of what was kept for it before. Raises OSError."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(key, hashlib.sha256(engine).hexdigest(), len(engine), now)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            _place(self.folder / entry.file, engine)
            _place(self.folder / f"{key.name}.json", json.dumps(asdict(entry), indent=1).encode() + b"\n")
            for other in self.folder.glob(f"{key.name}-*.engine"):
                if other.name != entry.file:
                    other.unlink(missing_ok=True)
        return entry

    def drop(self, key: Key) -> None:
        """Forget what is kept for `key`, if anything is."""
        if self.folder.is_dir():
            with self._alone():
                for part in (self.folder / f"{key.name}.json", *self.folder.glob(f"{key.name}-*.engine")):
                    part.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Every readable note's, newest first."""
        found = [_entry(note) for note in self.folder.glob("*.json")]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.built, reverse=True)

    def _whole(self, entry: Entry) -> bytes:
        try:
            engine = (self.folder / entry.file).read_bytes()
        except OSError as missing:
            raise NotKept(f"the engine {entry.file} cannot be read: {missing.strerror}") from None
        if len(engine) != entry.size:
            raise NotKept(f"the engine {entry.file} has {len(engine)} of {entry.size} bytes")
        if hashlib.sha256(engine).hexdigest() != entry.sha256:
            raise NotKept(f"the engine {entry.file} is not what was written")
        return engine

    def _nearest(self, key: Key) -> str:
        """Why nothing fits: how the likeliest entry of this component differs."""
        differences = [_differences(entry.key, key) for entry in self.entries() if entry.key.component == key.component]
        if not differences:
            return f"no engine was built for {key.component}"
        return f"the engine built for {key.component} was for another {', '.join(min(differences, key=len))}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _differences(one: Key, other: Key) -> list[str]:
    """Names of the parts in which they differ."""
    return [part.name for part in fields(Key) if getattr(one, part.name) != getattr(other, part.name)]


def _entry(note: Path) -> Entry | None:
    try:
        said = json.loads(note.read_bytes())
        entry = Entry(Key(**said["key"]), said["sha256"], said["size"], said["built"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    parts = (*asdict(entry.key).values(), entry.sha256, entry.built)
    well_formed = all(isinstance(part, str) for part in parts) and isinstance(entry.size, int)
    # the hash is part of a file's name: anything but a hash could lead out of the folder
    return entry if well_formed and len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef") else None


def _place(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
