"""Forward: a request, or a socket, handed to another node's door, and its answer back. Nothing of media comes this way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import structlog
import websockets
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from server.problems import Problem, busy
from server.tally import Tally

log = structlog.get_logger(__name__)

PASS, CLIENT = "telequilt-door", "telequilt-client"
"Headers between doors: that one is, and whose request it hands on."
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade",
    "proxy-connection", PASS, CLIENT,
}  # fmt: skip
"RFC 9110, section 7.6.1, and what doors say to each other."
CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 60.0
"A machine that is gone is told of soon; one that enrols an avatar first may take its time."
AWAY = 1001
"A socket's code when the machine at its other end is gone (RFC 6455, section 7.4.1)."


class Forward:
    """Event loop only."""

    def __init__(self, secret: str, token: str = "") -> None:
        """`secret`: what doors show each other. `token`: the server's, which all have, for what this node asks by itself."""
        self.secret, self._told = secret, Tally(log)
        self._own: Scope = {"headers": [(b"authorization", f"Bearer {token}".encode())] if token else []}
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=8),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, door: str, method: str, path: str, scope: Scope | None = None, **more: Any) -> httpx.Response:
        """The whole answer of the node at `door`, to whom `scope` is of, or to this node. Raises Problem where it is not there."""
        try:
            headers = self._headers(bodiless(scope or self._own))
            return await self._client.request(method, door + path, headers=headers, **more)
        except httpx.TransportError as failure:
            raise self._gone(door, failure) from None

    async def request(self, door: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and its answer back as it comes. Raises Problem where the node is not there."""
        body = _Body(receive)
        try:
            asked = self._client.build_request(
                scope["method"], door + _path(scope), headers=self._headers(scope), content=body.pieces()
            )
        except httpx.InvalidURL as wrong:
            raise Problem(400, "bad-request", f"this address cannot be asked for: {wrong}") from None
        try:
            answer = await body.unless_gone(self._client.send(asked, stream=True))
        except httpx.TransportError as failure:
            raise self._gone(door, failure) from None
        if answer is None:
            return
        try:
            await _give(answer, send)
        except httpx.TransportError as failure:  # in the middle of an answer: it ends there, and the client sees that
            self._told.count("a node was lost in the middle of an answer", door=door, error=repr(failure))
        finally:
            await answer.aclose()

    async def socket(self, door: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a WebSocket on, message by message, until either end closes."""
        await receive()  # websocket.connect
        url = door.replace("http", "ws", 1) + _path(scope)
        told = [(name.decode(), value.decode("latin-1")) for name, value in self._headers(scope)]
        headers = [(name, value) for name, value in told if not name.lower().startswith("sec-websocket")]
        try:
            async with websockets.connect(
                url, additional_headers=[one for one in headers if one[0].lower() not in ("host", "origin", "user-agent")],
                origin=Headers(scope=scope).get("origin"), proxy=None, open_timeout=CONNECT_SECONDS,  # type: ignore[arg-type]
                compression=None,
            ) as there:  # fmt: skip
                await send({"type": "websocket.accept"})
                await _pump(there, receive, send)
        except (OSError, websockets.WebSocketException, TimeoutError) as failure:
            self._told.count("a call's node does not take its sockets", door=door, error=repr(failure))
            with suppress(RuntimeError):
                await send({"type": "websocket.close", "code": AWAY})

    def _headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """In bytes, as they came: not all of what may stand in one is text."""
        kept = [(name, value) for name, value in scope["headers"] if name.decode("latin-1").lower() not in HOP_BY_HOP]
        client = scope.get("client")
        return [*kept, (PASS.encode(), self.secret.encode()), (CLIENT.encode(), (client[0] if client else "").encode())]

    def _gone(self, door: str, failure: Exception) -> Problem:
        self._told.count("a node does not answer", door=door, error=repr(failure))
        return busy("node-lost", "the machine that had this does not answer; ask again, another one takes its place", 1)


def bodiless(scope: Scope) -> Scope:
    """`scope` without what it says of a body, which is not handed on with it."""
    kept = [
        (name, value) for name, value in scope["headers"] if name.lower() not in (b"content-length", b"content-type")
    ]
    return {**scope, "headers": kept}


class _Body:
    """A request's body, piece by piece, and whether whoever sends it is still there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._whole = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise httpx.ReadError("the client hung up")
            more = message.get("more_body", False)
            yield message.get("body", b"")
        self._whole.set()

    async def unless_gone(self, work: Any) -> httpx.Response | None:
        """What comes of `work`; None where the client hangs up before, and then `work` is given up."""
        working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
            return await working if working.done() else None
        finally:
            for task in (working, leaving):
                task.cancel()

    async def _gone(self) -> None:
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _give(answer: httpx.Response, send: Send) -> None:
    headers = [(name, value) for name, value in answer.headers.raw if name.decode().lower() not in HOP_BY_HOP]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    async for piece in answer.aiter_raw():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _pump(there: Any, receive: Receive, send: Send) -> None:
    async def out() -> None:
        while True:
            message: Message = await receive()
            if message["type"] == "websocket.disconnect":
                return await there.close(message.get("code") or 1000)
            await there.send(message.get("text") if message.get("text") is not None else message["bytes"])

    async def back() -> None:
        with suppress(websockets.ConnectionClosed):
            async for said in there:
                await send({"type": "websocket.send", "text" if isinstance(said, str) else "bytes": said})
        code = there.close_code
        with suppress(RuntimeError):  # whoever was told has closed itself
            await send(
                {
                    "type": "websocket.close",
                    "code": AWAY if code in (None, 1006) else code,
                    "reason": there.close_reason or "",
                }
            )

    both = [asyncio.ensure_future(out()), asyncio.ensure_future(back())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


def _path(scope: Scope) -> str:
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string", b"")
    return (path + (b"?" + query if query else b"")).decode("latin-1")
