"""Handover: the routes by which a channel is published at another server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SecretStr

from display.screen import screen
from server.channels import refusals
from server.channels.report import passed
from server.problems import Problem
from server.routes.authority import calls_of
from server.routes.locations import location
from server.routes.signalling import Channel, lobby_of
from server.settings import Settings


class Wanted(BaseModel):
    """Where to."""

    url: str = Field(max_length=2048, description="A WHIP endpoint at one of TELEQUILT_HANDOVER_HOSTS.")
    token: SecretStr = Field(default=SecretStr(""), max_length=8192, description="The bearer's, for that endpoint.")


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/channels/{channel}")

    @routes.post("/handover", status_code=201)
    async def begin(request: Request, response: Response, channel: Channel, wanted: Wanted) -> dict[str, Any]:
        if (
            calls_of(request).of(channel) is not None
        ):  # whoever is in one would have to agree, and nothing asks them yet
            raise Problem(403, "not-permitted", "a call is not handed over, only a channel is", grant="handover")
        whole = screen(settings.screen)
        begun = await lobby_of(request).hand_over(channel, whole, wanted.url, wanted.token.get_secret_value())
        response.headers["Location"] = location(request, f"/api/channels/{channel}/handover")
        return asdict(passed(begun))

    @routes.delete("/handover", status_code=204)
    async def end(request: Request, channel: Channel) -> Response:
        lobby = lobby_of(request)
        going = lobby.live(channel).handed_over
        if going is None:
            raise refusals.not_handed_over(channel)
        await lobby.leave(channel, going.peer)
        return Response(status_code=204)

    return routes
