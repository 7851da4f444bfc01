"""Registry: how nodes ask the directory, whatever holds it: Ray's actor (ray_directory.py), or this process."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable
from typing import Any, Protocol

from server.cluster.members import Heard, Members, Report


class DoesNotFit(RuntimeError):
    """A node that is set up otherwise than those that are there; the message says how."""


class Registry(Protocol):
    """Each may raise ConnectionError where the directory does not answer."""

    async def admit(self, key: bytes, token: str) -> bytes: ...
    async def join(self, report: Report, forgotten: Iterable[str]) -> Heard: ...
    async def beat(self, report: Report, known: int) -> Heard | None: ...
    async def leave(self, node: str) -> None: ...
    async def owner(self, name: str) -> Report | None: ...
    async def place(self, name: str, asked: str, but: tuple[str, ...] = ()) -> Report | None: ...
    async def drain(self, node: str, on: bool) -> bool: ...
    async def forget(self, avatar: str) -> None: ...
    async def live(self, avatar: str) -> bool: ...
    async def lost(self, call: str) -> Any: ...
    async def nodes(self) -> tuple[Report, ...]: ...


class Local:
    """The directory itself, with the clock: what Ray's actor is made of, and what nodes of one process share."""

    def __init__(self) -> None:
        self.members = Members(time.monotonic())
        self._key: bytes | None = None
        self._token = ""

    async def admit(self, key: bytes, token: str) -> bytes:
        """The key that all nodes sign calls' tokens with: the first one's. `token`: the mark of the server's token (mark_of).

        Raises DoesNotFit where the token is another.
        """
        if self._key is None:
            self._key, self._token = key, token
        if token != self._token:
            raise DoesNotFit(
                "this machine's token is not the one that the others have: give all nodes the same TELEQUILT_TOKEN_FILE"
            )
        return self._key

    async def join(self, report: Report, forgotten: Iterable[str]) -> Heard:
        return self.members.join(report, forgotten, time.monotonic())

    async def beat(self, report: Report, known: int) -> Heard | None:
        return self.members.beat(report, known, time.monotonic())

    async def leave(self, node: str) -> None:
        self.members.leave(node)

    async def owner(self, name: str) -> Report | None:
        return self.members.owner(name, time.monotonic())

    async def place(self, name: str, asked: str, but: tuple[str, ...] = ()) -> Report | None:
        return self.members.place(name, asked, time.monotonic(), but)

    async def drain(self, node: str, on: bool) -> bool:
        return self.members.drain(node, on, time.monotonic())

    async def forget(self, avatar: str) -> None:
        self.members.forget(avatar)

    async def live(self, avatar: str) -> bool:
        return self.members.live(avatar, time.monotonic())

    async def lost(self, call: str) -> Any:
        return self.members.lost(call, time.monotonic())

    async def nodes(self) -> tuple[Report, ...]:
        return self.members.alive(time.monotonic())


def mark_of(token: str, key: bytes = b"telequilt token") -> str:
    """By which two tokens are compared; nobody learns a token by it."""
    return hmac.new(key, token.encode(), hashlib.sha256).hexdigest()


def pass_of(key: bytes) -> str:
    """What one node's door shows to another's."""
    return hmac.new(key, b"telequilt door", hashlib.sha256).hexdigest()
