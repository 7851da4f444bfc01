"""Consents: a log of consent given and withdrawn, avatars forgotten, marks switched off. Lines are added and never changed.

Each line holds the hash of the one before, so that a line which was changed or taken out is found out. An avatar goes by a hash of
its id: the log says nothing of whom it showed, and stays when all else of it is gone.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

LOG = "consents.log"
MOST_BYTES = 1 << 20
"Of one file: about 5000 lines. Then another one is begun; the older ones stay, numbered, the highest the oldest."
GIVEN, WITHDRAWN, FORGOTTEN, MARK_OFF = "given", "withdrawn", "forgotten", "mark-off"
FIRST = "0" * 64
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Entry:
    """One line."""

    at: float
    "Seconds since 1970."
    event: str
    facts: dict[str, Any]
    linked: bool
    "Whether it follows the line before it; else one was changed, or is lacking."


class Consents:
    """May be used from any thread, and by several servers at once on one folder."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder, self._most = folder, most_bytes

    def add(self, event: str, **facts: Any) -> None:
        """Never raises: what it is about has happened. Where it cannot be written, our own log says so."""
        try:
            self._add(event, facts)
        except OSError as failure:
            log.error("the log of consent cannot be written", folder=str(self.folder), cause=str(failure), of=event)

    def entries(self) -> Iterator[Entry]:
        """All, the oldest first. A line that cannot be read is told as one that is not linked."""
        before = FIRST
        for path in self._files():
            with suppress(FileNotFoundError):
                for line in path.read_bytes().splitlines():
                    yield _entry(line, before)
                    before = hashlib.sha256(line).hexdigest()

    def _add(self, event: str, facts: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self.folder / ".lock", "w", opener=_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self._last()
            self._rotate()
            line = json.dumps({"at": round(time.time(), 3), "event": event, **facts, "before": before})
            _append(self.folder / LOG, line.encode() + b"\n")

    def _last(self) -> str:
        """The hash of the newest line."""
        for path in reversed(self._files()):
            if lines := path.read_bytes().splitlines():
                return hashlib.sha256(lines[-1]).hexdigest()
        return FIRST

    def _rotate(self) -> None:
        newest = self.folder / LOG
        if newest.is_file() and newest.stat().st_size >= self._most:
            for path in self._files():  # the oldest first: each makes room for the next
                number = int(path.suffix[1:]) if path.name != LOG else 0
                path.rename(self.folder / f"{LOG}.{number + 1}")

    def _files(self) -> list[Path]:
        """The oldest first."""
        older = [path for path in self.folder.glob(f"{LOG}.*") if path.suffix[1:].isdigit()]
        newest = [self.folder / LOG] if (self.folder / LOG).is_file() else []
        return [*sorted(older, key=lambda path: -int(path.suffix[1:])), *newest]


def _append(path: Path, line: bytes) -> None:
    """Whole or not at all: half a line, of a full disk or of a server that was killed, would take the next one along. Raises OSError."""
    with open(path, "a+b", buffering=0, opener=_private) as file:
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            line = b"\n" + line
        try:
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(end)
            raise


def _entry(line: bytes, before: str) -> Entry:
    try:
        facts = json.loads(line)
        at, event, said = float(facts.pop("at")), str(facts.pop("event")), facts.pop("before")
    except (ValueError, TypeError, KeyError, AttributeError):
        return Entry(0.0, "unreadable", {}, False)
    return Entry(at, event, facts, said == before)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
