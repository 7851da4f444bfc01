"""Routes: what HTTP asks of a cluster, and what its nodes ask each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from server import workers
from server.cluster.avatars import Exchange
from server.cluster.membership import Membership
from server.problems import Problem, busy
from server.routes.authority import calls_of
from server.settings import Settings


def router(settings: Settings, membership: Membership, exchange: Exchange) -> APIRouter:
    routes = APIRouter(prefix="/api/cluster")

    @routes.get("")
    async def nodes() -> dict[str, Any]:
        """Every node that is there; what is live on it is told to this machine's user alone."""
        told = [asdict(one) | {"channels": len(one.names)} for one in membership.nodes]
        for row in told:
            for name in ("avatars", "calls"):
                row.pop(name)
            if not settings.private:
                row.pop("names")
        return {"here": membership.node, "nodes": told, "directory": "away" if membership.away() else "there"}

    @routes.post("/nodes/{node}/drain", status_code=204)
    async def drain(node: str) -> Response:
        return await _drain(node, True)

    @routes.delete("/nodes/{node}/drain", status_code=204)
    async def fill(node: str) -> Response:
        return await _drain(node, False)

    @routes.get("/avatars/{avatar}")
    async def avatar(request: Request, avatar: str) -> Response:
        _only_doors(request)
        return Response(await workers.slow(exchange.files, avatar), media_type="application/zip")

    @routes.delete("/avatars/{avatar}", status_code=204)
    async def forget(request: Request, avatar: str) -> Response:
        _only_doors(request)
        if not await exchange.forget(avatar):
            raise Problem(404, "unknown-avatar", f"no avatar {avatar!r} is kept here")
        return Response(status_code=204)

    @routes.post("/avatars/{avatar}/withdrawal")
    async def withdraw(request: Request, avatar: str) -> dict[str, Any]:
        _only_doors(request)
        return asdict(await exchange.withdraw(avatar, settings))

    @routes.post("/calls/{call}", status_code=204)
    async def take_up(request: Request, call: str, memory: dict[str, Any]) -> Response:
        """A call whose node has died goes on here."""
        _only_doors(request)
        for person in memory.get("people", ()):
            await exchange.bring(person["avatar"])
        calls_of(request).recall(call, memory)
        await membership.tell()
        return Response(status_code=204)

    async def _drain(node: str, on: bool) -> Response:
        try:
            known = await membership.registry.drain(node, on)
        except ConnectionError:
            raise busy("directory-away", "the cluster's directory does not answer; ask again", 2) from None
        if not known:
            raise Problem(404, "unknown-node", f"no machine here is called {node!r}; GET /api/cluster lists them")
        return Response(status_code=204)

    return routes


def _only_doors(request: Request) -> None:
    """Raises Problem 404 for everybody else: to them there is no such route."""
    if not getattr(request.state, "door", False):
        raise Problem(404, "not-found", "Not Found")
