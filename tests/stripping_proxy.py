"""Stripping proxy: a server below a path of another address, as operators put it behind Caddy or nginx. It tells nobody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.live import until

PREFIX = "/below/a/path"
HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "content-encoding", "date")


class Proxy:
    """Where it is, and what it has passed on: (method, status) -> how often."""

    def __init__(self, server: str) -> None:
        self.address = ""
        self.passed: Counter[tuple[str, int]] = Counter()
        self._http = httpx.AsyncClient(base_url=server, timeout=60)
        methods = ["GET", "POST", "PATCH", "DELETE", "OPTIONS"]
        self.app = Starlette(routes=[Route(PREFIX + "/{path:path}", self._pass_on, methods=methods)])

    @property
    def deleted(self) -> int:
        """How many DELETE led back here. Some clients close their connection first, so that the server may know already."""
        return sum(times for (method, _), times in self.passed.items() if method == "DELETE")

    async def _pass_on(self, request: Request) -> Response:
        path = request.url.path.removeprefix(PREFIX) + (f"?{request.url.query}" if request.url.query else "")
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        asked = self._http.build_request(request.method, path, headers=headers, content=await request.body())
        answer = await self._http.send(asked)
        self.passed[request.method, answer.status_code] += 1
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [one for one in answer.headers.raw if one[0].decode().lower() not in HOP_BY_HOP]
        response.headers["content-length"] = str(len(answer.content))
        return response

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def stripping(server: str) -> AsyncIterator[Proxy]:
    """A proxy in front of `server`, whose address ends with the prefix."""
    proxy = Proxy(server)
    outer = uvicorn.Server(uvicorn.Config(proxy.app, "127.0.0.1", 0, log_level="warning"))
    task = asyncio.create_task(outer.serve())
    try:
        await until(lambda: outer.started)
        proxy.address = f"http://127.0.0.1:{outer.servers[0].sockets[0].getsockname()[1]}{PREFIX}"
        yield proxy
    finally:
        outer.should_exit = True
        await task
        await proxy.close()
