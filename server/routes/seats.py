"""Seats: the routes for taking a seat in a call, changing it and leaving it, and for seeing oneself before. What follows is the rules'."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from engines.catalogue import LIVE, TAKING
from pipeline.avatars import SAMPLE
from server import workers
from server.calls import events as of
from server.calls import refusals
from server.calls.conference import Conference
from server.calls.events import ROLES, Grants
from server.calls.tokens import PLAIN_SECONDS
from server.problems import Problem
from server.routes.authority import Authority, asker
from server.routes.conversation import Name
from server.routes.locations import location
from server.routes.quotas import Quotas, client_of
from server.settings import Settings

Who = Annotated[Authority, Depends(asker)]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewSeat(Asked):
    name: Name | None = None
    "Who; the invitation's if it has one."
    avatar: str | None = Field(default=None, max_length=80)
    "Without one, and without an engine, one's live picture is shown."
    engine: str | None = Field(default=None, max_length=40)
    consent: bool = False
    recording: bool = False
    "Agrees to being recorded."
    handover: bool = False
    "Agrees to going out to another server."
    muted: bool = False
    plain: bool = False


class Rehearsed(Asked):
    avatar: str | None = Field(default=None, max_length=80)
    "Without one, and without an engine, one's live picture is shown."
    engine: str | None = Field(default=None, max_length=40)


class SeatChange(Asked):
    name: Name | None = None
    muted: bool | None = None
    camera: bool | None = None
    avatar: str | None = Field(default=None, max_length=80)
    approved: bool | None = None


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api/calls")

    @routes.post("/{call}/seats", status_code=201)
    async def sit(request: Request, response: Response, who: Who, asked: NewSeat) -> dict[str, Any]:
        call, quotas = who.conference.name, quotas_of(request)
        quotas.joins.take(client_of(request), "joins from your address")
        quotas.joins_of_a_call.take(call, "joins of this call")
        seat = await _seated(request, settings, who, asked)
        waits = who.conference.rules.seats[seat].being is of.Being.WAITING
        response.status_code = 202 if waits else 201
        response.headers["Location"] = location(request, f"/api/calls/{call}/seats/{seat}")
        return _place(who.conference, seat)

    @routes.post("/{call}/rehearsals", status_code=201)
    async def rehearse(request: Request, response: Response, who: Who, asked: Rehearsed) -> dict[str, Any]:
        call = who.conference.name
        quotas_of(request).joins.take(client_of(request), "joins from your address")
        number, token = await _rehearsed(request, settings, who, asked)
        response.headers["Location"] = location(request, f"/api/calls/{call}/rehearsals/{number}")
        channel = who.conference.channel(number)
        shown = {"whip": f"whip/{channel}", "whep": f"whep/{channel}?self=1", "form": who.conference.form_of(number)}
        return {"number": number, "token": token, **shown, "ice_servers": who.conference.ice_servers(number)}

    @routes.delete("/{call}/rehearsals/{number}", status_code=204)
    async def rehearsed(who: Who, number: int) -> Response:
        if who.claims is not None and who.seat != number:
            raise refusals.not_permitted("its own rehearsal")
        who.conference.rehearsals.end(number)
        return Response(status_code=204)

    @routes.patch("/{call}/seats/{seat}")
    async def change_seat(request: Request, who: Who, seat: int, asked: SeatChange) -> dict[str, Any]:
        who.must_own(seat)
        await _change_seat(request, settings, who, seat, asked)
        return _row(who.conference, seat)

    @routes.delete("/{call}/seats/{seat}", status_code=204)
    async def leave(who: Who, seat: int) -> Response:
        who.must_own(seat)
        who.conference.happen(of.Left(seat) if who.seat == seat else of.Removed(seat))
        return Response(status_code=204)

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
    avatar, engine = await _shown_as(request, settings, asked)
    if grants.publish:
        await workers.slow(request.app.state.services.check, avatar, engine)
        if conference.ended:
            raise refusals.call_ended()
        if claims is not None:
            conference.invitations.check(claims.invitation)  # somebody else may have used it meanwhile
    lasts = PLAIN_SECONDS if asked.plain else 0.0
    agrees = frozenset(what for what in of.Shared if getattr(asked, what))
    seated = of.Seated(name, grants, lasts, agrees, muted=asked.muted, live=engine == LIVE)
    seat = conference.seat(seated, avatar, engine)
    if claims is not None and not asked.plain:
        conference.invitations.use(claims.invitation)
    return seat


async def _rehearsed(request: Request, settings: Settings, who: Authority, asked: Rehearsed) -> tuple[int, str]:
    """A rehearsal's number, and its token. Raises Problem."""
    if who.claims is not None and who.claims.seat:
        raise refusals.not_permitted("invitation")
    if who.claims is not None:
        who.conference.invitations.check(who.claims.invitation)
    if not who.grants.publish:
        raise refusals.not_permitted("publish")
    avatar, engine = await _shown_as(request, settings, asked)
    await workers.slow(request.app.state.services.check, avatar, engine)
    if who.conference.ended:
        raise refusals.call_ended()
    return who.conference.rehearse(avatar, engine)


async def _shown_as(request: Request, settings: Settings, asked: NewSeat | Rehearsed) -> tuple[str, str]:
    """Avatar and engine; without either, the live picture."""
    if asked.engine or not asked.avatar:
        return asked.avatar or SAMPLE, asked.engine or LIVE
    return asked.avatar, await workers.slow(request.app.state.services.engine_of, asked.avatar, settings.engine)


async def _change_seat(request: Request, settings: Settings, who: Authority, seat: int, asked: SeatChange) -> None:
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
        services, usual = request.app.state.services, settings.engine if taken.engine == TAKING else taken.engine
        engine = await workers.slow(services.engine_of, asked.avatar, usual)
        await workers.slow(services.check, asked.avatar, engine)
        who.conference.change_avatar(seat, asked.avatar, engine)
    who.conference.happen(of.Set(seat, asked.name, asked.muted, asked.camera, by_host=not own))


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
        "form": conference.form_of(seat),
    }


def _row(conference: Conference, seat: int) -> dict[str, Any]:
    found = conference.rules.seats.get(seat)
    if found is None:  # denied, just now
        return {"seat": seat, "state": of.Being.GONE}
    return conference.rules.seats.row(found)


def quotas_of(request: Request) -> Quotas:
    return request.app.state.quotas
