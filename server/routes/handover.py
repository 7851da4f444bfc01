"""Handover: the routes by which a channel, or with everybody's yes a call, is published at another server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SecretStr

from display.screen import screen
from server.calls import events as of
from server.calls import refusals as calls
from server.calls.events import Shared
from server.channels import refusals
from server.channels.channel import Handover
from server.channels.report import passed
from server.problems import Problem
from server.routes.authority import Authority, asker, calls_of
from server.routes.locations import location
from server.routes.signalling import Channel, lobby_of
from server.settings import Settings

ASKED = "asked to"


class Wanted(BaseModel):
    """Where to."""

    url: str = Field(max_length=2048, description="A WHIP endpoint at one of TELEQUILT_HANDOVER_HOSTS.")
    token: SecretStr = Field(default=SecretStr(""), max_length=8192, description="The bearer's, for that endpoint.")


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/channels/{channel}")

    @routes.post("/handover", status_code=201)
    async def begin(request: Request, response: Response, channel: Channel, wanted: Wanted) -> dict[str, Any]:
        if who := _conference(request, channel):
            begun = await _call_begun(who, wanted)
        else:
            whole, token = screen(settings.screen), wanted.token.get_secret_value()
            begun = await lobby_of(request).hand_over(channel, whole, wanted.url, token)
        response.headers["Location"] = location(request, f"/api/channels/{channel}/handover")
        return asdict(passed(begun))

    @routes.delete("/handover", status_code=204)
    async def end(request: Request, channel: Channel) -> Response:
        if who := _conference(request, channel):
            _call_ended(who, channel)
            return Response(status_code=204)
        lobby = lobby_of(request)
        going = lobby.live(channel).handed_over
        if going is None:
            raise refusals.not_handed_over(channel)
        await lobby.leave(channel, going.peer)
        return Response(status_code=204)

    return routes


def _conference(request: Request, channel: str) -> Authority | None:
    """Who asks, where `channel` is of a call, which goes out as a whole. Raises Problem."""
    if calls_of(request).of(channel) is None:
        return None
    call, seat, _ = channel.partition(".")
    who = asker(request, call)
    if seat:
        raise Problem(403, "not-permitted", f"a call goes out as a whole: ask for {call!r}", grant="host")
    return who


async def _call_begun(who: Authority, wanted: Wanted) -> Handover:
    """Raises Problem 409 until everybody has agreed; then it begins by itself."""
    who.must_host()
    who.conference.hand_over(who.seat, wanted.url, wanted.token.get_secret_value())
    return await who.conference.outgoing.begun()


def _call_ended(who: Authority, call: str) -> None:
    """By a host, or by a member who takes its yes back."""
    conference = who.conference
    if conference.rules.agreements[Shared.HANDOVER].idle:
        raise refusals.not_handed_over(call)
    if who.grants.host:
        conference.happen(of.Stopped(Shared.HANDOVER, ASKED))
    elif who.grants.publish and who.seat:
        conference.happen(of.Agreed(who.seat, Shared.HANDOVER, False))
    else:
        raise calls.not_permitted("host")
