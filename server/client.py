"""Client: the other end of our own WHIP and WHEP, for the puppet, the benchmarks and the tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urljoin

import httpx
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription

PATIENCE = 30.0
"Seconds: a server that enrols an avatar first may take its time to answer an offer."


class Refused(RuntimeError):
    """The server said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@asynccontextmanager
async def publishing(url: str, *tracks: MediaStreamTrack, token: str | None = None) -> AsyncIterator[RTCPeerConnection]:
    """Send `tracks` to a WHIP endpoint (RFC 9725) for as long as the context lasts. Raises Refused."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks:
        connection.addTransceiver(track, "sendonly")
    async with _session(connection, url, token):
        yield connection


@asynccontextmanager
async def playing(
    url: str, *kinds: str, token: str | None = None, codec: str = "video/H264"
) -> AsyncIterator[dict[str, MediaStreamTrack]]:
    """The tracks of a WHEP endpoint by kind ("video", "audio") for as long as the context lasts. Raises Refused."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tracks: dict[str, MediaStreamTrack] = {}
    for kind in kinds or ("video",):
        transceiver = connection.addTransceiver(kind, "recvonly")
        if kind == "video":
            known = RTCRtpReceiver.getCapabilities("video")
            assert known is not None
            transceiver.setCodecPreferences([one for one in known.codecs if one.mimeType == codec])
        tracks[kind] = transceiver.receiver.track
    async with _session(connection, url, token):
        yield tracks


@asynccontextmanager
async def _session(connection: RTCPeerConnection, url: str, token: str | None) -> AsyncIterator[None]:
    """Offer, take the answer, and leave by DELETE whatever happens."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False) as http:
        location = None
        try:
            await connection.setLocalDescription(await connection.createOffer())
            answer = await http.post(
                url, content=connection.localDescription.sdp, headers={"Content-Type": "application/sdp"}
            )
            if answer.status_code != 201:
                raise Refused(answer.status_code, _words(answer))
            location = urljoin(url, answer.headers["Location"])
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            yield
        finally:
            await connection.close()
            if location is not None:
                await _leave(http, location)


async def _leave(http: httpx.AsyncClient, location: str) -> None:
    with suppress(httpx.HTTPError):  # the server is gone already, or will notice our silence
        await http.delete(location, timeout=5)


def _words(answer: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
    return str(problem.get("detail") or problem.get("title") or answer.reason_phrase)
