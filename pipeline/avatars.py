"""Avatars: portraits that became avatars, kept on disk under a data directory.

Kept are the observation and its record, never the photo itself nor an engine's tensors: enrolling again from the
observation is deterministic, and any engine can do it. One folder an avatar, which appears and disappears whole.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors.numpy import load_file, save_file

from engines.contract import AnyEngine, FaceObservation

SAMPLE = "sample"
"The built-in avatar's id: a public-domain portrait, there without any enrolment."

_NUMBERS = ("confidence", "presence", "roll", "mouth_seen")
_ARRAYS = tuple(f.name for f in fields(FaceObservation) if f.name not in _NUMBERS)
_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")


class Consent(StrEnum):
    """Whose face it is, as stated by whoever brought the portrait."""

    ME = "me"
    CONSENTING = "consenting"
    SYNTHETIC = "synthetic"
    PUBLIC_DOMAIN = "public-domain"
    "Only the built-in sample."


class UnknownAvatar(LookupError):
    """The caller named an avatar that does not exist, or was forgotten."""


@dataclass(frozen=True)
class AvatarRecord:
    id: str
    name: str
    consent: Consent
    portrait_sha256: str
    "Of the photo's bytes as they came; the photo itself is not kept."
    created: float
    "Unix seconds."


class Avatars:
    """May be used from any thread. `sample` makes the built-in avatar's observation when it is first asked for."""

    def __init__(
        self, root: Path, sample: Callable[[], FaceObservation], *, warm: int = 8, now: Callable[[], float] = time.time
    ) -> None:
        self._root = root / "avatars"
        self._sample, self._now, self._warm = sample, now, warm
        self._lock = threading.Lock()
        self._enrolled: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._enrolling: dict[tuple[str, str], threading.Lock] = {}
        self._sample_observation: FaceObservation | None = None
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in self._root.glob(".*"):  # of a crash between writing and naming, or within forgetting
            shutil.rmtree(leftover, ignore_errors=True)

    def keep(self, portrait: FaceObservation, consent: Consent, portrait_sha256: str, name: str = "") -> AvatarRecord:
        """Write a portrait down. It is there whole, or not at all."""
        record = AvatarRecord(secrets.token_urlsafe(16), name, Consent(consent), portrait_sha256, self._now())
        folder = Path(tempfile.mkdtemp(prefix=".", dir=self._root))
        try:
            arrays = {key: getattr(portrait, key) for key in _ARRAYS if getattr(portrait, key) is not None}
            save_file(
                {key: np.ascontiguousarray(array) for key, array in arrays.items()}, folder / "observation.safetensors"
            )
            (folder / "picture.png").write_bytes(_png(portrait))
            numbers = {key: float(getattr(portrait, key)) for key in _NUMBERS}
            (folder / "record.json").write_text(json.dumps(asdict(record) | {"observation": numbers}, indent=1))
            for file in folder.iterdir():
                _sync(file)
            folder.rename(self._root / record.id)
            _sync(self._root)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return record

    def records(self) -> list[AvatarRecord]:
        """Every avatar kept here, the oldest first, after the built-in one."""
        kept = []
        for folder in self._root.iterdir():
            with suppress(UnknownAvatar):  # forgotten since the folder was listed
                kept += [self._read(folder)[0]] if _ID.fullmatch(folder.name) else []
        return [_SAMPLE_RECORD, *sorted(kept, key=lambda record: record.created)]

    def get(self, avatar: str) -> AvatarRecord:
        """Raises UnknownAvatar."""
        return _SAMPLE_RECORD if avatar == SAMPLE else self._read(self._folder(avatar))[0]

    def picture(self, avatar: str) -> bytes:
        """The aligned crop as PNG. Raises UnknownAvatar."""
        if avatar == SAMPLE:
            return _png(self.observation(SAMPLE))
        return (self._folder(avatar) / "picture.png").read_bytes()

    def observation(self, avatar: str) -> FaceObservation:
        """The portrait as it was observed. Raises UnknownAvatar."""
        if avatar == SAMPLE:
            with self._lock:
                if self._sample_observation is None:
                    self._sample_observation = self._sample()
                return self._sample_observation
        folder = self._folder(avatar)
        arrays: dict[str, Any] = load_file(folder / "observation.safetensors")
        numbers: dict[str, Any] = self._read(folder)[1]
        return FaceObservation(**arrays, **numbers)

    def ready(self, avatar: str, engine: AnyEngine) -> Any:
        """The avatar as `engine` enrolled it; the newest few are kept warm. May take seconds. Raises UnknownAvatar."""
        key = (avatar, engine.name)
        self.get(avatar)
        with self._lock:
            enrolling = self._enrolling.setdefault(key, threading.Lock())
        with enrolling:  # two callers who ask for one avatar wait for one enrolment
            with self._lock:
                if key in self._enrolled:
                    self._enrolled.move_to_end(key)
                    return self._enrolled[key]
            enrolled = engine.enrol(self.observation(avatar))
            with self._lock:
                if avatar == SAMPLE or (self._root / avatar).exists():  # not forgotten meanwhile
                    self._enrolled[key] = enrolled
                while len(self._enrolled) > self._warm:
                    self._enrolling.pop(self._enrolled.popitem(last=False)[0], None)
            return enrolled

    def forget(self, avatar: str) -> None:
        """Delete the observation, the record and everything derived. Raises UnknownAvatar; the built-in one stays."""
        if avatar == SAMPLE:
            raise UnknownAvatar("the built-in sample avatar cannot be forgotten: nothing of it is kept")
        folder = self._folder(avatar)
        gone = self._root / f".forgotten-{avatar}"
        try:
            os.rename(folder, gone)  # vanishes at once and whole, even if deleting is cut short
        except FileNotFoundError:
            raise UnknownAvatar(f"no avatar {avatar!r} is kept here") from None
        with self._lock:
            for key in [key for key in self._enrolled if key[0] == avatar]:
                del self._enrolled[key]
            for key in [key for key in self._enrolling if key[0] == avatar]:
                del self._enrolling[key]
        shutil.rmtree(gone)
        _sync(self._root)

    def _folder(self, avatar: str) -> Path:
        folder = self._root / avatar
        if not _ID.fullmatch(avatar) or not folder.is_dir():
            raise UnknownAvatar(f"no avatar {avatar!r} is kept here")
        return folder

    def _read(self, folder: Path) -> tuple[AvatarRecord, dict[str, float]]:
        try:
            stored = json.loads((folder / "record.json").read_text())
        except FileNotFoundError:
            raise UnknownAvatar(f"no avatar {folder.name!r} is kept here") from None
        observation = stored.pop("observation")
        return AvatarRecord(**stored | {"consent": Consent(stored["consent"])}), observation


_SAMPLE_RECORD = AvatarRecord(SAMPLE, "Sample: Rear Adm. Grace Hopper, 1984", Consent.PUBLIC_DOMAIN, "", 0.0)


def _png(portrait: FaceObservation) -> bytes:
    assert portrait.crop is not None
    done, encoded = cv2.imencode(".png", cv2.cvtColor(portrait.crop, cv2.COLOR_RGB2BGR))
    assert done
    return encoded.tobytes()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
