"""Narrow: peers of the server at the end of a bad network (benchmarks/live/network.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
from aiortc import MediaStreamTrack, RTCSessionDescription

from benchmarks.live.network import Conditions, Way, relayed, without_candidates
from server.webrtc.backlog import Limits
from server.webrtc.client import MOST_PIXELS
from server.webrtc.live_video import LiveVideo
from tests.live import SDP, Client, located


class Distant(Client):
    """A caller or a viewer who meets the server through a relay alone."""

    def __init__(self, http: httpx.AsyncClient, up: Conditions, down: Conditions) -> None:
        super().__init__(http)
        self.up, self.down = Way(up, seed=1), Way(down, seed=2)
        self._relay = AsyncExitStack()
        self.video: list[LiveVideo] = []

    def _read(self, track: MediaStreamTrack) -> None:
        """As our own client does and browsers do: aiortc's jitter buffer waits for a lost packet until 512 more have come."""
        if track.kind == "video":
            video = LiveVideo(self.connection.getTransceivers()[0].receiver, Limits(MOST_PIXELS))
            self.video.append(video)
            track = video
        super()._read(track)

    async def exchange(self, path: str, query: dict[str, str], mangle: Any = str) -> httpx.Response:
        await self.connection.setLocalDescription()
        offer = without_candidates(mangle(self.connection.localDescription.sdp))
        answer = await self.http.post(path, params=query, content=offer, headers=SDP)
        assert answer.status_code == 201, answer.text
        self.session, self.etag = located(answer), answer.headers["ETag"]
        self.answer = await self._relay.enter_async_context(relayed(answer.text, self.up, self.down))
        await self.connection.setRemoteDescription(RTCSessionDescription(self.answer, "answer"))
        return answer

    async def close(self) -> None:
        for video in self.video:
            video.stop()
        await super().close()
        await self._relay.aclose()


@asynccontextmanager
async def distant(
    http: httpx.AsyncClient, up: Conditions = Conditions(), down: Conditions = Conditions()
) -> AsyncIterator[Distant]:
    client = Distant(http, up, down)
    try:
        yield client
    finally:
        await client.close()
