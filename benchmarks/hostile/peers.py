"""Peers: who is let in by WebRTC, and then sends what it likes: as a caller, as a viewer, and by a data channel."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole

from benchmarks.hostile import datagrams
from benchmarks.hostile.target import Answer, Target, Tried
from server.webrtc.client import PictureTrack

CONNECT_SECONDS = 10.0
SENT = 65_536
"aiortc sends no larger message."


@asynccontextmanager
async def connected(target: Target, path: str, connection: RTCPeerConnection) -> AsyncIterator[str]:
    """`connection`, taken in at `path`. Yields why it was not; empty where it was."""
    session = ""
    try:
        await connection.setLocalDescription()
        answer = await target.ask(
            "POST", path, connection.localDescription.sdp.encode(), {"Content-Type": "application/sdp"}
        )
        if not isinstance(answer, Answer) or answer.status != 201:
            yield str(answer.status if isinstance(answer, Answer) else answer)
            return
        session = answer.location
        await connection.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        async with asyncio.timeout(CONNECT_SECONDS):
            while connection.connectionState != "connected":
                await asyncio.sleep(0.02)
        yield ""
    except TimeoutError:
        yield "not connected"
    finally:
        await connection.close()
        if session:
            await target.ask("DELETE", session)


def caller() -> RTCPeerConnection:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver(
        PictureTrack(lambda number: np.full((120, 160, 3), number % 200, np.uint8), 10.0), "sendonly"
    )
    return connection


async def floods(target: Target, luck: random.Random, count: int, tried: Tried, channel: str) -> None:
    """STUN of strangers, who know both users' names, at a viewer's port."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "recvonly")
    async with connected(target, f"/whep/{channel}", connection) as refused:
        tried.add(refused or "connected")
        if not refused:
            tried.packets += await datagrams.flood(connection, luck, count)
            tried.add(await _alive(connection))


async def media(target: Target, luck: random.Random, count: int, tried: Tried) -> None:
    """RTP that no encoder writes, and RTCP, of a caller."""
    connection = caller()
    async with connected(target, "/whip/hostile", connection) as refused:
        tried.add(refused or "connected")
        if not refused:
            (sender,) = connection.getSenders()
            source = sender._ssrc
            tried.packets += await datagrams.storm(connection, datagrams.media(luck, source), count)
            tried.packets += await datagrams.storm(connection, datagrams.feedback(luck, source, source), count // 2)
            tried.add(await _alive(connection))


async def feedback(target: Target, luck: random.Random, count: int, tried: Tried, channel: str) -> None:
    """NACK, PLI, FIR and REMB of a viewer, about what it is really sent."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "recvonly")
    nowhere = MediaBlackhole()
    connection.on("track", nowhere.addTrack)
    async with connected(target, f"/whep/{channel}", connection) as refused:
        tried.add(refused or "connected")
        if refused:
            return
        await nowhere.start()
        await asyncio.sleep(1.0)
        (receiver,) = connection.getReceivers()
        heard = [source.source for source in receiver.getSynchronizationSources()] or [1]
        tried.packets += await datagrams.storm(connection, datagrams.feedback(luck, 1, heard[0]), count)
        tried.add(await _alive(connection))
        await nowhere.stop()


async def messages(target: Target, luck: random.Random, count: int, tried: Tried, channel: str) -> None:
    """By data channels of a viewer who draws: large, many, and in words that nobody asked for."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    opened = [connection.createDataChannel("motion", ordered=False, maxRetransmits=0)]
    async with connected(target, f"/whep/{channel}?as=geometry", connection) as refused:
        tried.add(refused or "connected")
        if refused:
            return
        await asyncio.sleep(1.0)
        for number in range(count):
            with suppress(Exception):  # our own end has closed: so has the server's
                if number % 10 == 0:
                    opened.append(connection.createDataChannel(luck.choice(("motion", "", "x" * 5000, "\0", "😀"))))
                luck.choice(opened).send(
                    luck.choice(("", "x", "{}", "😀" * 1000, b"", luck.randbytes(100), luck.randbytes(SENT)))
                )
                tried.packets += 1
            await asyncio.sleep(0.01)
        tried.add(await _alive(connection))


async def _alive(connection: RTCPeerConnection) -> str:
    """A moment later: whether the server has ended what it had let in, which it may."""
    await asyncio.sleep(0.5)
    return "goes on" if connection.connectionState == "connected" else "ended"
