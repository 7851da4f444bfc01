"""Access: who may talk to us at all. Host and Origin against DNS rebinding, Bearer tokens, CORS, and how large and how slow
bodies may be."""

from __future__ import annotations

import asyncio
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.problems import Problem
from server.routes import authority
from server.routes.bearer import knows_token
from server.routes.quotas import Quotas, client_of, is_own, too_often
from server.settings import Settings, is_loopback

SIGNALLING = ("/whip/", "/whep/")
"Routes that answer OPTIONS themselves, with what may be posted or patched."
GUARDED = (*SIGNALLING, "/api/", "/metrics", "/puppet.mp4")
"What needs the token. Pages do not: they ask for it and send it along."
OF_CALLS = "/api/calls/"
"Routes that ask for a token of a call, each for itself (authority.py)."
SOCKETS = re.compile(r"/api/calls/[^/]+/events")
"Web sockets. None is there beside these, so none goes past the guards below; each asks for a token in its first message."
MULTIPART_ROOM = 64 * 1024
"What a portrait's form may need besides the photo itself."
BODY_SECONDS, BODY_BYTES_PER_SECOND = 10.0, 32 * 1024
"How long a body may take: this long, and longer as it grows, so that a large photo may come over a slow line."
_AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?"
HOST, ORIGIN = re.compile(f"(?:{_AUTHORITY})?"), re.compile(f"https?://{_AUTHORITY}")
"""What the headers may hold (RFC 9110, section 7.2; RFC 6454, section 6.2). Parsers of URLs meet garbage with whatever they raise,
and find a host in `//localhost` and `javascript://localhost` too."""

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"On every answer: whatever it holds, it is what it says, and belongs into no foreign page without CORS."
CORS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate",
    "Access-Control-Max-Age": "600",
}


class Access:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings, quotas: Quotas) -> None:
        self._app, self._settings, self._quotas = app, settings, quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if scope["type"] == "websocket":
            if not SOCKETS.fullmatch(scope["path"]) or refused(self._settings, "GET", scope["path"], headers):
                return await send({"type": "websocket.close", "code": 1008})
            return await self._app(scope, receive, send)
        refusal = self._refused(scope, headers)
        answer = _with_headers(send, _listening(self._settings, headers))
        if refusal is not None:
            return await refusal.response()(scope, receive, answer)
        if scope["method"] == "OPTIONS" and not scope["path"].startswith(SIGNALLING):
            return await Response(status_code=204)(scope, receive, answer)  # a preflight asks for CORS alone
        limit = _limit(self._settings, scope["path"])
        if int(headers.get("content-length") or 0) > limit:
            return await _too_large(limit).response()(scope, receive, answer)
        return await self._app(scope, bounded(receive, limit), answer)

    def _refused(self, scope: Scope, headers: Headers) -> Problem | None:
        client = client_of(HTTPConnection(scope))
        if self._settings.token and (wait := self._quotas.tokens.wait(client)):
            return too_often("too-many-attempts", "too many wrong tokens came from your address", wait)
        refusal = refused(self._settings, scope["method"], scope["path"], headers)
        if refusal is not None and refusal.kind == "token-required" and "authorization" in headers:
            try:
                if authority.lets_through(HTTPConnection(scope), scope["path"]):
                    return self._too_often(scope, client)
            except Problem as expired:
                return expired
            self._quotas.tokens.count(client)
        return refusal or self._too_often(scope, client)

    def _too_often(self, scope: Scope, client: str) -> Problem | None:
        if is_own(client, self._settings.private):
            return None
        try:
            self._quotas.check(scope["method"], scope["path"], client)
        except Problem as refusal:
            return refusal
        return None


def refused(settings: Settings, method: str, path: str, headers: Headers) -> Problem | None:
    """Why a request is turned away, or None."""
    host, origin = headers.get("host", ""), headers.get("origin")
    named = HOST.fullmatch(host)
    if named is None:
        return Problem(400, "malformed-host", "the Host header is not a host (RFC 9110, section 7.2)")
    if settings.private and not is_loopback((named[1] or "").strip("[]")):
        # A page of evil.example whose name was pointed at 127.0.0.1 says so in its Host header.
        return Problem(421, "foreign-host", f"this server answers to localhost only, not to {host[:200]!r}")
    if origin and origin not in ("null", *settings.allowed_origins) and not ORIGIN.fullmatch(origin):
        return Problem(400, "malformed-origin", "the Origin header is not an origin of the web (RFC 6454, section 6.2)")
    if origin and not _welcome(settings, origin, host):
        return Problem(
            403, "foreign-origin", f"pages of {origin[:200]} may not call this server; see TELEQUILT_ALLOWED_ORIGINS"
        )
    guarded = path.startswith(GUARDED) and not path.startswith(OF_CALLS)
    if settings.token and method != "OPTIONS" and guarded and not knows_token(settings, headers):
        return Problem(
            401,
            "token-required",
            "send 'Authorization: Bearer ...' with this server's token",
            {"WWW-Authenticate": 'Bearer realm="telequilt"'},
        )
    return None


def _welcome(settings: Settings, origin: str, host: str) -> bool:
    """Our own pages, those listed, and, where the token guards us instead, everybody's: a proxy may have changed the host, and a
    foreign page neither knows the token nor is told what is answered (CORS)."""
    return not settings.private or _ours(settings, origin, host)


def _ours(settings: Settings, origin: str, host: str) -> bool:
    return origin.partition("://")[2] == host or origin in settings.allowed_origins


def _listening(settings: Settings, headers: Headers) -> str | None:
    """The origin whose page may read the answer."""
    origin = headers.get("origin", "")
    named = origin in settings.allowed_origins or ORIGIN.fullmatch(origin)
    return origin if named and _ours(settings, origin, headers.get("host", "")) else None


def _limit(settings: Settings, path: str) -> int:
    if path == "/api/verify":
        return settings.max_verified_bytes
    return settings.max_portrait_bytes + MULTIPART_ROOM if path == "/api/avatars" else settings.max_sdp_bytes


def _too_large(limit: int) -> Problem:
    return Problem(413, "body-too-large", f"{limit} bytes is the limit for this body", limit=limit)


def bounded(receive: Receive, limit: int) -> Receive:
    """Counts what comes, for bodies that did not say how long they are, and ends what dribbles."""
    taken, whole, begun, now = 0, False, None, asyncio.get_running_loop().time

    async def counted() -> Message:
        nonlocal taken, whole, begun
        if whole:  # what may still come is that the client hangs up
            return await receive()
        begun = now() if begun is None else begun  # whoever reads it may have taken its time
        try:
            async with asyncio.timeout_at(begun + BODY_SECONDS + taken / BODY_BYTES_PER_SECOND):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "body-too-slow", "the body did not come in time", {"Connection": "close"}) from None
        taken, whole = taken + len(message.get("body", b"")), not message.get("more_body", False)
        if taken > limit:
            raise _too_large(limit)
        return message

    return counted


def _with_headers(send: Send, origin: str | None) -> Send:
    more = ALWAYS if origin is None else ALWAYS | CORS | {"Access-Control-Allow-Origin": origin}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.append("Vary", "Origin")
            for name, value in more.items():
                headers[name] = value
            headers.setdefault(
                "Cache-Control", "no-store"
            )  # people's faces and channels: kept nowhere unless a route says so
        await send(message)

    return sending
