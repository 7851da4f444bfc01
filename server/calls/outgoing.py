"""Outgoing: a call's table on its way to another server, from there to whoever watches it. Event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from display.screen import Screen
from server.channels.channel import Handover
from server.channels.lobby import Lobby
from server.problems import Problem
from server.settings import Settings
from server.webrtc.audio import Listen
from server.webrtc.destinations import Destinations

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Plan:
    host: str
    url: str
    token: str


class Outgoing:
    """Of one call. What goes out is its table, with the sound of all who sit there."""

    def __init__(self, lobby: Lobby, settings: Settings, call: str) -> None:
        self._lobby, self._call = lobby, call
        self._destinations = Destinations(settings.handover_hosts)
        self._plan: Plan | None = None
        self._beginning: asyncio.Task[Handover] | None = None

    def plan(self, url: str, token: str) -> str:
        """Where it is to go once everybody agrees: the host, for people. Raises Problem 400 or 403 where it may not."""
        host, _ = self._destinations.host(url)
        self._plan = Plan(host, url, token)
        return host

    def begin(self, what: Callable[[], tuple[Screen, Listen | None]]) -> None:
        """`what` is sent, asked for once the table is there."""
        self._beginning = self._lobby.see_to(self._begun(what))

    async def begun(self) -> Handover:
        """Once the other server has taken it. Raises Problem."""
        assert self._beginning is not None
        return await asyncio.shield(self._beginning)

    def end(self, why: str) -> None:
        if self._beginning is not None:
            self._lobby.see_to(self._ended(self._beginning, why))
        self._plan = self._beginning = None

    def failure(self) -> str:
        """Why it has ended, or never began; empty where it goes on."""
        if self._beginning is None or not self._beginning.done():
            return ""
        if (error := self._beginning.exception()) is not None:
            return error.detail if isinstance(error, Problem) else "it could not begin"
        channel = self._lobby.channels.get(self._call)
        going = channel is not None and channel.handed_over is self._beginning.result()
        return "" if going else f"{self._beginning.result().host} takes it no more"

    async def _begun(self, what: Callable[[], tuple[Screen, Listen | None]]) -> Handover:
        assert self._plan is not None
        screen, listen = what()
        return await self._lobby.hand_over(self._call, screen, self._plan.url, self._plan.token, listen)

    async def _ended(self, beginning: asyncio.Task[Handover], why: str) -> None:
        await asyncio.wait([beginning])
        if not beginning.cancelled() and beginning.exception() is None:
            await self._lobby.leave(self._call, beginning.result().peer, why)
