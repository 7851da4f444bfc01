"""Tokens: who somebody is in a call and what that allows, as JWTs (RFC 7519) that we sign and read. Knows no call and no request."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import structlog

from server.calls.events import Grants

log = structlog.get_logger(__name__)

ALGORITHM, ISSUER = "HS256", "telequilt"
LEEWAY = 10.0
"Seconds by which clocks may differ."
LEAST_KEY = 32
"Bytes."
SEAT_SECONDS, PLAIN_SECONDS = 600.0, 86_400.0
"A seat token's life: of a page, which gets fresh ones, and of a client that has only this one."
NONE = Grants(view=False)
REQUIRED = ("exp", "iat", "sub", "aud", "jti")


_SINCE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"Counts on while the machine sleeps, where there is such a clock."
_AHEAD = time.time() - time.clock_gettime(_SINCE)


def now() -> float:
    """Seconds since 1970, as this process knew it when it began: where the time of day is set anew, nobody's token expires for that,
    and none is of the future."""
    return time.clock_gettime(_SINCE) + _AHEAD


class TokenInvalid(ValueError):
    """It is not ours, or of another call."""


class TokenExpired(ValueError):
    """It was ours."""


@dataclass(frozen=True)
class Claims:
    """What a token says."""

    call: str
    grants: Grants
    expires: float
    "Seconds since 1970."
    issued: float = 0.0
    "Whole seconds since 1970."
    name: str = ""
    invitation: str = ""
    "Its id; empty for a seat's token."
    seat: int = 0
    epoch: int = 0


class Tokens:
    """Signs and reads. The key is made when it is first needed, and kept, so that links outlive the server."""

    def __init__(self, folder: Path, key: str | None = None) -> None:
        """`key`: in place of the one that is kept in `folder`. Raises ValueError where it is too short."""
        if key is not None and len(key.encode()) < LEAST_KEY:
            raise ValueError(f"TELEQUILT_CALL_KEY is shorter than {LEAST_KEY} bytes: openssl rand -hex 32")
        self._folder, self._key = folder, key.encode() if key is not None else None

    def adopt(self, key: bytes) -> None:
        """Sign with `key` from now on, and after a restart: machines that are one server have one key."""
        if key != self.key():
            part = self._folder / "call.key.part"
            with open(part, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as made:
                made.write(key)
            os.replace(part, self._folder / "call.key")
            self._key = key

    def invitation(self, call: str, jti: str, grants: Grants, name: str, expires: float) -> str:
        return self._signed(call, f"invite:{jti}", jti, grants, name, expires)

    def seat(self, call: str, number: int, epoch: int, grants: Grants, name: str, seconds: float) -> tuple[str, float]:
        """The token, and when it expires, in seconds since 1970."""
        expires = now() + seconds
        return self._signed(call, f"seat:{number}:{epoch}", secrets.token_urlsafe(9), grants, name, expires), expires

    def read(self, token: str, call: str | None = None) -> Claims:
        """What `token` says, of `call` where one is named. Raises TokenInvalid, TokenExpired."""
        try:
            found = jwt.decode(
                token, self.key(), algorithms=[ALGORITHM], audience=call, issuer=ISSUER,
                options={"require": list(REQUIRED), "verify_aud": call is not None, "verify_exp": False, "verify_iat": False},
            )  # fmt: skip
            claims = _claims(found)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as failure:
            raise TokenInvalid(f"the token does not verify: {failure}") from None
        if not claims.expires + LEEWAY > now():
            raise TokenExpired("the token has expired")
        return claims

    def _signed(self, call: str, subject: str, jti: str, grants: Grants, name: str, expires: float) -> str:
        claims = {"iss": ISSUER, "aud": call, "sub": subject, "jti": jti, "iat": int(now()), "exp": int(expires)}
        told = {
            "grants": {grant: allowed for grant, allowed in asdict(grants).items() if allowed}
        }  # links are to be short
        return jwt.encode(claims | told | ({"name": name} if name else {}), self.key(), ALGORITHM)

    def key(self) -> bytes:
        """What it signs with."""
        if self._key is None:
            try:
                self._key = _key_in(self._folder)
            except OSError as failure:
                log.warning("links to calls end with this process: their key cannot be kept", cause=str(failure))
                self._key = secrets.token_bytes(LEAST_KEY)
        return self._key


def _claims(found: dict[str, Any]) -> Claims:
    kind, _, rest = found["sub"].partition(":")
    if not isinstance(found["grants"], dict):
        raise ValueError("grants is no object")
    grants = replace(NONE, **{name: bool(value) for name, value in found["grants"].items()})
    common: dict[str, Any] = {"call": str(found["aud"]), "grants": grants, "expires": float(found["exp"])}
    common |= {"issued": float(found["iat"]), "name": str(found.get("name", ""))}
    if kind == "invite" and rest:
        return Claims(invitation=rest, **common)
    if kind == "seat":
        number, _, epoch = rest.partition(":")
        return Claims(seat=int(number), epoch=int(epoch), **common)
    raise ValueError(f"sub is {kind!r}")


def _key_in(folder: Path) -> bytes:
    """The key that is kept in `folder`, made there where there is none. For its owner alone (0600)."""
    file = folder / "call.key"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        key = file.read_bytes()
        if len(key) < LEAST_KEY:
            raise ValueError(f"{file} is damaged; delete it, and links that were given out before are void") from None
        return key
    key = secrets.token_bytes(LEAST_KEY)
    with os.fdopen(handle, "wb") as made:
        made.write(key)
    return key
