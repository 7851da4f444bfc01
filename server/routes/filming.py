"""Filming: the routes for recording a channel's quilt, for taking a still of it, and for what is kept of both."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from server import workers
from server.calls import events as of
from server.calls import refusals as calls
from server.calls.events import Shared
from server.calls.permits import NO_SEAT
from server.channels import filming
from server.problems import Problem
from server.recordings.archive import Archive
from server.routes.authority import Authority, asker, calls_of
from server.routes.locations import location
from server.routes.signalling import Channel as ChannelName
from server.routes.signalling import lobby_of
from server.settings import Settings
from server.words import in_a_header

log = structlog.get_logger(__name__)

PRIVATE = {"Cache-Control": "private, no-store"}
ASKED = "asked to"


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/channels/{channel}/recording", status_code=201)
    async def begin(request: Request, response: Response, channel: ChannelName) -> dict[str, Any]:
        if who := _conference(request, channel):
            response.headers["Location"] = location(request, f"/api/channels/{channel}/recording")
            return _record(who)
        lobby = lobby_of(request)
        recording = await filming.begin(lobby, settings, lobby.live(channel))
        response.headers["Location"] = location(request, f"/api/channels/{channel}/recording")
        return asdict(recording.report() or lobby.shown(recording.facts))

    @routes.get("/channels/{channel}/recording")
    async def state(request: Request, channel: ChannelName) -> dict[str, Any]:
        if who := _conference(request, channel):
            return _recorded(who)
        lobby = lobby_of(request)
        report = asdict(lobby.report(lobby.live(channel)))
        return {"recording": report["recording"], "recorded": report["recorded"]}

    @routes.delete("/channels/{channel}/recording")
    async def end(request: Request, channel: ChannelName) -> dict[str, Any]:
        if who := _conference(request, channel):
            return _stop(who)
        lobby = lobby_of(request)
        recording = lobby.live(channel).recording
        if recording is None or not recording.under_way:
            raise Problem(404, "not-recording", f"nobody records {channel!r}; POST here begins a recording")
        return asdict(lobby.shown(await recording.finish(ASKED)))

    @routes.post("/channels/{channel}/still")
    async def still(request: Request, channel: ChannelName) -> Response:
        lobby = lobby_of(request)
        if (who := _conference(request, channel.partition(".")[0])) and who.conference.rules.recording is None:
            raise calls.problem(who.conference.rules.agreements[Shared.RECORDING].refusal())
        if who and who.conference.rehearsals.has(channel):
            raise calls.problem(NO_SEAT)
        live = lobby.live(channel)
        live.agreed = who.conference.films.agreed if who else None
        made = await filming.still(lobby, settings, request.app.state.signer, live)
        headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{made.name}"'}
        headers["Content-Credentials"] = in_a_header(f"unsigned: {made.unsigned}" if made.unsigned else "signed")
        return Response(made.png, media_type="image/png", headers=headers)

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


def _conference(request: Request, channel: str) -> Authority | None:
    """Who asks, where `channel` is of a call, which is recorded as a whole. Raises Problem."""
    if calls_of(request).of(channel) is None:
        return None
    call, seat, _ = channel.partition(".")
    who = asker(request, call)
    if seat and request.method != "GET":
        raise Problem(403, "not-permitted", f"a call is recorded as a whole: ask for {call!r}", grant="record")
    return who


def _recorded(who: Authority) -> dict[str, Any]:
    rules = who.conference.rules
    agreement = rules.agreements[Shared.RECORDING]
    since = {"since": rules.recording} if rules.recording is not None else None
    return {
        "recording": since,
        "asking": agreement.asking,
        "missing": agreement.missing(),
        "recorded": who.conference.films.names,
    }


def _record(who: Authority) -> dict[str, Any]:
    if not who.grants.record:
        raise calls.not_permitted("record")
    who.conference.happen(of.Asked(Shared.RECORDING, who.seat))
    return _recorded(who)


def _stop(who: Authority) -> dict[str, Any]:
    """By whoever may record, or by a member who takes its yes back."""
    if who.conference.rules.agreements[Shared.RECORDING].idle:
        raise Problem(404, "not-recording", "nobody records this call; POST here asks everybody for a recording")
    if who.grants.record:
        who.conference.happen(of.Stopped(Shared.RECORDING, ASKED))
    elif who.grants.publish and who.seat:
        who.conference.happen(of.Agreed(who.seat, Shared.RECORDING, False))
    else:
        raise calls.not_permitted("record")
    return _recorded(who)


def _archive(request: Request) -> Archive:
    return request.app.state.archive
