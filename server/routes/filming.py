"""Filming: the routes for recording a channel's quilt, for taking a still of it, and for what is kept of both."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from display.screen import screen
from server import workers
from server.calls import refusals
from server.calls.events import Refuse
from server.channels import filming
from server.problems import Problem
from server.recordings.archive import Archive
from server.routes.authority import calls_of
from server.routes.locations import location
from server.routes.signalling import Channel as ChannelName
from server.routes.signalling import lobby_of
from server.settings import Settings

log = structlog.get_logger(__name__)

PRIVATE = {"Cache-Control": "private, no-store"}
ASKED = "asked to"


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/channels/{channel}/recording", status_code=201)
    async def begin(request: Request, response: Response, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        _of_no_call(request, channel)
        recording = await filming.begin(lobby, settings, lobby.live(channel))
        response.headers["Location"] = location(request, f"/api/channels/{channel}/recording")
        return asdict(recording.report() or lobby.shown(recording.facts))

    @routes.get("/channels/{channel}/recording")
    async def state(request: Request, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        report = asdict(lobby.report(lobby.live(channel)))
        return {"recording": report["recording"], "recorded": report["recorded"]}

    @routes.delete("/channels/{channel}/recording")
    async def end(request: Request, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        recording = lobby.live(channel).recording
        if recording is None or not recording.under_way:
            raise Problem(404, "not-recording", f"nobody records {channel!r}; POST here begins a recording")
        return asdict(lobby.shown(await recording.finish(ASKED)))

    @routes.post("/channels/{channel}/still")
    async def still(request: Request, channel: ChannelName) -> Response:
        whole, lobby = screen(settings.screen), lobby_of(request)
        _of_no_call(request, channel)
        live = lobby.live(channel)
        data = await filming.still(lobby, live, whole)
        name = f"{channel}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}{whole.file_suffix}.png"
        headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type="image/png", headers=headers)

    @routes.get("/recordings")
    async def listing(
        request: Request, channel: Annotated[str | None, Query(description="Only what was recorded there.")] = None
    ) -> list[dict[str, Any]]:
        """All of them where only this machine's user can ask. Elsewhere by channel: whoever knows a channel could watch it."""
        if channel is None and not settings.private:
            raise Problem(400, "channel-required", "this server is shared: ask for one channel's, ?channel=...")
        kept = await workers.slow(_archive(request).listing, channel)
        return [asdict(facts) | {"avatar": facts.avatar if settings.private else ""} for facts in kept]

    @routes.get("/recordings/{name}")
    async def download(request: Request, name: str) -> FileResponse:
        film = await workers.slow(_archive(request).film, name)
        return FileResponse(film, media_type="video/mp4", filename=name, headers=PRIVATE)

    @routes.delete("/recordings/{name}", status_code=204)
    async def delete(request: Request, name: str) -> Response:
        await workers.slow(_archive(request).delete, name)
        log.info("recording deleted")
        return Response(status_code=204)

    return routes


def _of_no_call(request: Request, channel: str) -> None:
    """Raises Problem 409 for a channel of a call: everybody there has to agree first."""
    if (conference := calls_of(request).of(channel)) is not None:
        raise refusals.problem(Refuse("not-everybody-agrees", {"missing": conference.rules.missing()}))


def _archive(request: Request) -> Archive:
    return request.app.state.archive
