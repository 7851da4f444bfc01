"""Calls: the routes for making a call, inviting, taking a seat and leaving it, and the socket. What follows is the rules'."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response, WebSocket
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engines.catalogue import LIVE
from pipeline.avatars import SAMPLE
from server import workers
from server.calls import events as of
from server.calls import refusals
from server.calls.conference import Conference
from server.calls.events import ROLES, Grants
from server.calls.invitations import LONGEST_SECONDS, MOST_USES
from server.calls.tokens import PLAIN_SECONDS
from server.problems import Problem
from server.routes import conversation
from server.routes.authority import Authority, address_of, asker, calls_of, host
from server.routes.locations import location
from server.routes.quotas import Quotas
from server.settings import Settings

log = structlog.get_logger(__name__)

MOST_SEATS = 8
NAME_LENGTH, TITLE_LENGTH = 40, 80
INVITED_SECONDS = 86_400.0
"A day: how long an invitation lasts if nothing else is asked for."
Who = Annotated[Authority, Depends(asker)]
Host = Annotated[Authority, Depends(host)]
Form = Literal["auto", "pair", "table"]


def _plain_text(text: str) -> str:
    """One line without control characters: what people read and nothing acts on."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if not text:
        raise ValueError("is empty")
    return text


Name = Annotated[str, AfterValidator(_plain_text), Field(max_length=NAME_LENGTH)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewCall(_Asked):
    title: str = Field(default="", max_length=TITLE_LENGTH)
    seats: int = Field(default=MOST_SEATS, ge=1, le=MOST_SEATS)
    form: Form = "auto"
    approve: bool = False


class CallChange(_Asked):
    locked: bool | None = None
    title: str | None = Field(default=None, max_length=TITLE_LENGTH)
    form: Form | None = None


class NewInvitation(_Asked):
    role: Literal["host", "member", "viewer", "recorder"] = "member"
    name: Name | None = None
    uses: int = Field(default=1, ge=1, le=MOST_USES)
    expires_in: float = Field(default=INVITED_SECONDS, gt=0, le=LONGEST_SECONDS)


class NewSeat(_Asked):
    name: Name | None = None
    "Who; the invitation's if it has one."
    avatar: str | None = Field(default=None, max_length=80)
    "Without one, and without an engine, one's live picture is shown."
    engine: str | None = Field(default=None, max_length=40)
    consent: bool = False
    recording: bool = False
    "Agrees to being recorded."
    muted: bool = False
    plain: bool = False


class SeatChange(_Asked):
    name: Name | None = None
    muted: bool | None = None
    camera: bool | None = None
    avatar: str | None = Field(default=None, max_length=80)
    approved: bool | None = None


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/calls")

    @routes.post("", status_code=201)
    async def make(request: Request, response: Response, asked: NewCall) -> dict[str, Any]:
        if not settings.private:  # there all come from one address, its user's
            _quotas(request).calls.take(address_of(request), time.monotonic(), "calls made from your address")
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
        _quotas(request).invitations.take(call, time.monotonic(), "invitations of this call")
        made = _invited(who.conference, ROLES[asked.role], asked.name or "", asked.uses, asked.expires_in)
        response.headers["Location"] = location(request, f"/api/calls/{call}/invitations/{made['id']}")
        return made

    @routes.delete("/{call}/invitations/{invitation}", status_code=204)
    async def revoke(who: Host, invitation: str) -> Response:
        who.conference.invitations.revoke(invitation)
        return Response(status_code=204)

    @routes.post("/{call}/seats", status_code=201)
    async def sit(request: Request, response: Response, who: Who, asked: NewSeat) -> dict[str, Any]:
        call, quotas, now = who.conference.name, _quotas(request), time.monotonic()
        quotas.joins.take(address_of(request), now, "joins from your address")
        quotas.joins_of_a_call.take(call, now, "joins of this call")
        seat = await _seated(request, settings, who, asked)
        waits = who.conference.rules.seats[seat].being is of.Being.WAITING
        response.status_code = 202 if waits else 201
        response.headers["Location"] = location(request, f"/api/calls/{call}/seats/{seat}")
        return _place(who.conference, seat)

    @routes.patch("/{call}/seats/{seat}")
    async def change_seat(request: Request, who: Who, seat: int, asked: SeatChange) -> dict[str, Any]:
        who.must_own(seat)
        await _change_seat(request, who, seat, asked)
        return _row(who.conference, seat)

    @routes.delete("/{call}/seats/{seat}", status_code=204)
    async def leave(who: Who, seat: int) -> Response:
        who.must_own(seat)
        who.conference.happen(of.Left(seat) if who.seat == seat else of.Removed(seat))
        return Response(status_code=204)

    @routes.websocket("/{call}/events")
    async def events(socket: WebSocket, call: str) -> None:
        await conversation.hold(socket, call)

    return routes


async def _seated(request: Request, settings: Settings, who: Authority, asked: NewSeat) -> int:
    """A seat is taken. Raises Problem."""
    conference, claims = who.conference, who.claims
    grants, name = who.grants, asked.name
    if claims is not None and claims.seat:
        raise refusals.not_permitted("invitation")
    if claims is not None:
        conference.invitations.check(claims.invitation)
        name = name or claims.name or None
    elif not asked.plain and grants.host:
        grants = ROLES["host"]
    if asked.plain:
        who.must_host()
        grants = Grants(publish=True)
    if name is None:
        raise Problem(400, "bad-parameter", "say who comes: a name of 1 to 40 characters", parameter="name")
    if grants.publish and not asked.consent:
        raise refusals.consent_missing()
    avatar, engine = asked.avatar or SAMPLE, asked.engine or (settings.engine if asked.avatar else LIVE)
    if grants.publish:
        await workers.slow(request.app.state.services.check, avatar, engine)
        if conference.ended:
            raise refusals.call_ended()
        if claims is not None:
            conference.invitations.check(claims.invitation)  # somebody else may have used it meanwhile
    lasts = PLAIN_SECONDS if asked.plain else 0.0
    seated = of.Seated(name, grants, lasts, agrees=asked.recording, muted=asked.muted, live=engine == LIVE)
    seat = conference.seat(seated, avatar, engine)
    if claims is not None and not asked.plain:
        conference.invitations.use(claims.invitation)
    return seat


async def _change_seat(request: Request, who: Authority, seat: int, asked: SeatChange) -> None:
    own = who.seat == seat
    if not own and (asked.name is not None or asked.camera is not None or asked.avatar is not None):
        raise refusals.not_permitted("its own seat")
    if not own and asked.muted is False:
        raise Problem(
            403, "not-permitted", "a host mutes and never unmutes: whoever sits there has to", grant="its own seat"
        )
    if asked.approved is not None:
        who.must_host()
        who.conference.happen(of.Approved(seat) if asked.approved else of.Denied(seat))
    if asked.avatar is not None:
        taken = who.conference.taken[seat]
        await workers.slow(request.app.state.services.check, asked.avatar, taken.engine)
        who.conference.change_avatar(seat, asked.avatar)
    who.conference.happen(of.Set(seat, asked.name, asked.muted, asked.camera, by_host=not own))


def _invited(conference: Conference, grants: Grants, name: str, uses: int | None, seconds: float) -> dict[str, Any]:
    jti, expires = secrets.token_urlsafe(9), time.time() + seconds
    conference.invitations.add(jti, uses)
    token = conference.tokens.invitation(conference.name, jti, grants, name, expires)
    link = f"call/{conference.name}#t={token}"  # from the server's root, which a proxy may have put anywhere
    return {"id": jti, "token": token, "link": link, "expires": int(expires), "role": grants.role, "uses": uses}


def _place(conference: Conference, seat: int) -> dict[str, Any]:
    """What whoever took a seat gets."""
    token, expires = conference.token_of(seat)
    taken = conference.taken[seat]
    return {
        **_row(conference, seat),
        "token": token,
        "expires": int(expires),
        **asdict(taken),
        "ice_servers": conference.ice_servers(seat),
        "whip": f"whip/{conference.channel(seat)}",
        "whep": f"whep/{conference.name}",
        "events": f"api/calls/{conference.name}/events",
        "form": conference.rules.form_of(seat),
    }


def _row(conference: Conference, seat: int) -> dict[str, Any]:
    found = conference.rules.seats.get(seat)
    if found is None:  # denied, just now
        return {"seat": seat, "state": of.Being.GONE}
    return conference.rules.seats.row(found)


def _shown(conference: Conference, host: bool) -> dict[str, Any]:
    return {"call": conference.name, **conference.rules.snapshot(host)}


def _quotas(request: Request) -> Quotas:
    return request.app.state.quotas
