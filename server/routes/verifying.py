"""Verifying: what a file that somebody brings says of itself, looked into in a process of its own, and deleted again."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from server import workers
from server.problems import Problem, busy
from server.provenance.reading import examine
from server.routes.quotas import client_of, is_own
from server.settings import Settings

WAITING = 4
"Files that may come in while one is looked into."
MOST_OF_ONE = 2
"Of those, by one client: a large file may come in slowly, and five slow ones would keep everybody else out for hours."
PIECE = 1 << 20
"Bytes that are written at once."
LEFT_SECONDS = 3600.0
"A file that is older than this is of a server that was killed."
PREFIX = ".looked-into-"


def router(settings: Settings) -> APIRouter:
    routes, turn, inside = APIRouter(prefix="/api"), asyncio.Semaphore(1), Counter[str]()
    ours: set[Path] = set()
    "Files that are coming in now, whatever their age is by a clock that may have been set anew."

    @asynccontextmanager
    async def place(who: str) -> AsyncIterator[None]:
        if inside.total() > WAITING:
            raise busy("too-many-files", f"{WAITING} files are waiting already", 5, limit=WAITING)
        if inside[who] >= MOST_OF_ONE and not is_own(who, settings.private):
            detail = f"{MOST_OF_ONE} files of yours are being looked into; ask again when one is done"
            raise busy("too-many-files", detail, 5, limit=MOST_OF_ONE)
        inside[who] += 1
        try:
            yield
        finally:
            inside[who] -= 1
            if not inside[who]:
                del inside[who]

    @routes.post("/verify")
    async def verify(request: Request) -> dict[str, Any]:
        async with place(client_of(request)):
            path = await workers.slow(_new_file, settings, ours)
            try:
                await _take(request, path, settings)
                async with turn:
                    found = await workers.slow(lambda: examine(path, settings.keys.anchors()))
            finally:
                await workers.slow(path.unlink, missing_ok=True)
                ours.discard(path)
        return found.told()

    return routes


def _new_file(settings: Settings, ours: set[Path]) -> Path:
    """An empty one, which is one of `ours` from now on, for its owner alone; those of killed servers are deleted. Raises Problem."""
    folder = settings.provenance_dir
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if left not in ours and time.time() - left.stat().st_mtime > LEFT_SECONDS:
                    left.unlink()
        handle, path = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        os.close(handle)
    except OSError as failure:
        raise _cannot_write(failure) from failure
    ours.add(Path(path))
    return Path(path)


async def _take(request: Request, path: Path, settings: Settings) -> None:
    """What comes, into `path`. Raises Problem."""
    coming = int(request.headers.get("content-length") or 0)
    if (await workers.slow(shutil.disk_usage, path.parent)).free < settings.min_free_bytes + coming:
        raise Problem(
            507, "too-little-room", "this server's disk has no room for the file: verify it on a command line"
        )
    try:
        with path.open("wb") as file:
            held = bytearray()
            async for chunk in request.stream():
                held += chunk
                if len(held) >= PIECE:
                    await workers.slow(file.write, bytes(held))
                    held.clear()
            await workers.slow(file.write, bytes(held))
            empty = file.tell() == 0
    except (ClientDisconnect, Problem):
        raise
    except OSError as failure:
        raise _cannot_write(failure) from failure
    if empty:
        raise Problem(400, "file-missing", "the file is empty: send it as the body")


def _cannot_write(failure: OSError) -> Problem:
    return Problem(
        507, "cannot-write", f"the file cannot be put down here: {failure.strerror}; the operator can mend it"
    )
