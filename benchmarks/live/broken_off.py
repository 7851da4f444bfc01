"""Broken off: clients that go at each step of coming in, and some that stay in a way that helps nobody. Each is one that a server meets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aioice
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import SessionDescription

from benchmarks.live.network import without_candidates
from benchmarks.live.regulars import vanish
from server.webrtc.client import PictureTrack
from server.webrtc.patches.ice import ice_of

SDP = {"Content-Type": "application/sdp"}
SHORT, LONG = 0.6, 4.0
"Seconds that one who came in stays, and that one waits who is not to come in."
GREY = np.full((240, 320, 3), 120, np.uint8)


class Mute(MediaStreamTrack):
    """A camera from which nothing ever comes."""

    kind = "video"

    async def recv(self) -> Any:
        await asyncio.Event().wait()
        raise MediaStreamError


class Visitor:
    """One client of one server, at one channel."""

    def __init__(self, http: httpx.AsyncClient, channel: str, luck: random.Random) -> None:
        self.http, self.channel, self.luck = http, channel, luck
        self.answered: list[int] = []
        "Status of each answer."

    @asynccontextmanager
    async def peer(self, kind: str, track: MediaStreamTrack | None = None) -> AsyncIterator[RTCPeerConnection]:
        """A caller ("whip") or viewer ("whep") that has its offer ready; closed afterwards."""
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if kind == "whip":
            connection.addTransceiver(track or PictureTrack(lambda number: GREY, 10), "sendonly")
        else:
            connection.addTransceiver("video", "recvonly")
        try:
            await connection.setLocalDescription()
            yield connection
        finally:
            await connection.close()

    async def offer(self, kind: str, sdp: str) -> httpx.Response:
        answer = await self.http.post(f"/{kind}/{self.channel}", content=sdp, headers=SDP)
        self.answered.append(answer.status_code)
        return answer

    async def connect(self, kind: str, connection: RTCPeerConnection) -> str | None:
        """Offer, take the answer, and be connected. The session; None where it was refused, or did not come about in time."""
        answer = await self.offer(kind, connection.localDescription.sdp)
        if answer.status_code != 201:
            return None
        await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        with suppress(TimeoutError):
            async with asyncio.timeout(20):
                while connection.connectionState in ("new", "connecting"):
                    await asyncio.sleep(0.02)
        return answer.url.join(answer.headers["Location"]).path

    async def leave(self, session: str | None) -> None:
        if session is not None:
            await self.http.delete(session)


def described(sdp: str) -> Any:
    """The first section of a description."""
    return SessionDescription.parse(sdp).media[0]


async def polite(one: Visitor) -> None:
    """Comes, is watched, and both leave with a word."""
    async with one.peer("whip") as caller, one.peer("whep") as viewer:
        sessions = [await one.connect("whip", caller), await one.connect("whep", viewer)]
        await asyncio.sleep(SHORT)
        for session in reversed(sessions):
            await one.leave(session)


async def vanished(one: Visitor) -> None:
    """Comes, is watched, and both are gone without a word."""
    async with one.peer("whip") as caller, one.peer("whep") as viewer:
        await one.connect("whip", caller)
        await one.connect("whep", viewer)
        await asyncio.sleep(SHORT)
        vanish(*caller.getTransceivers(), *viewer.getTransceivers())


async def viewer_vanished(one: Visitor) -> None:
    """The viewer is gone without a word, the caller leaves with one."""
    async with one.peer("whip") as caller, one.peer("whep") as viewer:
        session = await one.connect("whip", caller)
        await one.connect("whep", viewer)
        vanish(*viewer.getTransceivers())
        await asyncio.sleep(SHORT)
        await one.leave(session)


async def half_a_request(one: Visitor) -> None:
    """The body ends in its middle."""
    host, port = one.http.base_url.host, one.http.base_url.port
    _, writer = await asyncio.open_connection(host, port)
    head = f"POST /whip/{one.channel} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/sdp\r\nContent-Length: 4000\r\n\r\n"
    writer.write(head.encode() + b"v=0\r\n" * one.luck.randrange(1, 100))
    await writer.drain()
    writer.transport.abort()


async def gave_up(one: Visitor) -> None:
    """Its connection is gone before the answer."""
    async with one.peer("whip") as caller:
        with suppress(httpx.TimeoutException, TimeoutError):
            async with asyncio.timeout(one.luck.uniform(0.001, 0.1)):
                await one.offer("whip", caller.localDescription.sdp)


async def offered_alone(one: Visitor) -> None:
    """ICE never begins: no packet ever comes."""
    async with one.peer("whip") as caller:
        await one.offer("whip", caller.localDescription.sdp)


async def unreachable(one: Visitor) -> None:
    """ICE never completes: nobody is where it says, and it checks nothing."""
    async with one.peer("whip") as caller:
        answer = await one.offer("whip", without_candidates(caller.localDescription.sdp))
        if answer.status_code == 201:
            await asyncio.sleep(LONG)


async def ice_alone(one: Visitor) -> None:
    """ICE completes, and nothing of DTLS is ever answered."""
    async with one.peer("whip") as caller:
        answer = await one.offer("whip", without_candidates(caller.localDescription.sdp))
        if answer.status_code != 201:
            return
        ours, theirs = (described(sdp) for sdp in (caller.localDescription.sdp, answer.text))
        checking: Any = aioice.Connection(ice_controlling=True)
        checking._local_username, checking._local_password = ours.ice.usernameFragment, ours.ice.password
        await checking.gather_candidates()
        checking.remote_username, checking.remote_password = theirs.ice.usernameFragment, theirs.ice.password
        for candidate in theirs.ice_candidates:
            await checking.add_remote_candidate(
                aioice.Candidate(
                    candidate.foundation, 1, "udp", candidate.priority, candidate.ip, candidate.port, candidate.type
                )
            )
        await checking.add_remote_candidate(None)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(LONG):
                await checking.connect()
                await asyncio.sleep(SHORT)
        await checking.close()


async def during_dtls(one: Visitor) -> None:
    """Gone in the middle of the DTLS handshake."""
    async with one.peer("whip") as caller:
        answer = await one.offer("whip", caller.localDescription.sdp)
        if answer.status_code != 201:
            return
        await caller.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        transport = caller.getTransceivers()[0].receiver.transport
        with suppress(TimeoutError):
            async with asyncio.timeout(LONG):
                while transport.state == "new":
                    await asyncio.sleep(0.001)
        await asyncio.sleep(one.luck.uniform(0, 0.01))
        vanish(*caller.getTransceivers())


async def silent(one: Visitor) -> None:
    """Connected, and never sends a picture."""
    async with one.peer("whip", Mute()) as caller:
        session = await one.connect("whip", caller)
        await asyncio.sleep(SHORT)
        if one.luck.random() < 0.5:
            await one.leave(session)
        else:
            vanish(*caller.getTransceivers())


async def slow_reader(one: Visitor) -> None:
    """A viewer that reads nothing of what it is sent, nor of the HTTP answers that it asks for."""
    async with one.peer("whip") as caller, one.peer("whep") as viewer:
        session = await one.connect("whip", caller)
        await one.connect("whep", viewer)
        for transceiver in viewer.getTransceivers():
            ice: Any = ice_of(transceiver)
            for protocol in ice._protocols:
                protocol.transport.pause_reading()
        _, writer = await asyncio.open_connection(one.http.base_url.host, one.http.base_url.port, limit=1024)
        for _ in range(20):
            writer.write(f"GET /api/openapi.json HTTP/1.1\r\nHost: {one.http.base_url.host}\r\n\r\n".encode())
        await asyncio.sleep(2 * SHORT)
        writer.transport.abort()
        await one.leave(session)


async def trickled_and_gone(one: Visitor) -> None:
    """Sends candidates one by one, and is gone before the last."""
    async with one.peer("whip") as caller:
        answer = await one.offer("whip", without_candidates(caller.localDescription.sdp))
        if answer.status_code != 201:
            return
        ice = described(caller.localDescription.sdp).ice
        fragment = (
            f"a=ice-ufrag:{ice.usernameFragment}\r\na=ice-pwd:{ice.password}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
            "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
        )
        headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": answer.headers["ETag"]}
        session = answer.url.join(answer.headers["Location"]).path
        sent = await one.http.patch(session, content=fragment, headers=headers)
        one.answered.append(sent.status_code)


KINDS: dict[str, Callable[[Visitor], Awaitable[None]]] = {
    made.__name__: made
    for made in (
        polite,
        vanished,
        viewer_vanished,
        half_a_request,
        gave_up,
        offered_alone,
        unreachable,
        ice_alone,
        during_dtls,
        silent,
        slow_reader,
        trickled_and_gone,
    )
}
"By name; each says what it does."
