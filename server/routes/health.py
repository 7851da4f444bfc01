"""Health: alive, ready, and how it goes, for load balancers, Prometheus and people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from display import presets
from display.screen import screens
from engines import catalogue
from server.channels.lobby import Lobby
from server.channels.report import ChannelReport
from server.problems import Problem
from server.routes.authority import asker
from server.routes.metrics import Live, alias
from server.settings import Settings


def router(settings: Settings) -> APIRouter:
    routes = APIRouter()

    @routes.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    async def ready(request: Request) -> dict[str, str]:
        """200 once warm: also while full, since who watches those that are live must still get here."""
        state = request.app.state
        if state.failure is not None:
            raise Problem(503, "cannot-start", f"warming up failed: {state.failure}")
        if state.lobby is None:
            raise Problem(503, "warming-up", "engine and encoder are being warmed up", {"Retry-After": "2"})
        state.lobby.check_devices(settings.engine)
        try:
            state.lobby.check_room(settings.engine)
        except Problem as full:
            return {"status": "ready", "callers": full.detail}
        return {"status": "ready", "callers": "welcome"}

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        registry = CollectorRegistry()
        state = request.app.state
        named = str if settings.private else alias
        registry.register(Live(state.lobby, state.calls, state.quotas.refused, named))
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/api/channels")
    async def channels(
        request: Request, channel: Annotated[list[str] | None, Query(description="Only these, by their names.")] = None
    ) -> list[dict[str, Any]]:
        """All of them where only this machine's user can ask. Elsewhere those asked for: a channel's name opens it to viewers,
        and a list would hand every holder of the server's token everybody's channel."""
        reports = _reports(request.app.state.lobby)
        asked = channel if channel is not None or not settings.private else [report.name for report in reports]
        return [asdict(report) for report in reports if report.name in (asked or ())]

    @routes.get("/api/channels/{channel}")
    async def channel(request: Request, channel: str) -> dict[str, Any]:
        lobby: Lobby | None = request.app.state.lobby
        if lobby is None:
            raise Problem(503, "warming-up", "the server is still warming up; ask again", {"Retry-After": "2"})
        if channel in request.app.state.calls.conferences:  # what /whep of that name shows to whoever asks
            who = asker(request, channel)
            channel = who.conference.source(who.seat)
        return asdict(lobby.report(lobby.live(channel)))

    @routes.get("/api/devices")
    async def devices(request: Request) -> dict[str, Any]:
        lobby: Lobby | None = request.app.state.lobby
        deployments = lobby.deployments if lobby is not None else []
        return {
            "places": [asdict(one.placement) | {"devices": one.executor.devices()} for one in deployments],
            "utilisation": lobby.utilisation if lobby is not None else {},
        }

    @routes.get("/api/engines")
    def engines() -> list[dict[str, Any]]:
        return [
            asdict(row)
            | {
                "default": row.name == settings.engine,
                "geometry": settings.geometry and catalogue.abilities(row.name).geometry,
                "brought": catalogue.abilities(row.name).brought,
            }
            for row in catalogue.listing(settings.engine_options)
        ]

    @routes.get("/api/screens")
    async def all_screens() -> list[dict[str, Any]]:
        return [
            asdict(one)
            | {"views": one.views, "file_suffix": one.file_suffix, "default": one.name == settings.screen}
            | {"serials": presets.serials(one.name)}
            for one in screens().values()
        ]

    return routes


def _reports(lobby: Lobby | None) -> list[ChannelReport]:
    return lobby.reports() if lobby is not None else []
