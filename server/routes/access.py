"""Access: who may talk to us at all. Host and Origin against DNS rebinding, Bearer tokens, CORS, and the size of bodies."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.problems import Problem
from server.settings import Settings, is_loopback

SIGNALLING = ("/whip/", "/whep/")
"Routes that answer OPTIONS themselves, with what may be posted or patched."
GUARDED = (*SIGNALLING, "/api/", "/metrics", "/puppet.mp4")
"What needs the token. Pages do not: they ask for it and send it along."
MULTIPART_ROOM = 64 * 1024
"What a portrait's form may need besides the photo itself."

CORS = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate",
    "Access-Control-Max-Age": "600",
}


class Access:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        refusal = refused(self._settings, scope["method"], scope["path"], headers)
        answer = _with_cors(send, headers.get("origin")) if not (refusal and refusal.kind == "foreign-origin") else send
        if refusal is not None:
            return await refusal.response()(scope, receive, answer)
        if scope["method"] == "OPTIONS" and not scope["path"].startswith(SIGNALLING):
            return await Response(status_code=204)(scope, receive, answer)  # a preflight asks for CORS alone
        limit = _limit(self._settings, scope["path"])
        if int(headers.get("content-length") or 0) > limit:
            return await _too_large(limit).response()(scope, receive, answer)
        return await self._app(scope, _bounded(receive, limit), answer)


def refused(settings: Settings, method: str, path: str, headers: Headers) -> Problem | None:
    """Why a request is turned away, or None."""
    host, origin = headers.get("host", ""), headers.get("origin")
    if settings.private and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        # A page of evil.example whose name was pointed at 127.0.0.1 says so in its Host header.
        return Problem(421, "foreign-host", f"this server answers to localhost only, not to {host!r}")
    if origin and not _welcome(settings, origin, host):
        return Problem(
            403, "foreign-origin", f"pages of {origin} may not call this server; see TELEQUILT_ALLOWED_ORIGINS"
        )
    if settings.token and method != "OPTIONS" and path.startswith(GUARDED) and not _knows_token(settings, headers):
        return Problem(
            401,
            "token-required",
            "send 'Authorization: Bearer ...' with this server's token",
            {"WWW-Authenticate": 'Bearer realm="telequilt"'},
        )
    return None


def _welcome(settings: Settings, origin: str, host: str) -> bool:
    """Our own pages, those listed, and, where the token guards us instead, everybody's."""
    return not settings.private or urlsplit(origin).netloc == host or origin in settings.allowed_origins


def _knows_token(settings: Settings, headers: Headers) -> bool:
    assert settings.token is not None
    scheme, _, given = headers.get("authorization", "").partition(" ")
    expected = settings.token.get_secret_value()
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), expected.encode())


def _limit(settings: Settings, path: str) -> int:
    return settings.max_portrait_bytes + MULTIPART_ROOM if path == "/api/avatars" else settings.max_sdp_bytes


def _too_large(limit: int) -> Problem:
    return Problem(413, "body-too-large", f"{limit} bytes is the limit for this body", limit=limit)


def _bounded(receive: Receive, limit: int) -> Receive:
    """Counts what comes, for bodies that did not say how long they are."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise _too_large(limit)
        return message

    return counted


def _with_cors(send: Send, origin: str | None) -> Send:
    if origin is None:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers.append("Vary", "Origin")
            for name, value in CORS.items():
                headers[name] = value
        await send(message)

    return sending
