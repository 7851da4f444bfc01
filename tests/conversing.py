"""Conversing: members of calls for tests: their requests, their sockets, and what these say."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live import PLENTY


class Socket:
    """A page's socket: says hello, keeps all that it is told."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.told: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: str, call: str, **headers: str) -> Socket:
        url = f"{address.replace('http', 'ws', 1)}/api/calls/{call}/events"
        return cls(await connect(url, additional_headers=headers, ping_interval=None, proxy=None))

    async def say(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def hears(self, kind: str, seconds: float = PLENTY, **holding: Any) -> dict[str, Any]:
        """The first message of `kind` that holds all that; once it has come."""
        async with asyncio.timeout(seconds):
            while True:
                for message in self.told:
                    if message["t"] == kind and all(message.get(key) == value for key, value in holding.items()):
                        return message
                self._news.clear()
                await self._news.wait()

    async def closed(self, seconds: float = PLENTY) -> int:
        """The code with which the server has closed it."""
        await asyncio.wait_for(asyncio.shield(self._reading), seconds)
        assert self.connection.close_code is not None
        return self.connection.close_code

    async def close(self) -> None:
        with suppress(ConnectionClosed):
            await self.connection.close()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for text in self.connection:
                self.told.append(json.loads(text))
                self._news.set()


class Call:
    """A call on a server, and who comes to it."""

    def __init__(self, http: httpx.AsyncClient, made: dict[str, Any]) -> None:
        self.http, self.name, self.host = http, made["call"], made["host"]["token"]
        self.sockets: list[Socket] = []

    @classmethod
    async def make(cls, http: httpx.AsyncClient, **asked: Any) -> Call:
        answer = await http.post("/api/calls", json=asked)
        assert answer.status_code == 201, answer.text
        return cls(http, answer.json())

    async def ask(self, method: str, path: str = "", token: str = "", **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.host}"}
        return await self.http.request(method, f"/api/calls/{self.name}{path}", json=body or None, headers=headers)

    async def invite(self, role: str = "member", **more: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/invitations", role=role, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def sit(self, name: str, role: str = "member", token: str = "", **more: Any) -> dict[str, Any]:
        """A seat, by an invitation of its own unless `token` is one."""
        if role != "host" and not token and not more.get("plain"):
            token = (await self.invite(role))["token"]
        answer = await self.ask("POST", "/seats", token, name=name, **{"consent": True, **more})
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    async def enter(self, seat: dict[str, Any], **more: Any) -> Socket:
        """The seat's socket, greeted."""
        socket = await Socket.open(str(self.http.base_url).rstrip("/"), self.name)
        self.sockets.append(socket)
        await socket.say(t="hello", token=seat["token"], **more)
        await socket.hears("welcome")
        return socket

    async def join(self, name: str, role: str = "member", **more: Any) -> tuple[dict[str, Any], Socket]:
        seat = await self.sit(name, role, **more)
        return seat, await self.enter(seat)

    async def close(self) -> None:
        for socket in self.sockets:
            await socket.close()
