"""Calls: the routes for making a call, inviting, changing and ending it, and the socket. What follows is the rules'."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response, WebSocket
from pydantic import Field

from server.calls import events as of
from server.calls.conference import Conference
from server.calls.events import ROLES, Grants
from server.calls.invitations import LONGEST_SECONDS, MOST_USES
from server.calls.tokens import now
from server.routes import conversation
from server.routes.authority import Authority, calls_of, host
from server.routes.conversation import Name, Title
from server.routes.locations import location
from server.routes.quotas import client_of
from server.routes.seats import Asked, Who, quotas_of
from server.settings import Settings

log = structlog.get_logger(__name__)

MOST_SEATS = 8
INVITED_SECONDS = 86_400.0
"A day: how long an invitation lasts if nothing else is asked for."
Host = Annotated[Authority, Depends(host)]
Form = Literal["auto", "pair", "table"]


class NewCall(Asked):
    title: Title = ""
    seats: int = Field(default=MOST_SEATS, ge=1, le=MOST_SEATS)
    form: Form = "auto"
    approve: bool = False


class CallChange(Asked):
    locked: bool | None = None
    title: Title | None = None
    form: Form | None = None


class NewInvitation(Asked):
    role: Literal["host", "member", "viewer", "recorder"] = "member"
    name: Name | None = None
    uses: int = Field(default=1, ge=1, le=MOST_USES)
    expires_in: float = Field(default=INVITED_SECONDS, gt=0, le=LONGEST_SECONDS)


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/calls")

    @routes.post("", status_code=201)
    async def make(request: Request, response: Response, asked: NewCall) -> dict[str, Any]:
        if not settings.private:  # there all come from one address, its user's
            quotas_of(request).calls.take(client_of(request), "calls made from your address")
        conference = calls_of(request).make(asked.title, asked.seats, asked.form, asked.approve)
        host = _invited(conference, ROLES["host"], "", None, LONGEST_SECONDS)
        response.headers["Location"] = location(request, f"/api/calls/{conference.name}")
        return {"call": conference.name, "host": host, "expires": host["expires"]}

    @routes.get("")
    async def listing(request: Request) -> list[dict[str, Any]]:
        """All of them where only this machine's user can ask; elsewhere their number alone is told, by /metrics."""
        return [_shown(one, True) for one in calls_of(request).conferences.values()] if settings.private else []

    @routes.get("/{call}")
    async def state(who: Who) -> dict[str, Any]:
        return _shown(who.conference, who.grants.host)

    @routes.patch("/{call}")
    async def change(who: Host, asked: CallChange) -> dict[str, Any]:
        who.conference.happen(of.Changed(asked.locked, asked.title, asked.form))
        return _shown(who.conference, who.grants.host)

    @routes.delete("/{call}", status_code=204)
    async def end(request: Request, who: Host) -> Response:
        calls_of(request).end(who.conference, "the host has ended it")
        return Response(status_code=204)

    @routes.post("/{call}/invitations", status_code=201)
    async def invite(request: Request, response: Response, who: Host, asked: NewInvitation) -> dict[str, Any]:
        call = who.conference.name
        quotas_of(request).invitations.take(call, "invitations of this call")
        made = _invited(who.conference, ROLES[asked.role], asked.name or "", asked.uses, asked.expires_in)
        response.headers["Location"] = location(request, f"/api/calls/{call}/invitations/{made['id']}")
        return made

    @routes.delete("/{call}/invitations/{invitation}", status_code=204)
    async def revoke(who: Host, invitation: str) -> Response:
        who.conference.invitations.revoke(invitation)
        return Response(status_code=204)

    @routes.websocket("/{call}/events")
    async def events(socket: WebSocket, call: str) -> None:
        await conversation.hold(socket, call)

    return routes


def _invited(conference: Conference, grants: Grants, name: str, uses: int | None, seconds: float) -> dict[str, Any]:
    jti, expires = secrets.token_urlsafe(9), now() + seconds
    conference.invitations.add(jti, uses)
    token = conference.tokens.invitation(conference.name, jti, grants, name, expires)
    link = f"call/{conference.name}#t={token}"  # from the server's root, which a proxy may have put anywhere
    return {"id": jti, "token": token, "link": link, "expires": int(expires), "role": grants.role, "uses": uses}


def _shown(conference: Conference, host: bool) -> dict[str, Any]:
    return {"call": conference.name, **conference.rules.snapshot(host)}
