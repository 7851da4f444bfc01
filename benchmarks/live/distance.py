"""Distance: a server as it is met from far away: an address at which any WHIP or WHEP client is answered, and whose media go through a
relay (network.py) with conditions of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.live.network import Way, relayed, without_candidates

PASSED_ON = ("content-type", "authorization", "if-match")


class Distance:
    """Between clients and the server at `base`. The ways are those of sessions that begin from now on."""

    def __init__(self, base: str) -> None:
        self.address = ""
        self.up, self.down = Way(), Way()
        self._base, self._relays = base, AsyncExitStack()
        self._http = httpx.AsyncClient(base_url=base, timeout=60, trust_env=False)

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        offered = request.method == "POST" and request.url.path.startswith(("/whip/", "/whep/"))
        answer = await self._http.request(
            request.method,
            str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
            content=without_candidates(body.decode()) if offered else body,
            headers={name: request.headers[name] for name in PASSED_ON if name in request.headers},
        )
        content = answer.text
        if offered and answer.status_code == 201:
            content = await self._relays.enter_async_context(relayed(content, self.up, self.down))
        kept = {name: answer.headers[name] for name in ("location", "etag", "content-type") if name in answer.headers}
        return Response(content, answer.status_code, kept)

    async def close(self) -> None:
        await self._relays.aclose()
        await self._http.aclose()


@asynccontextmanager
async def away(base: str) -> AsyncIterator[Distance]:
    """The server at `base`, from far away, for as long as the context lasts."""
    distance = Distance(base)
    app = FastAPI(openapi_url=None)
    app.add_route("/{path:path}", distance.answer, methods=["GET", "POST", "PATCH", "DELETE", "OPTIONS"])
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="error"))
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        distance.address = f"http://127.0.0.1:{port}"
        yield distance
    finally:
        server.should_exit = True
        await serving
        await distance.close()
