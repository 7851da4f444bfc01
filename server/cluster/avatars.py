"""Avatars between nodes: each is kept by whoever enrolled it, fetched once by a node that needs it, and forgotten by all."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import structlog
from fastapi import FastAPI

from pipeline.avatar_files import ID
from pipeline.avatars import NoRoomForAvatars
from server import workers
from server.channels.lobby import Lobby
from server.channels.services import Services
from server.channels.withdrawal import Withdrawn, withdraw
from server.cluster.forward import Forward
from server.cluster.members import Report
from server.problems import Problem, busy
from server.provenance.consents import FORGOTTEN
from server.recordings.archive import StillRecording, mark_of
from server.settings import Settings
from server.tally import Tally

log = structlog.get_logger(__name__)

MOST_BYTES = 64 << 20
"Of an avatar on its way. A portrait's has 2.3 MB, a head of 20,000 Gaussians 4.2, one of 100,000 some 20."
FILE = "forgotten.json"


class Exchange:
    """One node's. Event loop only."""

    def __init__(self, app: FastAPI, here: str, forward: Forward, folder: Path) -> None:
        """`folder`: the node's data; what has been forgotten is remembered there, so that a node that was away can tell."""
        self._app, self._here, self._forward = app, here, forward
        self._file = folder / FILE
        self._bringing: dict[str, asyncio.Task[None]] = {}
        self.forgotten = _read(self._file)
        self._writing, self._written, self._told = threading.Lock(), len(self.forgotten), Tally(log)
        self._left: set[str] = set()
        "Forgotten ones of which something is still here: somebody was live, or this node is warming up."
        self.heard: Callable[[], tuple[Report, ...]] = lambda: ()
        "The nodes that are there."
        self.hear: Callable[[], Awaitable[None]] = _nothing
        "Who is there now."
        self.blind: Callable[[], bool] = lambda: True
        "Whether something may have been forgotten that is not known here."

    async def bring(self, avatar: str) -> None:
        """See that `avatar` is here, if any node has it: once for all who ask. Raises Problem, NoRoomForAvatars."""
        if avatar in self.forgotten:
            raise _unknown(avatar)
        # the built-in one is everywhere, and no other name is an avatar's
        if not ID.fullmatch(avatar) or self._services is None:
            return
        if self.blind():
            raise busy(
                "directory-away", "it is not known whether this avatar has been forgotten meanwhile; ask again", 2
            )
        if await workers.slow(self._services.avatars.keeps, avatar):
            return
        if avatar not in self._bringing:
            task = self._bringing[avatar] = asyncio.create_task(self._fetch(avatar))
            task.add_done_callback(lambda _: self._bringing.pop(avatar, None))
        await asyncio.shield(self._bringing[avatar])

    async def forget(self, avatar: str) -> bool:
        """Delete all that this node has of it; whether it had any. It is not taken back. Raises Problem, StillRecording."""
        return await self._forget(avatar, True)

    async def _forget(self, avatar: str, noted: bool) -> bool:
        await self._remember((avatar,))
        try:
            had = await self._delete(avatar, noted)
        except OSError as failure:
            raise _undeletable(failure) from failure
        self._left.discard(avatar)
        return had

    async def withdraw(self, avatar: str, settings: Settings) -> Withdrawn:
        """As forget(), of one whose consent is taken back: what shows it ends, and what is left is looked for. Raises Problem."""
        services, lobby = self._services, self._lobby
        if services is None or lobby is None:
            raise busy("warming-up", "this machine is still warming up; ask again", 2)
        return await withdraw(lobby, services, settings, avatar, partial(self._forget, noted=False))

    async def learn(self, forgotten: tuple[str, ...]) -> None:
        """Of avatars that were forgotten, elsewhere or while this node was away; what is left of earlier ones is tried again."""
        await self._remember(forgotten)
        for avatar in list(self._left) if self._lobby is not None else ():
            with suppress(Problem, OSError, StillRecording):
                await self._delete(avatar, True)
                self._left.discard(avatar)

    async def _remember(self, forgotten: tuple[str, ...]) -> None:
        new = [one for one in forgotten if one not in self.forgotten]
        self.forgotten |= dict.fromkeys(new)
        self._left |= set(new)
        if len(self.forgotten) > self._written:
            await workers.slow(self._keep)

    def _keep(self) -> None:
        """In a thread. A disk that does not take it keeps nobody from being forgotten: the next report tries again, and the directory
        knows meanwhile."""
        with self._writing:
            names = list(self.forgotten)
            try:
                _write(self._file, names)
                self._written = len(names)
            except OSError as failure:
                self._told.count("what was forgotten cannot be written", file=str(self._file), cause=str(failure))

    def files(self, avatar: str) -> bytes:
        """What this node keeps of it, for another. Raises Problem, UnknownAvatar."""
        services = self._services
        if services is None or avatar in self.forgotten:
            raise _unknown(avatar)
        packed = BytesIO()
        with ZipFile(packed, "w", ZIP_STORED) as zipped:
            for name, data in services.avatars.files(avatar).items():
                zipped.writestr(name, data)
        return packed.getvalue()

    async def _fetch(self, avatar: str) -> None:
        services = self._services
        assert services is not None
        await self.hear()  # it may have been enrolled by somebody who has just come
        for one in self.heard():
            if one.node == self._here:
                continue
            with suppress(Problem):
                answer = await self._forward.ask(one.door, "GET", f"/api/cluster/avatars/{avatar}")
                if answer.status_code != 200:
                    continue
                try:
                    await workers.slow(services.avatars.take, avatar, _unpacked(answer.content))
                    log.info("avatar brought", node=one.node)
                except (ValueError, BadZipFile, KeyError) as failure:
                    log.warning("what a node has of an avatar is damaged", node=one.node, cause=str(failure))
                    continue
                except NoRoomForAvatars as full:
                    raise busy(full.reason, str(full), 60) from None
                if avatar in self.forgotten:  # while it came
                    await self._delete(avatar, True)
                return

    async def _delete(self, avatar: str, noted: bool) -> bool:
        """Whether it was here. `noted`: in this machine's log of consent. Raises Problem, OSError, StillRecording."""
        services, lobby, archive = self._services, self._lobby, self._app.state.archive
        if services is None or lobby is None:
            return False
        had = await workers.slow(services.avatars.keeps, avatar)
        async with lobby.forgetting(avatar):
            films = await workers.slow(archive.forget, avatar)
            if had:
                await workers.slow(services.avatars.forget, avatar)
        if noted and (had or films):
            await workers.slow(self._app.state.consents.add, FORGOTTEN, avatar=mark_of(avatar), recordings=films)
        return had

    @property
    def _services(self) -> Services | None:
        return self._app.state.services

    @property
    def _lobby(self) -> Lobby | None:
        return self._app.state.lobby


async def _nothing() -> None:
    """Where there is no cluster (yet)."""


def _unknown(avatar: str) -> Problem:
    return Problem(404, "unknown-avatar", f"no avatar {avatar!r} is kept here")


def _undeletable(failure: OSError) -> Problem:
    log.error("what is forgotten cannot be deleted", cause=str(failure))
    why = f"what this machine has of it cannot be deleted ({failure.strerror}); it serves it no more. The operator can mend it"
    return Problem(507, "cannot-write", f"{why}; then ask again")


def _unpacked(data: bytes) -> dict[str, bytes]:
    """Raises ValueError, BadZipFile."""
    with ZipFile(BytesIO(data)) as zipped:
        if sum(one.file_size for one in zipped.infolist()) > MOST_BYTES:
            raise ValueError("too large for an avatar")
        return {name: zipped.read(name) for name in zipped.namelist()}


def _read(file: Path) -> dict[str, None]:
    """A file that is spoilt keeps no machine from joining: all others know what it said."""
    try:
        kept: Any = json.loads(file.read_bytes())
        return dict.fromkeys(str(one) for one in kept)
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as failure:
        log.error("what was forgotten cannot be read, and is set aside", file=str(file), cause=str(failure))
        file.replace(file.with_suffix(".damaged"))
        return {}


def _write(file: Path, forgotten: list[str]) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = file.with_suffix(".part")
    with open(part, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as opened:
        json.dump(forgotten, opened)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(part, file)
