"""Traces: whether anything is left on disk of an avatar that was forgotten: proved by looking, file by file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.recordings import fragments
from server.recordings.archive import mark_of

LEFT_OUT = ("weights", "engines")
"Folders of the data directory that hold networks: gigabytes, that nothing of a portrait goes into."
LOG = re.compile(r"consents\.log(\.\d+)?|forgotten\.json")
"They say that an avatar was forgotten, by a hash of its id, or by the id that opens nothing any more: no trace of a face."
PIECE = 1 << 22


@dataclass(frozen=True)
class Looked:
    """What looking came to."""

    files: int
    "That were looked into."
    found: tuple[str, ...]
    "Those that still hold something of it."


def look(avatar: str, folders: Iterable[Path], more: Sequence[str] = ()) -> Looked:
    """Search every file below `folders` for the avatar's id, the hash by which films name it, and what else is named in `more`.

    Raises OSError where a file cannot be read: then nothing is proved.
    """
    needles = [word.encode() for word in (avatar, mark_of(avatar), *more) if word]
    files, found = 0, []
    for path in dict.fromkeys(_files(folders)):
        files += 1
        if avatar in path.name or avatar in path.parent.name or _holds(path, needles):
            found.append(str(path))
    return Looked(files, tuple(found))


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            ours = path.is_file() and not path.is_symlink() and not LOG.fullmatch(path.name)
            if ours and path.relative_to(folder).parts[0] not in LEFT_OUT:
                yield path.resolve()


def _holds(path: Path, needles: Sequence[bytes]) -> bool:
    if path.suffix == ".mp4":
        return any(needle.decode() in fragments.described(path) for needle in needles)  # its pictures hold no words
    longest, tail = max(map(len, needles)), b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            held = tail + piece
            if any(needle in held for needle in needles):
                return True
            tail = held[-longest:]
    return False
