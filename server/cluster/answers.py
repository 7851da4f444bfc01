"""Answers: what an ASGI app says, looked at before it is given, and bodies that are read whole and given again."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from server.problems import Problem
from server.routes.access import bounded

RETRIED = ("too-many-callers", "devices-failed", "node-lost", "stopping", "warming-up")
"Refusals after which another node may have room."


class Kept:
    """An answer that is looked at before it is given; or, where it `streams`, given at once unless it says 404."""

    def __init__(self, streams: Send | None = None) -> None:
        self._streams = streams
        self._messages: list[Message] = []
        self.status = 0

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if self._streams is not None and self.status != 404:
            await self._streams(message)
        else:
            self._messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(one.get("body", b"") for one in self._messages)

    @property
    def again(self) -> bool:
        """Whether another node may answer better."""
        if self.status != 503:
            return False
        with suppress(ValueError, AttributeError):
            return str(json.loads(self.body).get("type", "")).rpartition(":")[2] in RETRIED
        return False

    def kept_headers(self) -> dict[str, str]:
        headers = Headers(raw=self._messages[0]["headers"])
        return {name: value for name, value in headers.items() if name not in ("content-length", "content-type")}

    async def give(self, send: Send) -> None:
        for message in self._messages:
            await send(message)


async def whole(receive: Receive, most: int) -> bytes:
    """A body. Raises Problem 413, 408, 400."""
    body, more, receive = b"", True, bounded(receive, most)
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "hung-up", "the client hung up before its request was whole")
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def replayed(body: bytes, then: Receive) -> Receive:
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return await then()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def merged(lists: list[list[Any]]) -> list[Any]:
    """One list; what several know (the sample) once."""
    found: dict[str, Any] = {}
    for row in (row for rows in lists for row in rows):
        found.setdefault(json.dumps(row.get("id") or row.get("call") or row.get("name")), row)
    return list(found.values())


def named(body: bytes) -> str:
    with suppress(ValueError, AttributeError):
        return str(json.loads(body).get("avatar") or "")
    return ""


def query(scope: Scope, name: str) -> str:
    return (parse_qs(scope.get("query_string", b"").decode("latin-1")).get(name) or [""])[0]


def with_query(scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    return scope["path"] + (f"?{query}" if query else "")
