"""Client: the other end of our own WHIP and WHEP, for the puppet, the benchmarks and the tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from fractions import Fraction
from typing import Any
from urllib.parse import urljoin

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import VideoStreamTrack

from server import workers
from server.media.rates import CLOCK_RATE
from server.webrtc.backlog import Limits
from server.webrtc.capture import Captured, by_arrival
from server.webrtc.live_video import LiveVideo
from server.webrtc.patches.senders import report_captures

MOST_PIXELS = 36_864 * 256
"Of what a server sends: H.264 goes no further (level 5.2, table A-1)."
PATIENCE = 30.0
"Seconds: a server that enrols an avatar first may take its time to answer an offer."


class Unreachable(RuntimeError):
    """Nobody answers there; the message says how to start a server."""


class Refused(RuntimeError):
    """The server said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class PictureTrack(VideoStreamTrack):
    """A camera of ours: `picture(n)` gives picture n, [H, W, 3] uint8 RGB, when its time at `rate` a second has come."""

    def __init__(self, picture: Callable[[int], np.ndarray], rate: float) -> None:
        super().__init__()
        self._picture, self._rate = picture, rate
        self._number, self.begun = 0, time.monotonic()
        self.captured: float | None = None
        "When the newest picture was to be taken, seconds of time.monotonic()."

    async def recv(self) -> av.VideoFrame:
        self.captured = self.begun + self._number / self._rate
        await asyncio.sleep(max(0.0, self.captured - time.monotonic()))
        pixels = await workers.live(self._picture, self._number)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = round(self._number * CLOCK_RATE / self._rate), Fraction(1, CLOCK_RATE)
        self._number += 1
        return frame


@asynccontextmanager
async def publishing(url: str, *tracks: MediaStreamTrack, token: str | None = None) -> AsyncIterator[RTCPeerConnection]:
    """Send `tracks` to a WHIP endpoint (RFC 9725) for as long as the context lasts. Raises Refused."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks:
        report_captures(connection.addTransceiver(track, "sendonly").sender)
    async with _session(connection, url, token):
        yield connection


@asynccontextmanager
async def playing(
    url: str,
    *kinds: str,
    token: str | None = None,
    captured: Captured = by_arrival,
    opened: Callable[[str, RTCRtpReceiver], None] = lambda kind, receiver: None,
) -> AsyncIterator[dict[str, MediaStreamTrack]]:
    """The tracks of a WHEP endpoint by kind ("video", a LiveVideo, and "audio") for as long as the context lasts.
    `captured`: as of LiveVideo; `opened` is shown each kind's receiver before it starts. Raises Refused."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receivers: dict[str, RTCRtpReceiver] = {}
    video: LiveVideo | None = None
    for kind in kinds or ("video",):
        transceiver = connection.addTransceiver(kind, "recvonly")
        if kind == "video":
            known = RTCRtpReceiver.getCapabilities("video")
            assert known is not None
            transceiver.setCodecPreferences([one for one in known.codecs if one.mimeType == "video/H264"])
            video = LiveVideo(transceiver.receiver, Limits(MOST_PIXELS), captured=captured)
        receivers[kind] = transceiver.receiver
        opened(kind, transceiver.receiver)
    try:
        async with _session(connection, url, token):
            tracks = {
                kind: receiver.track for kind, receiver in receivers.items()
            }  # there only once an answer was taken
            if video is None:
                yield tracks
            else:
                async with _ending_with(video, tracks["video"]):
                    yield tracks | {"video": video}
    finally:
        if video is not None:
            video.stop()


@asynccontextmanager
async def drawing(
    url: str,
    take: Callable[[bytes], None],
    token: str | None = None,
    heard: Callable[[RTCRtpReceiver], None] | None = None,
) -> AsyncIterator[bytes]:
    """The asset of a WHEP endpoint `as=geometry`, and each record of motion to `take`, for as long as the context lasts. `heard` is shown
    the receiver of the sound before it starts; None: without sound. Raises Refused or Unreachable."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if heard is not None:
        heard(connection.addTransceiver("audio", "recvonly").receiver)
    connection.createDataChannel("motion", ordered=False, maxRetransmits=0).on("message", take)
    async with _session(connection, url, token) as location, _http(token) as http:
        try:
            answer = await http.get(f"{location}/asset")
        except httpx.TransportError as failure:
            raise _unreachable(url, failure) from failure
        if not answer.is_success:
            raise Refused(answer.status_code, _words(answer))
        yield answer.content


@asynccontextmanager
async def _ending_with(video: LiveVideo, track: MediaStreamTrack) -> AsyncIterator[None]:
    ending = asyncio.create_task(video.end_with(track))
    try:
        yield
    finally:
        ending.cancel()


async def fetch(url: str, token: str | None = None) -> Any:
    """What a GET of `url` answers, out of its JSON. Raises Refused or Unreachable."""
    return await ask("GET", url, token)


async def ask(method: str, url: str, token: str | None = None, body: Any = None) -> Any:
    """What a request with `body` as its JSON is answered with, out of the answer's; None for an empty one. Raises Refused or
    Unreachable."""
    async with _http(token) as http:
        try:
            answer = await http.request(method, url, json=body)
        except httpx.TransportError as failure:
            raise _unreachable(url, failure) from failure
    if not answer.is_success:
        raise Refused(answer.status_code, _words(answer))
    return answer.json() if answer.content else None


@asynccontextmanager
async def _session(connection: RTCPeerConnection, url: str, token: str | None) -> AsyncIterator[str]:
    """Offer, take the answer, and leave by DELETE whatever happens. The session's address."""
    async with _http(token) as http:
        location = None
        try:
            await connection.setLocalDescription(await connection.createOffer())
            answer = await _offer(http, url, connection.localDescription.sdp)
            if answer.status_code != 201:
                raise Refused(answer.status_code, _words(answer))
            location = urljoin(url, answer.headers["Location"])
            await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            yield location
        finally:
            await connection.close()
            if location is not None:
                await _leave(http, location)


async def _offer(http: httpx.AsyncClient, url: str, sdp: str) -> httpx.Response:
    try:
        return await http.post(url, content=sdp, headers={"Content-Type": "application/sdp"})
    except httpx.TransportError as failure:
        raise _unreachable(url, failure) from failure


def _http(token: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False)


def _unreachable(url: str, failure: Exception) -> Unreachable:
    return Unreachable(f"no Telequilt answers at {url} ({failure}); start one: python -m server serve")


async def _leave(http: httpx.AsyncClient, location: str) -> None:
    with suppress(httpx.HTTPError):  # the server is gone already, or will notice our silence
        await http.delete(location, timeout=5)


def _words(answer: httpx.Response) -> str:
    try:
        problem: dict[str, Any] = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code} {answer.reason_phrase}"
    return str(problem.get("detail") or problem.get("title") or answer.reason_phrase)
