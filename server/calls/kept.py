"""Kept: on disk, what it takes for calls to go on after this process has died. Gone with the calls' end, and with the server's."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

FILE = "calls.json"
OUTDATED_SECONDS = 120.0
"Whoever was there has given up by then."


class Kept:
    """Of one data folder. Not of an event loop: disks may be slow."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._written = ""

    def knows(self, calls: dict[str, Any]) -> bool:
        """Whether there is nothing to write: no call goes on, and of none is anything kept."""
        return not calls and not self._written

    def write(self, calls: dict[str, Any]) -> None:
        """What is written already is not written again. Whole or not at all, for this user alone. Raises OSError."""
        said = json.dumps(calls)
        if said == self._written:
            return
        if not calls:
            self._file.unlink(missing_ok=True)
            said = ""
        else:
            part = self._file.with_suffix(".part")
            with open(part, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(said)
            os.replace(part, self._file)
        self._written = said

    def read(self) -> dict[str, Any]:
        """Id -> memory, of calls that a process that died not long ago had; empty where none did. The file is gone then."""
        try:
            fresh = time.time() - self._file.stat().st_mtime < OUTDATED_SECONDS
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            found, fresh = {}, False
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        return found if fresh and isinstance(found, dict) else {}
