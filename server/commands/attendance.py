"""Attendance: a seat in a call, taken with a link and kept by its socket, for commands that take part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from server.webrtc.client import Refused, ask

TRIES, PAUSE = 8, 2.0
"How often a lost socket is opened again, and seconds between two tries: a seat is kept for half a minute."
PING_SECONDS = 5.0
NO_SEAT = 4410


class LinkUnreadable(ValueError):
    """What was given is no link to a call; the message says where one is to be had."""


@dataclass(frozen=True)
class Link:
    """A link to a call, as `telequilt call` prints it."""

    server: str
    call: str
    token: str

    @classmethod
    def read(cls, link: str) -> Link:
        """Raises LinkUnreadable."""
        parts = urlsplit(link.strip())
        before, named, call = parts.path.rpartition("/call/")
        token = parse_qs(parts.fragment).get("t", [""])[0]
        if parts.scheme not in ("http", "https") or not parts.netloc or not (named and call and token):
            raise LinkUnreadable(
                "this is no link to a call, which looks like http://HOST/call/ID#t=TOKEN (put it in quotes); "
                "`telequilt call make` prints some"
            )
        return cls(f"{parts.scheme}://{parts.netloc}{before}", call, token)

    @property
    def api(self) -> str:
        return f"{self.server}/api/calls/{self.call}"


class Attendance:
    """A seat that was taken. `over` is done once it is lost for good, with why."""

    def __init__(self, link: Link, place: dict[str, Any], tell: Callable[[str], None]) -> None:
        self.link, self.seat, self.name = link, int(place["seat"]), str(place["name"])
        self.token = str(place["token"])
        "The newest."
        self.inside = asyncio.Event()
        "The host has let it in."
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tell = tell

    @property
    def channel(self) -> str:
        return f"{self.link.call}.{self.seat}"

    async def keep(self) -> None:
        """Hold the socket until it is over, opened again where it is lost."""
        failures, resume = 0, False
        while failures < TRIES:
            try:
                self.over.set_result(await self._converse(resume))
                return
            except (OSError, TimeoutError, WebSocketException) as failure:
                failures = 1 if self.inside.is_set() and failures == 0 else failures + 1
                self._tell(f"The call's line is lost ({failure}); trying again.")
                resume = True
                await asyncio.sleep(PAUSE)
        self.over.set_result("the server does not answer any more")

    async def leave(self) -> None:
        with suppress(Exception):  # the server is gone, or the seat is
            await ask("DELETE", f"{self.link.api}/seats/{self.seat}", self.token)

    async def _converse(self, resume: bool) -> str:
        """One socket's life; why the seat is over. Raises what a lost line does."""
        url = f"{self.link.api.replace('http', 'ws', 1)}/events"
        async with connect(url, proxy=None, ping_interval=PING_SECONDS) as socket:
            await socket.send(json.dumps({"t": "hello", "token": self.token, "resume": resume}))
            async for text in socket:
                message = json.loads(text)
                if message["t"] == "bye":
                    return str(message["why"])
                await self._heard(socket, message)
        if socket.close_code == NO_SEAT:
            return "its seat is gone"
        raise ConnectionError(f"closed with {socket.close_code}")

    async def _heard(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        match message["t"]:
            case "welcome":
                states = [row["state"] for row in message["seats"] if row["seat"] == self.seat]
                if states == ["waiting"]:
                    self._tell("Waiting for the host to let it in.")
                else:
                    self.inside.set()
            case "token":
                self.token = message["token"]
            case "asking":  # nobody's face and nobody's voice: there is nothing to protect
                await socket.send(json.dumps({"t": "agree", "recording": True}))


@asynccontextmanager
async def attending(link: Link, name: str, tell: Callable[[str], None], **asked: Any) -> AsyncIterator[Attendance]:
    """A seat in the call of `link` for as long as the context lasts; once it is let in. Raises Refused or Unreachable."""
    place = await ask(
        "POST", f"{link.api}/seats", link.token, {"name": name, "consent": True, "recording": True, **asked}
    )
    seat = Attendance(link, place, tell)
    keeping = asyncio.create_task(seat.keep())
    try:
        let_in = asyncio.create_task(seat.inside.wait())
        await asyncio.wait([let_in, seat.over], return_when=asyncio.FIRST_COMPLETED)
        let_in.cancel()
        if seat.over.done():
            raise Refused(403, f"not let in: {seat.over.result()}")
        yield seat
    finally:
        await seat.leave()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
