"""Authority: what whoever asks about a call may do: by a token of the call, by the server's own, or as this machine's user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from server.calls import refusals
from server.calls.conference import Conference
from server.calls.directory import Calls
from server.calls.events import ROLES, Grants
from server.calls.permits import NO_SEAT
from server.calls.tokens import Claims, TokenExpired, TokenInvalid
from server.problems import Problem
from server.routes.bearer import bearer, knows_token
from server.routes.quotas import Quotas, client_of
from server.settings import Settings

OF_A_CALL = re.compile(
    r"/(?:(?:whip|whep)/(?P<media>[A-Za-z0-9_-]{22})(?:\.[0-9]{1,4})?(?:/[^/]+(?:/asset)?)?"
    r"|api/channels/(?P<told>[A-Za-z0-9_-]{22})(?:\.[0-9]{1,4})?(?:/recording|/still|/handover|/provenance|/likeness)?)"
)
"Routes of a call's channels."
OF_MEMBERS = re.compile(r"/api/(?:avatars(?:/.*)?|engines|screens)|/puppet\.mp4")
"What whoever joins a call needs besides: an avatar."
OF_FILMS = re.compile(r"/api/recordings/([^/]+)")
"Those of the call, for who may record."


@dataclass(frozen=True)
class Authority:
    """Who asks."""

    conference: Conference
    claims: Claims | None
    "None: who runs the server."

    @property
    def grants(self) -> Grants:
        return self.claims.grants if self.claims is not None else ROLES["host"]

    @property
    def seat(self) -> int:
        """Its own; 0 where it has none."""
        return self.claims.seat if self.claims is not None else 0

    def must_host(self) -> None:
        if not self.grants.host:
            raise refusals.not_permitted("host")

    def must_own(self, seat: int) -> None:
        """Raises Problem 403 for another's seat, 404 for one that is not there."""
        if self.claims is not None and self.seat != seat and not self.grants.host:
            raise refusals.not_permitted("host")
        if seat not in self.conference.rules.seats:
            raise refusals.problem(NO_SEAT)


def calls_of(request: HTTPConnection) -> Calls:
    """Raises Problem 503 until the server is warm."""
    calls: Calls | None = request.app.state.calls
    if calls is None:
        raise Problem(503, "warming-up", "the server is still warming up; ask again", {"Retry-After": "2"})
    return calls


def asker(request: Request, call: str) -> Authority:
    """Who asks about `call`. Raises Problem 401, 404, 409, 429: as a dependency, before a body is looked at."""
    token, servers = bearer(request.headers), is_servers(request.app.state.settings, request.headers)
    if not token and not servers:
        raise refusals.token_required()
    if servers:
        if (conference := calls_of(request).conferences.get(call)) is None:
            raise refusals.no_such_call()
        return Authority(conference, None)
    return known(calls_of(request), request.app.state.quotas, token, call, client_of(request))


def host(who: Annotated[Authority, Depends(asker)]) -> Authority:
    """Who asks, with the grant of a host. Raises Problem 403 besides."""
    who.must_host()
    return who


def known(calls: Calls, quotas: Quotas, token: str, call: str, client: str) -> Authority:
    """Whose `token` it is. Raises Problem."""
    if wait := quotas.guesses.wait(client):
        raise refusals.too_many("tokens that are none came from your address", wait)
    try:
        claims = calls.tokens.read(token, call)
    except TokenExpired:
        raise refusals.token_expired() from None
    except TokenInvalid:
        quotas.guesses.count(client)
        raise refusals.no_such_call() from None
    conference = calls.conferences.get(call)
    if conference is None:
        raise refusals.call_lost() if calls.outlived(claims.issued) else refusals.call_ended()
    return Authority(conference, claims)


def lets_through(request: HTTPConnection, path: str) -> bool:
    """Whether a token of a call opens `path`, which the server's own guards otherwise. Never for another call's channels.

    Raises Problem 401 where it did until it expired.
    """
    calls: Calls | None = request.app.state.calls
    if calls is None:
        return False
    try:
        claims = calls.tokens.read(bearer(request.headers))
    except TokenExpired:
        raise refusals.token_expired() from None
    except TokenInvalid:
        return False
    conference = calls.conferences.get(claims.call)
    if named := OF_A_CALL.fullmatch(path):
        return (named["media"] or named["told"]) == claims.call
    film = OF_FILMS.fullmatch(path)
    if conference is None:
        return film is not None and claims.grants.record and film[1] in calls.filmed.get(claims.call, ())
    if not conference.knows(claims):
        return False
    if film:
        return claims.grants.record and film[1] in conference.films.names
    return OF_MEMBERS.fullmatch(path) is not None


def is_servers(settings: Settings, headers: Headers) -> bool:
    """Whether `headers` carry the server's own token, or none is needed of this machine's user."""
    if settings.token is None:
        return settings.private and not bearer(headers)
    return knows_token(settings, headers)
