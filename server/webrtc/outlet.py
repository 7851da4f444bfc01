"""Outlet: a peer that offers: what it sends is published at another server by WHIP (RFC 9725)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urljoin

import httpx
import structlog
from aiortc import RTCBundlePolicy, RTCRtpSender, RTCRtpTransceiver, RTCSessionDescription

from server.problems import Problem
from server.settings import Settings
from server.webrtc.destinations import Destinations
from server.webrtc.patches.ice import ice_of, watch_consent
from server.webrtc.peers import Peer

log = structlog.get_logger(__name__)

MOST_REDIRECTS = 4
RETRY_SECONDS = 2.0
"After a 503 that does not say when to come again."
KEYFRAME_EVERY = 2.0
"Seconds. MediaMTX asks every publisher for a keyframe every 2 s, and each is one for every viewer of the form."
ANSWER_BYTES = 256 * 1024
SDP = "application/sdp"


class Sparing:
    """Passes requests on, one each `every` seconds at most; one that comes too early is made up for."""

    def __init__(self, ask: Callable[[], None], every: float = KEYFRAME_EVERY) -> None:
        self._ask, self._every = ask, every
        self._last = float("-inf")
        self._due: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        loop = asyncio.get_running_loop()
        if self._due is None:
            self._due = loop.call_at(max(loop.time(), self._last + self._every), self._pass_on)

    def _pass_on(self) -> None:
        self._due, self._last = None, asyncio.get_running_loop().time()
        self._ask()


class Outlet(Peer):
    """One session at another server. The tracks are added before offer()."""

    def __init__(self, settings: Settings, gone: Callable[[str], None]) -> None:
        super().__init__(settings, gone, RTCBundlePolicy.MAX_BUNDLE)
        self._destinations = Destinations(settings.handover_hosts)
        self._seconds = settings.connect_seconds
        self._http = httpx.AsyncClient(timeout=settings.connect_seconds, trust_env=False, follow_redirects=False)
        self._session = self._token = ""

    async def offer(self, url: str, token: str) -> None:
        """Publish at `url`, with `token` as the bearer's. Raises Problem: 400, 403 (not allowed), 502 (it refuses or is silent)."""
        self._token = token
        await self.connection.setLocalDescription()
        for transceiver in self.connection.getTransceivers():
            watch_consent(ice := ice_of(transceiver), partial(self._watch, ice))
        where, answer = await self._posted(url, self.connection.localDescription.sdp)
        self._session = urljoin(where, answer.headers.get("Location", ""))
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        except Exception as error:
            log.info("an answer cannot be applied", cause=f"{type(error).__name__}: {str(error)[:200]}")
            raise _failed(f"its answer cannot be applied: {str(error)[:200]}") from None

    async def close(self) -> None:
        await super().close()
        with suppress(httpx.HTTPError, Problem, TimeoutError, OSError):  # it will notice our silence
            if self._session:
                session, self._session = self._session, ""
                await self._asked("DELETE", session)
        await self._http.aclose()

    async def _posted(self, url: str, sdp: str) -> tuple[str, httpx.Response]:
        """Where the offer was taken in the end, and the answer."""
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    where, answer = await self._asked("POST", url, sdp)
                    if answer.status_code != 503:
                        break
                    await asyncio.sleep(_wait(answer))
        except (httpx.HTTPError, TimeoutError, OSError) as failure:
            raise _failed(f"it does not answer ({type(failure).__name__})") from None
        if answer.status_code != 201:
            raise _failed(f"it answers {answer.status_code}: {answer.text[:200]}", answered=answer.status_code)
        return where, answer

    async def _asked(self, method: str, url: str, sdp: str = "") -> tuple[str, httpx.Response]:
        """Follows what 307 and 308 say (RFC 9725, section 4.5), to where the list allows."""
        for _ in range(MOST_REDIRECTS):
            answer = await self._one(method, url, sdp)
            if answer.status_code not in (307, 308):
                return url, answer
            url = urljoin(url, answer.headers.get("Location", ""))
        raise _failed("it redirects without an end")

    async def _one(self, method: str, url: str, sdp: str) -> httpx.Response:
        """Asks the very address that was found fit: asked anew, a name may lead elsewhere."""
        host, port = self._destinations.host(url)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        at = httpx.URL(url).copy_with(
            host=self._destinations.address(url, [str(one[4][0]) for one in found]), fragment=None
        )
        headers = {"Host": httpx.URL(url).netloc.decode()}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= {"Content-Type": SDP, "Accept": SDP} if sdp else {}
        how = {"sni_hostname": host}
        async with self._http.stream(method, at, content=sdp or None, headers=headers, extensions=how) as answer:
            read = bytearray()
            async for part in answer.aiter_bytes():
                read += part
                if len(read) > ANSWER_BYTES:
                    raise _failed("its answer does not end")
        return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(read))


def prefer_h264(transceiver: RTCRtpTransceiver) -> None:
    """As our encoder makes it, constrained baseline, and its retransmission."""
    known = RTCRtpSender.getCapabilities("video").codecs
    fit = [one for one in known if one.mimeType == "video/H264" and one.parameters.get("profile-level-id") == "42e01f"]
    transceiver.setCodecPreferences([*fit, *(one for one in known if one.mimeType == "video/rtx")])


def _wait(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else RETRY_SECONDS


def _failed(why: str, **members: Any) -> Problem:
    return Problem(502, "handover-failed", f"the server that was to take the channel does not: {why}", **members)
