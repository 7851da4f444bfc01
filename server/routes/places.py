"""Places: channels that belong to a call: who may publish into them, watch them and record them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from display.screen import Screen
from server.calls import refusals
from server.calls.permits import NO_SEAT
from server.calls.tokens import Claims
from server.channels.lobby import Accepted
from server.problems import Problem
from server.routes.authority import Authority, asker, calls_of


@dataclass(frozen=True)
class Place:
    """A call's channel, and who asks for it."""

    who: Authority
    seat: int
    "0: the call's own channel, the table's."

    async def publish(self, sdp: str, *, avatar: str | None, engine: str | None, driver: str | None) -> Accepted:
        """Raises Problem: a seat is published into by itself, with the avatar that it was taken with."""
        conference, claims = self.who.conference, self.who.claims
        if not self.seat or not self.who.grants.publish or (claims is not None and claims.seat != self.seat):
            raise refusals.not_permitted("publish")
        taken = conference.taken.get(self.seat) or conference.rehearsals.get(self.seat)
        if taken is None:
            raise refusals.problem(NO_SEAT)
        for name, given, known in (("avatar", avatar, taken.avatar), ("engine", engine, taken.engine)):
            if given is not None and given != known:
                raise Problem(400, "bad-parameter", f"this seat has another {name}: change it there", parameter=name)
        return await conference.publish(self.seat, claims.epoch if claims is not None else None, sdp, driver)

    def must_be_own(self) -> None:
        """Raises Problem 403 for whoever sits elsewhere."""
        if self.who.claims is not None and self.who.seat != self.seat:
            raise refusals.not_permitted("its own seat")

    async def view(self, sdp: str, screen: Screen, own: bool, views: int | None = None) -> Accepted:
        """Raises Problem. The call's own channel shows the table, or somebody who is not oneself."""
        conference, claims = self.who.conference, self._viewer(own)
        channel = conference.channel(self.seat) if self.seat else conference.source(self.who.seat)
        listen = None if self.seat else conference.hears(self.who.seat)
        return await conference.view(claims.seat, channel, sdp, conference.screen(channel, screen), views, listen)

    async def draw(self, sdp: str, own: bool) -> Accepted:
        """As view(), of who draws the avatar itself. Raises Problem."""
        conference, claims = self.who.conference, self._viewer(own)
        channel = conference.channel(self.seat) if self.seat else conference.source(self.who.seat)
        return await conference.draw(claims.seat, channel, sdp)

    def _viewer(self, own: bool) -> Claims:
        """What the token of who watches claims. Raises Problem where it may not."""
        claims = self.who.claims
        if claims is None or not claims.seat:
            raise refusals.nobody_unseen()
        if not claims.grants.view:
            raise refusals.not_permitted("view")
        if self.seat and self.seat == self.who.seat and not own:
            raise refusals.own_seat()
        return claims


def seat_in(request: Request, channel: str) -> Place | None:
    """The place in a call that `channel` names; None for a channel that is of no call. Raises Problem."""
    call, dot, number = channel.partition(".")
    if not dot and call not in calls_of(request).conferences:
        return None
    return Place(asker(request, call), int(number or 0))
