"""Signalling: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP. SDP in and out; what is behind it is the lobby's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter

from display.screen import Screen, screen
from pipeline.avatars import SAMPLE
from server import workers
from server.channels.entry import Accepted
from server.channels.lobby import Lobby
from server.channels.services import Services
from server.problems import Problem
from server.routes.bearer import knows_token
from server.routes.locations import location
from server.routes.places import seat_in
from server.settings import Settings
from server.webrtc import offers, relays
from server.webrtc.peers import Peer

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"
GLB = "model/gltf-binary"
GIVEN_UP = 499
"The status that nginx logs for a request whose client has gone; nobody receives it."
Channel = Annotated[
    str,
    PathParameter(
        pattern=r"^[A-Za-z0-9_-]{1,64}(\.[0-9]{1,4})?$",
        description="1 to 64 letters, digits, - and _; with a dot and a number: a seat of a call",
    ),
]


def router(settings: Settings) -> APIRouter:
    """The routes of both protocols; the lobby comes with the running app."""
    routes = APIRouter()

    @routes.post("/whip/{channel}", status_code=201)
    async def publish(
        request: Request,
        channel: Channel,
        avatar: str | None = None,
        engine: str | None = None,
        driver: Annotated[
            Literal["camera", "film", "puppet"] | None,
            Query(description="What moves the avatar, which is stated in all that is made of it."),
        ] = None,
    ) -> Response:
        sdp = await _body(request, SDP)
        if place := seat_in(request, channel):
            accepted = await place.publish(sdp, avatar=avatar, engine=engine, driver=driver)
            return _created(request, accepted, settings)
        avatar = avatar or SAMPLE
        engine = engine or await _usual_engine(request, avatar, settings)
        accepted = await _while_wanted(request, lobby_of(request).publish(channel, sdp, avatar, engine, driver))
        return _created(request, accepted, settings) if accepted is not None else Response(status_code=GIVEN_UP)

    @routes.post("/whep/{channel}", status_code=201)
    async def view(
        request: Request,
        channel: Channel,
        form: Annotated[Literal["quilt", "view", "table", "geometry"], Query(alias="as")] = "quilt",
        view: int | None = None,
        views: Annotated[
            int | None, Query(ge=1, description="The most that are wanted; fewer come by a narrow link.")
        ] = None,
        own: Annotated[bool, Query(alias="self", description="One's own seat, in a call.")] = False,
    ) -> Response:
        sdp = await _body(request, SDP)
        if form == "geometry":
            _check_geometry(view, views)
            place = seat_in(request, channel)
            drawn = place.draw(sdp, own) if place else lobby_of(request).draw(channel, sdp)
            return _created(request, await drawn, settings)
        shown = _screen(settings, form, view, views)
        if place := seat_in(request, channel):
            return _created(request, await place.view(sdp, shown, own, views), settings)
        return _created(request, await lobby_of(request).view(channel, sdp, shown, views), settings)

    @routes.get("/whep/{channel}/{session}/asset")
    async def asset(request: Request, channel: Channel, session: str) -> Response:
        """An avatar, for a viewer who draws it, as long as it watches. Nothing on the way may keep it."""
        packed = await lobby_of(request).asset(channel, session)
        headers = {"ETag": f'"{packed.hash}"', "Cache-Control": "no-store"}
        if f'"{packed.hash}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed.gzipped, 200, headers | {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}, GLB)
        return Response(packed.data, 200, headers, GLB)

    @routes.patch("/whip/{channel}/{session}", status_code=204)
    async def trickle_caller(request: Request, channel: Channel, session: str) -> Response:
        return await _trickle(request, lobby_of(request).caller(channel, session))

    @routes.patch("/whep/{channel}/{session}", status_code=204)
    async def trickle_viewer(request: Request, channel: Channel, session: str) -> Response:
        return await _trickle(request, lobby_of(request).viewer(channel, session))

    @routes.delete("/whip/{channel}/{session}")
    async def end(request: Request, channel: Channel, session: str) -> Response:
        lobby = lobby_of(request)
        await lobby.leave(channel, lobby.caller(channel, session))
        return Response()

    @routes.delete("/whep/{channel}/{session}")
    async def leave(request: Request, channel: Channel, session: str) -> Response:
        lobby = lobby_of(request)
        await lobby.leave(channel, lobby.viewer(channel, session))
        return Response()

    @routes.options("/whip/{channel}")
    @routes.options("/whep/{channel}")
    async def endpoint_options(request: Request, channel: Channel) -> Response:
        """Whoever may post is told the ICE servers, which have to be known before candidates are gathered."""
        response = Response(status_code=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS, POST"})
        known = not settings.token or knows_token(settings, request.headers)
        return _with_links(response, settings) if known else response

    @routes.options("/whip/{channel}/{session}")
    @routes.options("/whep/{channel}/{session}")
    async def session_options(channel: Channel, session: str) -> Response:
        return Response(status_code=204, headers={"Accept-Patch": FRAGMENT, "Allow": "OPTIONS, PATCH, DELETE"})

    return routes


def lobby_of(request: Request) -> Lobby:
    """Raises Problem 503 until the server is warm."""
    lobby: Lobby | None = request.app.state.lobby
    if lobby is None:
        raise Problem(503, "warming-up", "the server is still warming up; ask again", {"Retry-After": "2"})
    return lobby


def _screen(settings: Settings, form: str, view: int | None, views: int | None) -> Screen:
    whole = screen(settings.screen)
    if views is not None and (form == "view" or views > whole.views):
        detail = f"views=... goes with as=quilt and as=table, up to {whole.views}"
        raise Problem(400, "bad-parameter", detail, parameter="views")
    if form != "view":
        if view is not None:
            raise Problem(400, "bad-parameter", "view=... goes with as=view", parameter="view")
        return whole
    return whole.only(whole.views // 2 if view is None else view)


def _check_geometry(view: int | None, views: int | None) -> None:
    for name, given in (("view", view), ("views", views)):
        if given is not None:
            raise Problem(400, "bad-parameter", f"{name}=... does not go with as=geometry", parameter=name)


async def _body(request: Request, wanted: str) -> str:
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if given != wanted:
        raise Problem(415, "wrong-content-type", f"send {wanted}, not {given or 'nothing'}", accepted=[wanted])
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError:
        raise Problem(400, "malformed-sdp", "the body is not UTF-8 text") from None


async def _while_wanted(request: Request, work: Coroutine[Any, Any, Accepted]) -> Accepted | None:
    """What comes of `work`; None where the client hangs up before: a page that is loaded again while an engine loads finds its
    channel free."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()


async def _hung_up(request: Request) -> None:
    """Once the client has; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _trickle(request: Request, peer: Peer) -> Response:
    """RFC 9725, section 4.3: candidates are taken; restarting ICE is not supported, which 422 says."""
    fragment = offers.fragment(await _body(request, FRAGMENT))
    condition = request.headers.get("if-match")
    if condition is None:
        raise Problem(428, "if-match-required", "send the session's ETag as If-Match")
    restarts = fragment.ufrag is not None and fragment.ufrag != peer.ufrag
    if condition.strip() == "*" or (condition.strip() == peer.etag and restarts):
        raise Problem(
            422, "ice-restart-unsupported", "ICE cannot be restarted here; end the session and begin a new one"
        )
    if condition.strip() != peer.etag:
        raise Problem(412, "etag-mismatch", "If-Match is not this session's ETag")
    await peer.trickle(fragment)
    return Response(status_code=204)


def _created(request: Request, admission: Accepted, settings: Settings) -> Response:
    headers = {
        "Location": location(request, f"{request.url.path}/{admission.peer.id}"),
        "ETag": admission.peer.etag,
        "Accept-Patch": FRAGMENT,
    }
    response = Response(admission.answer, 201, headers, SDP)
    return _with_links(response, settings)


def _with_links(response: Response, settings: Settings) -> Response:
    """With the ICE servers (RFC 9725, section 4.6), and a credential for whoever gets this response alone."""
    for server in relays.ice_servers(settings, time.time()):
        response.headers.append("Link", server.link)
    return response


async def _usual_engine(request: Request, avatar: str, settings: Settings) -> str:
    """What shows `avatar` for whoever names no engine."""
    services: Services | None = request.app.state.services
    return settings.engine if services is None else await workers.slow(services.engine_of, avatar, settings.engine)
