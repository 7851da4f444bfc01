"""Floods: more of everything at once than a server has room for, and connections that never say enough."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress

from aiortc import RTCConfiguration, RTCPeerConnection

from benchmarks.hostile.target import CLOSED, SILENT, Answer, Target, Tried

AT_ONCE = 60
"Of one address that has no whole request the server keeps 64 (server/connections.py)."
SLOW_SECONDS = 30.0
"The server's own limits for headers and bodies are 10."


async def viewers(target: Target, count: int, channel: str, tried: Tried) -> None:
    """Who offer, and never connect."""
    offer = await _offer("recvonly")
    asked = [
        f"/whep/{channel}?as=view&view={number % 24}" if number % 2 else f"/whep/{channel}" for number in range(count)
    ]
    await _posted(target, asked, offer, tried)


async def callers(target: Target, count: int, tried: Tried) -> None:
    offer = await _offer("sendonly")
    await _posted(target, [f"/whip/flood{number}" for number in range(count)], offer, tried)


async def stills(target: Target, count: int, channel: str, tried: Tried) -> None:
    await _posted(target, [f"/api/channels/{channel}/still"] * count, b"", tried)


async def recordings(target: Target, count: int, channel: str, tried: Tried) -> None:
    """Begun and ended by many at once."""
    for _ in range(2):
        await _posted(target, [f"/api/channels/{channel}/recording"] * (count // 2), b"", tried)
        tried.add(await target.ask("DELETE", f"/api/channels/{channel}/recording"))


async def loris(target: Target, luck: random.Random, count: int, tried: Tried) -> None:
    """A byte now and then: of a request line, of headers, of a body, of a form, of a socket's handshake."""
    beginnings = (
        target.head("GET", "/healthz"),
        target.head("POST", "/whip/x", {"Content-Type": "application/sdp", "Content-Length": "5000"}) + b"\r\n\r\n",
        target.head(
            "POST", "/api/avatars", {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "90000"}
        )
        + b"\r\n\r\n--x",
        target.head("POST", "/api/verify", {"Content-Length": "90000"}) + b"\r\n\r\n",
        b"G",
        b"",
        target.head("POST", "/api/calls", {"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
        + b"\r\n\r\n",
        target.head("GET", "/api/calls/x/events", {"Upgrade": "websocket", "Connection": "Upgrade"}),
    )
    for begun in range(0, count, AT_ONCE):
        some = range(begun, min(count, begun + AT_ONCE))
        await asyncio.gather(
            *(_slowly(target, beginnings[number % len(beginnings)], luck.uniform(0.2, 2), tried) for number in some)
        )


async def _slowly(target: Target, said: bytes, every: float, tried: Tried) -> None:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    reading = asyncio.create_task(reader.read())
    try:
        async with asyncio.timeout(SLOW_SECONDS):
            writer.write(said)
            while not reading.done():
                with suppress(ConnectionError):
                    writer.write(b"a")
                await asyncio.sleep(every)
        told = reading.result() if not reading.exception() else b""
        tried.add(told[9:12].decode() if told.startswith(b"HTTP/1.1 ") else CLOSED, said)
    except TimeoutError:
        tried.add(SILENT, said)
    finally:
        reading.cancel()
        writer.transport.abort()


async def _posted(target: Target, paths: Iterable[str], body: bytes, tried: Tried) -> None:
    """All at once; whose session was made is not ended: it never connects."""
    told = {"Content-Type": "application/sdp"}
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(path: str) -> Answer | str:
        async with turn:
            return await target.ask("POST", path, body, told)

    for answer in await asyncio.gather(*map(one, paths)):
        tried.add(answer)


async def _offer(direction: str) -> bytes:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", direction)
    await connection.setLocalDescription()
    try:
        return connection.localDescription.sdp.encode()
    finally:
        await connection.close()
