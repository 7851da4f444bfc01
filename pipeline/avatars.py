"""Avatars: portraits that became avatars, kept on disk under a data directory.

Of a portrait the observation and its record are kept, never the photo itself nor an engine's tensors: enrolling again from the
observation is deterministic, and any engine can do it. Of an avatar that was brought, what its engine read of the file, and a picture;
not the file. One folder an avatar, which appears and disappears whole.
"""

from __future__ import annotations

import json
import logging
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from engines.contract import AnyEngine, Brought, FaceObservation
from pipeline.avatar_files import (
    BROUGHT_FILES,
    FILES,
    ID,
    AvatarRecord,
    Consent,
    kept_of,
    png,
    read_arrays,
    read_observation,
    read_record,
    sync,
)

_log = logging.getLogger(__name__)

SAMPLE = "sample"
"The built-in avatar's id: a public-domain portrait, there without any enrolment."


class UnknownAvatar(LookupError):
    """The caller named an avatar that does not exist, or was forgotten."""


class WrongEngine(ValueError):
    """The caller asked for an avatar that was brought for one engine, by another; the message says which it is."""


class AvatarDamaged(RuntimeError):
    """What is kept of an avatar cannot be read any more. It can still be forgotten."""


class NoRoomForAvatars(RuntimeError):
    """No further avatar can be kept. `reason` is a stable word for programs, the message says who can mend it."""

    def __init__(self, reason: str, message: str, limit: int) -> None:
        super().__init__(message)
        self.reason, self.limit = reason, limit


class Avatars:
    """May be used from any thread. `sample` makes the built-in avatar's observation when it is first asked for."""

    def __init__(
        self,
        root: Path,
        sample: Callable[[], FaceObservation],
        *,
        warm: int = 8,
        most: float = math.inf,
        min_free_bytes: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`warm`: avatars that stay enrolled. `most`: kept at all, each of 2.3 MB, or of 4 where it was brought. `min_free_bytes`: what
        their disk keeps free."""
        self._root = root / "avatars"
        self._sample, self._now, self._warm = sample, now, warm
        self._most, self._min_free_bytes = most, min_free_bytes
        self._damaged: set[str] = set()
        self._lock = threading.Lock()
        self._enrolled: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._enrolling: dict[tuple[str, str], threading.Lock] = {}
        self._sample_observation: FaceObservation | None = None
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._root.glob(".*"):  # of a crash between writing and naming, or within forgetting
            shutil.rmtree(leftover, ignore_errors=True)
        _make_private(self._root)

    def keep(self, portrait: FaceObservation, consent: Consent, portrait_sha256: str, name: str = "") -> AvatarRecord:
        """Write a portrait down. It is there whole, or not at all. Raises NoRoomForAvatars."""
        self.check_room()
        record = AvatarRecord(secrets.token_urlsafe(16), name, Consent(consent), portrait_sha256, self._now())
        assert portrait.crop is not None
        kept, numbers = kept_of(portrait)
        self._write(record, FILES[0], kept, portrait.crop, {"observation": numbers})
        return record

    def keep_brought(
        self, brought: Brought, engine: str, picture: np.ndarray, consent: Consent, sha256: str, name: str = ""
    ) -> AvatarRecord:
        """Write down an avatar that `engine` read of a file of this `sha256`; `picture` [H, W, 3] uint8 RGB is what it looks like. It is
        there whole, or not at all. Raises NoRoomForAvatars."""
        self.check_room()
        record = AvatarRecord(
            secrets.token_urlsafe(16), name, Consent(consent), sha256, self._now(), engine, brought.licence
        )
        self._write(record, BROUGHT_FILES[0], brought.arrays, picture, {})
        return record

    def _write(
        self,
        record: AvatarRecord,
        file: str,
        arrays: Mapping[str, np.ndarray],
        picture: np.ndarray,
        more: dict[str, Any],
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix=".", dir=self._root))
        try:
            save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / file)
            (folder / "picture.png").write_bytes(png(picture))
            (folder / "record.json").write_text(json.dumps(asdict(record) | more, indent=1))
            self._place(folder, record.id)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def files(self, avatar: str) -> dict[str, bytes]:
        """All that is kept of it, by file name, for another machine of ours. Raises UnknownAvatar or AvatarDamaged."""
        folder = self._folder(avatar)
        names = BROUGHT_FILES if self._read(folder)[0].engine else FILES
        try:
            return {name: (folder / name).read_bytes() for name in names}
        except OSError as failure:
            raise self._unreadable(folder, failure) from failure

    def take(self, avatar: str, files: Mapping[str, bytes]) -> None:
        """Keep what another machine of ours keeps: it is there whole, or not at all. Raises NoRoomForAvatars, ValueError."""
        if not ID.fullmatch(avatar) or set(files) not in (set(FILES), set(BROUGHT_FILES)):
            raise ValueError("these are no files of an avatar")
        self.check_room()
        record, numbers = read_record(files["record.json"], avatar)
        if (BROUGHT_FILES[0] in files) != bool(record.engine):
            raise ValueError("its record is of another kind of avatar than its files")
        folder = Path(tempfile.mkdtemp(prefix=".", dir=self._root))
        try:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            try:
                if record.engine:
                    read_arrays(folder)
                else:
                    read_observation(folder, numbers)
            except (OSError, SafetensorError, TypeError) as failure:
                raise ValueError(f"what came of it cannot be read: {failure}") from failure
            self._place(folder, avatar)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def records(self) -> list[AvatarRecord]:
        """Every avatar kept here, the oldest first, after the built-in one."""
        kept = []
        for folder in self._folders():
            with suppress(
                UnknownAvatar, AvatarDamaged
            ):  # forgotten since the folder was listed; one spoils itself alone
                kept.append(self._read(folder)[0])
        return [_SAMPLE_RECORD, *sorted(kept, key=lambda record: record.created)]

    def get(self, avatar: str) -> AvatarRecord:
        """Raises UnknownAvatar or AvatarDamaged."""
        return _SAMPLE_RECORD if avatar == SAMPLE else self._read(self._folder(avatar))[0]

    def picture(self, avatar: str) -> bytes:
        """The aligned crop as PNG. Raises UnknownAvatar or AvatarDamaged."""
        if avatar == SAMPLE:
            crop = self.observation(SAMPLE).crop
            assert crop is not None
            return png(crop)
        folder = self._folder(avatar)
        try:
            return (folder / "picture.png").read_bytes()
        except OSError as failure:
            raise self._unreadable(folder, failure) from failure

    def observation(self, avatar: str) -> FaceObservation:
        """The portrait as it was observed. Raises UnknownAvatar, AvatarDamaged, or WrongEngine where there is none: it was brought."""
        if avatar == SAMPLE:
            with self._lock:
                if self._sample_observation is None:
                    self._sample_observation = self._sample()
                return self._sample_observation
        folder = self._folder(avatar)
        record, numbers = self._read(folder)
        if record.engine:
            raise _of(record)
        try:
            return read_observation(folder, numbers)
        except (OSError, SafetensorError, TypeError, ValueError) as failure:
            raise self._unreadable(folder, failure) from failure

    def ready(self, avatar: str, engine: AnyEngine) -> Any:
        """The avatar as `engine` enrolled it; the newest few are kept warm. May take seconds.

        Raises UnknownAvatar, AvatarDamaged, WrongEngine, or PortraitRejected.
        """
        key = (avatar, engine.name)
        record = self.get(avatar)
        with self._lock:
            enrolling = self._enrolling.setdefault(key, threading.Lock())
        with enrolling:  # two callers who ask for one avatar wait for one enrolment
            with self._lock:
                if key in self._enrolled:
                    self._enrolled.move_to_end(key)
                    return self._enrolled[key]
            try:
                enrolled = self._made(record, engine)
            except BaseException:
                with self._lock:
                    self._enrolling.pop(key, None)
                raise
            with self._lock:
                if avatar == SAMPLE or (self._root / avatar).exists():  # not forgotten meanwhile
                    self._enrolled[key] = enrolled
                while len(self._enrolled) > self._warm:
                    self._enrolling.pop(self._enrolled.popitem(last=False)[0], None)
            return enrolled

    def check(self, avatar: str, engine: AnyEngine) -> None:
        """Raises UnknownAvatar, AvatarDamaged or WrongEngine where `ready` would, as far as the record tells."""
        record = self.get(avatar)
        if record.engine and record.engine != engine.name:
            raise _of(record)

    def _made(self, record: AvatarRecord, engine: AnyEngine) -> Any:
        taking: Any = engine
        self.check(record.id, engine)
        if record.engine:
            try:
                return taking.made(read_arrays(self._folder(record.id)))
            except (OSError, SafetensorError, ValueError) as failure:
                raise self._unreadable(self._root / record.id, failure) from failure
        if record.id == SAMPLE and engine.abilities.brought:
            return taking.mannequin()
        return engine.enrol(self.observation(record.id))

    def forget(self, avatar: str) -> None:
        """Delete the observation, the record and everything derived. Raises UnknownAvatar; the built-in one stays."""
        if avatar == SAMPLE:
            raise UnknownAvatar("the built-in sample avatar cannot be forgotten: nothing of it is kept")
        if not self.keeps(avatar):
            raise _unknown(avatar)
        gone = self._root / f".forgotten-{avatar}"
        shutil.rmtree(gone, ignore_errors=True)  # of a deletion that failed
        try:
            os.rename(self._root / avatar, gone)  # vanishes at once and whole, even if deleting is cut short
        except FileNotFoundError:
            raise _unknown(avatar) from None
        with self._lock:
            for key in [key for key in self._enrolled if key[0] == avatar]:
                del self._enrolled[key]
            for key in [key for key in self._enrolling if key[0] == avatar]:
                del self._enrolling[key]
        shutil.rmtree(gone)
        sync(self._root)

    def keeps(self, avatar: str) -> bool:
        """Whether there is such an avatar, readable or not."""
        return bool(ID.fullmatch(avatar)) and (self._root / avatar).is_dir()

    def check_room(self) -> None:
        """Raises NoRoomForAvatars where no further one may be kept."""
        if sum(1 for _ in self._folders()) >= self._most:
            raise NoRoomForAvatars(
                "too-many-avatars",
                f"{self._most} avatars are kept here, which is the limit: forget one, or the operator raises "
                "TELEQUILT_MAX_AVATARS",
                int(self._most),
            )
        free = shutil.disk_usage(self._root).free
        if free < self._min_free_bytes:
            raise NoRoomForAvatars(
                "too-little-room",
                f"{free >> 20} MiB are free on the avatars' disk, and {self._min_free_bytes >> 20} must stay free: the "
                "operator makes room, or sets TELEQUILT_MIN_FREE_BYTES",
                self._min_free_bytes,
            )

    def _place(self, folder: Path, avatar: str) -> None:
        """Make a written folder the avatar's, once all of it is on the disk."""
        for file in folder.iterdir():
            file.chmod(0o600)
            sync(file)
        folder.rename(self._root / avatar)
        sync(self._root)

    def _folders(self) -> Iterator[Path]:
        return (folder for folder in self._root.iterdir() if ID.fullmatch(folder.name))

    def _folder(self, avatar: str) -> Path:
        if not self.keeps(avatar):
            raise _unknown(avatar)
        return self._root / avatar

    def _read(self, folder: Path) -> tuple[AvatarRecord, dict[str, float]]:
        try:
            return read_record((folder / "record.json").read_bytes(), folder.name)
        except (OSError, ValueError, TypeError, LookupError, RecursionError, AttributeError) as failure:
            if not folder.is_dir():
                raise _unknown(folder.name) from None
            raise self._unreadable(folder, failure) from failure

    def _unreadable(self, folder: Path, failure: Exception) -> AvatarDamaged:
        """Said once: lists are asked for again and again."""
        with self._lock:
            new = folder.name not in self._damaged
            self._damaged.add(folder.name)
        if new:
            _log.warning("an avatar cannot be read and is set aside: %s (%s)", folder, failure)
        return AvatarDamaged(
            "the files of this avatar cannot be read any more; forget it, and enrol the portrait again"
        )


def _of(record: AvatarRecord) -> WrongEngine:
    return WrongEngine(
        f"this avatar was brought for the engine {record.engine} and has no photo that another could use: leave the engine out, or "
        f"name {record.engine}"
    )


def _unknown(avatar: str) -> UnknownAvatar:
    return UnknownAvatar(f"no avatar {avatar!r} is kept here")


def _make_private(folder: Path) -> None:
    """Faces are for this user alone, whatever umask or an earlier version left."""
    for path in (folder, *folder.glob("*"), *folder.glob("*/*")):
        with suppress(OSError):  # another user's: there is nothing we could do
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)


_SAMPLE_RECORD = AvatarRecord(SAMPLE, "Sample: Rear Adm. Grace Hopper, 1984", Consent.PUBLIC_DOMAIN, "", 0.0)
