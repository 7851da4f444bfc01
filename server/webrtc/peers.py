"""Peers: one WebRTC connection each, from an offer until it is gone."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import aioice.ice
import structlog
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import OperationError
from aiortc.rtcicetransport import connection_kwargs

from server.problems import Problem
from server.settings import Settings
from server.webrtc import h264, opus, redundancy, relays
from server.webrtc.offers import Fragment, Offer
from server.webrtc.patches.ice import ask_consent, gathering, ice_of, ice_under, watch_consent
from server.webrtc.patches.receivers import tap
from server.webrtc.patches.tuning import tune_libraries
from server.webrtc.relays import IceServer

log = structlog.get_logger(__name__)

ENDED_RETRY_SECONDS = 2
"When to look again for a channel that ended while a client was coming in."
CHECK_SECONDS, SILENT_SECONDS = 0.7, 3.2
"""Time between consent checks (RFC 7675), and how long a peer may be silent: whoever vanishes is noticed within
3.2 s + 0.7 s x 1.2 + 0.5 s for an answer = 4.6 s. With aioice's own 6 checks, 5 s apart, a dead caller stays for half a minute."""


def ice_servers(settings: Settings) -> list[RTCIceServer]:
    """Those that this server asks itself. Never None: aiortc would then ask a third party's STUN server."""
    asked = [] if settings.ice_for_clients_only else relays.ice_servers(settings, time.time(), "server")
    return [_as_aiortc_has_it(one) for one in asked]


def _as_aiortc_has_it(server: IceServer) -> RTCIceServer:
    return RTCIceServer(server.url, server.username, server.credential) if server.relays else RTCIceServer(server.url)


async def useless_servers(settings: Settings) -> dict[str, str]:
    """Those of the configured STUN and TURN servers that give no address, each with why, also where only clients use them."""
    tune_libraries()
    servers = relays.ice_servers(settings, time.time(), "doctor")
    found = zip(servers, await asyncio.gather(*map(_refusal, servers)), strict=True)
    return {server.url: why for server, why in found if why}


async def _refusal(server: IceServer) -> str:
    """Why `server` gives no address; empty where it does, or is of a kind that aiortc does not ask."""
    how = connection_kwargs([_as_aiortc_has_it(server)])
    connection = aioice.ice.Connection(ice_controlling=False, **how)
    before = gathering.turn_failures["refused"]
    try:
        await connection.gather_candidates()
        wanted = "relay" if server.relays else "srflx"
        if not how or any(candidate.type == wanted for candidate in connection.local_candidates):
            return ""
        return "refuses the credential" if gathering.turn_failures["refused"] > before else "does not answer"
    finally:
        await connection.close()


class Peer:
    """One connection that we answer. Everything runs in the event loop. `gone` is called once, with the reason."""

    def __init__(
        self,
        settings: Settings,
        gone: Callable[[str], None],
        # Not MAX_BUNDLE: where the offer's first section is not our first transceiver (sound first, say), aiortc 1.16
        # would then discard the one transport as a duplicate of itself.
        bundled: RTCBundlePolicy = RTCBundlePolicy.BALANCED,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.etag = f'"{secrets.token_urlsafe(12)}"'
        self.ufrag = self._first_mid = self._original = ""
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers(settings), bundlePolicy=bundled))
        self._gone: Callable[[str], None] | None = gone
        self.heard = time.monotonic()
        "When this peer last gave a sign of life."
        self._patience = asyncio.get_running_loop().call_later(
            settings.connect_seconds, self._lost, f"no connection within {settings.connect_seconds:g} s"
        )
        self.connection.on("connectionstatechange", self._state_changed)

    async def take(self, offer: Offer) -> None:
        """Apply the client's offer. Raises Problem: 404 where the channel has ended meanwhile, 422 codec-unsupported, 400 malformed-sdp."""
        self.ufrag, self._first_mid, self._original = offer.ufrag, offer.mids[0], offer.original
        with self._blaming_the_offer():
            await self.connection.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        for transceiver in self.connection.getTransceivers():
            tap(transceiver.receiver, self.hear)
            ice = ice_of(transceiver)
            watch_consent(ice, partial(self._watch, ice))
        if self.connection.sctp is not None and not self.connection.getTransceivers():
            ice = ice_under(self.connection.sctp)
            watch_consent(ice, partial(self._watch, ice))

    async def answer(self, level: int | None = None) -> str:
        """Our side, with every candidate: we do not trickle. `level`: of the H.264 that we send (h264.as_offered). Raises Problem
        as `take` does."""
        with self._blaming_the_offer():
            await self.connection.setLocalDescription()
            answer = h264.as_offered(self.connection.localDescription.sdp, self._original, level)
            return redundancy.answered(opus.as_wanted(answer, self._original), self._original)

    @contextmanager
    def _blaming_the_offer(self) -> Iterator[None]:
        """aiortc meets what it was not made for with whatever its own code raises: a client's words are not our fault."""
        try:
            yield
        except Exception as error:
            if self.closed:
                raise Problem(
                    404, "not-live", "the channel ended meanwhile; ask again", {"Retry-After": str(ENDED_RETRY_SECONDS)}
                ) from None
            if isinstance(error, OperationError):
                raise Problem(422, "codec-unsupported", "no offered variant of a codec fits what is served") from None
            log.info("an offer cannot be applied", cause=f"{type(error).__name__}: {str(error)[:200]}")
            raise Problem(400, "malformed-sdp", f"the offer cannot be applied: {str(error)[:200]}") from None

    async def trickle(self, fragment: Fragment) -> None:
        """Take the client's further candidates; all of them belong to the first, bundling section. Raises Problem 400."""
        try:
            for candidate in fragment.candidates:
                candidate.sdpMid = self._first_mid
                await self.connection.addIceCandidate(candidate)
            if fragment.complete:
                await self.connection.addIceCandidate(None)
        except Exception as error:
            raise Problem(400, "malformed-fragment", f"a candidate cannot be taken: {str(error)[:200]}") from None

    async def close(self) -> None:
        self._gone = None
        self._patience.cancel()
        await self.connection.close()

    @property
    def closed(self) -> bool:
        """By us. aiortc forgets it where a description is being applied."""
        return self._gone is None or self.connection.signalingState == "closed"

    @property
    def connected(self) -> bool:
        return self.connection.connectionState == "connected"

    def _state_changed(self) -> None:
        match self.connection.connectionState:
            case "connected":
                self._patience.cancel()
            case "failed":
                self._lost("the connection broke")
            case "closed":
                self._lost("the client hung up")

    def hear(self, packet: object = None) -> None:
        """It has given a sign of life."""
        self.heard = time.monotonic()

    async def _watch(self, ice: aioice.ice.Connection) -> None:
        """Ask for consent (RFC 7675) until neither an answer nor media has come for a while.

        Media counts, since FFmpeg's muxer answers no check once its media flows: it expects servers to be ICE-lite,
        which never check. Counted is only what could be decrypted, so nobody else can keep a dead session alive.
        """
        self.hear()
        while time.monotonic() - self.heard < SILENT_SECONDS:
            await asyncio.sleep(CHECK_SECONDS * random.uniform(0.8, 1.2))
            await ask_consent(ice, self.hear)
        self._lost(f"nothing was heard for {SILENT_SECONDS:g} s")

    def _lost(self, reason: str) -> None:
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone(reason)
