"""Credentials: C2PA manifests into films and stills. Alone, with reading.py, in touching c2pa."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.provenance.keys import Keys, KeyUnusable
from server.provenance.statement import manifest

FILM, STILL = "video/mp4", "image/png"
BEING_SIGNED = ".{name}.signing"
"What a film is called while it is signed: a copy, that takes its place once it is whole."


class Unsigned(RuntimeError):
    """It could not be signed, and is as it was; the message is the reason that everyone is told."""


class Signer:
    """May be used from any thread."""

    def __init__(self, keys: Keys, timestamps: str | None = None) -> None:
        """`timestamps`: the URL of an RFC 3161 authority; without one nobody is asked when it was signed."""
        self.keys, self._timestamps = keys, timestamps

    def film(self, path: Path, told: Mapping[str, Any], name: str = "") -> Path:
        """A signed copy of the MP4 at `path`, beside it, on disk, for the same eyes. Raises Unsigned, and then leaves nothing behind."""
        copy = path.with_name(BEING_SIGNED.format(name=path.name))
        try:
            with path.open("rb") as source, open(copy, "w+b", opener=_private) as target:
                self._sign(FILM, source, target, told, name or path.name)
                os.fchmod(target.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
                target.flush()
                os.fsync(target.fileno())
        except OSError as failure:
            copy.unlink(missing_ok=True)
            raise Unsigned(f"the signed film cannot be written: {failure.strerror}") from failure
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return copy

    def still(self, png: bytes, told: Mapping[str, Any], name: str) -> bytes:
        """The PNG, signed. Raises Unsigned."""
        signed = io.BytesIO()
        self._sign(STILL, io.BytesIO(png), signed, told, name)
        return signed.getvalue()

    def _sign(self, kind: str, source: Any, target: Any, told: Mapping[str, Any], name: str) -> None:
        try:
            import c2pa
        except (ImportError, OSError, RuntimeError) as failure:  # OSError: of a wheel for another machine
            raise Unsigned(f"c2pa-python cannot be loaded: pip install c2pa-python ({failure})") from None
        try:
            what = json.dumps(manifest(told, name, kind), allow_nan=False)
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as failure:  # it may come from a file
            raise Unsigned(f"what is stated of it is damaged ({failure!r})") from None
        try:
            credential = self.keys.credential()
            asked = self._timestamps.encode() if self._timestamps else None
            info = c2pa.C2paSignerInfo(credential.algorithm.encode(), credential.chain, credential.key, asked)
            with c2pa.Signer.from_info(info) as signer, c2pa.Builder(what) as builder:
                builder.sign(signer, kind, source, target)
        except KeyUnusable as failure:
            raise Unsigned(str(failure)) from failure
        except c2pa.C2paError as failure:
            raise Unsigned(f"it could not be signed: {_first(failure)}") from failure


def _first(failure: Exception) -> str:
    return str(failure).strip().splitlines()[0][:200]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
