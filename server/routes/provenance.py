"""Provenance: what is stated of a live channel, and consent that is withdrawn."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from pipeline.avatars import SAMPLE, UnknownAvatar
from server import workers
from server.channels.origin import statement
from server.channels.withdrawal import told, withdraw
from server.problems import Problem
from server.provenance.statement import CONFIRMED, UNLIKE
from server.provenance.verdict import lines_of
from server.recordings.archive import mark_of
from server.routes.places import seat_in
from server.routes.signalling import Channel as ChannelName
from server.routes.signalling import lobby_of
from server.settings import Settings


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.get("/channels/{channel}/provenance")
    async def provenance(request: Request, response: Response, channel: ChannelName) -> dict[str, Any]:
        live = lobby_of(request).live(channel)
        response.headers["Cache-Control"] = "no-store"
        stated = statement(live, settings).told()
        who = [("Who may see it", stated["seen_by"])]
        return stated | {"lines": lines_of(stated) + who}

    @routes.post("/channels/{channel}/likeness", status_code=204)
    async def confirm(request: Request, channel: ChannelName) -> Response:
        """The caller, who does not look like the portrait, says that the person shown agreed. In a call that seat alone may."""
        if place := seat_in(request, channel):
            place.must_be_own()
        live = lobby_of(request).live(channel)
        if live.likeness not in (UNLIKE, CONFIRMED):
            raise Problem(409, "nothing-to-confirm", "caller and portrait were not found to be unlike")
        if live.likeness == UNLIKE:
            live.likeness = CONFIRMED
            await workers.slow(request.app.state.consents.add, CONFIRMED, avatar=mark_of(live.avatar))
        return Response(status_code=204)

    @routes.post("/avatars/{avatar}/withdrawal")
    async def withdrawal(request: Request, avatar: str) -> dict[str, Any]:
        """Ends what shows it, deletes all that was made of it, and looks whether anything is left."""
        lobby = lobby_of(request)
        if avatar == SAMPLE:
            raise Problem(403, "built-in", "the built-in sample stays: it is part of the program")
        if not await workers.slow(request.app.state.services.avatars.keeps, avatar):
            raise UnknownAvatar(f"no avatar {avatar!r} is kept here")
        return told({"": await withdraw(lobby, request.app.state.services, settings, avatar)})

    return routes
