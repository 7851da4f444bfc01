"""Provenance: what is stated of a live channel, and consent that is withdrawn."""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import APIRouter, Request, Response

from pipeline.avatars import SAMPLE, AvatarDamaged
from server import workers
from server.channels.lobby import Lobby
from server.channels.origin import statement
from server.channels.services import Services
from server.problems import Problem
from server.provenance.consents import WITHDRAWN
from server.recordings import traces
from server.recordings.archive import mark_of
from server.routes.signalling import Channel as ChannelName
from server.routes.signalling import lobby_of
from server.settings import Settings

log = structlog.get_logger(__name__)


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.get("/channels/{channel}/provenance")
    async def provenance(request: Request, response: Response, channel: ChannelName) -> dict[str, Any]:
        live = lobby_of(request).live(channel)
        response.headers["Cache-Control"] = "no-store"
        return statement(live, settings).told()

    @routes.post("/avatars/{avatar}/withdrawal")
    async def withdraw(request: Request, avatar: str) -> dict[str, Any]:
        """Ends what shows it, deletes all that was made of it, and looks whether anything is left."""
        lobby: Lobby = lobby_of(request)
        services: Services = request.app.state.services
        if avatar == SAMPLE:
            raise Problem(403, "built-in", "the built-in sample stays: it is part of the program")
        photo = await workers.slow(_photo, services, avatar)
        ended = lobby.withdraw(avatar)
        async with lobby.forgetting(avatar):
            recordings = await workers.slow(request.app.state.archive.forget, avatar)
            await workers.slow(services.avatars.forget, avatar)
        folders = (settings.data_dir, settings.recordings)
        looked = await workers.slow(traces.look, avatar, folders, [photo])
        facts = {"channels": len(ended), "recordings": recordings, "files": looked.files, "left": len(looked.found)}
        await workers.slow(request.app.state.consents.add, WITHDRAWN, avatar=mark_of(avatar), **facts)
        log.info("consent withdrawn", **facts)
        return {"ended": ended, "recordings": recordings, "looked": {"files": looked.files, "found": looked.found}}

    return routes


def _photo(services: Services, avatar: str) -> str:
    """The hash of the photo that it was made from, where that can be read. Raises UnknownAvatar."""
    try:
        return services.avatars.get(avatar).portrait_sha256
    except AvatarDamaged:
        return ""
