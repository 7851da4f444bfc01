"""Janus: Debian's SFU as a server that channels are handed over to, and WHIP in front of its own JSON interface."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCSessionDescription
from fastapi import FastAPI, Request, Response

from tests.live import Client, free_port, listening

ROOM, PUBLISHER = 1234, 1
NO_SUCH_FEED = 428
LIBRARIES = "/usr/lib"
CORE = """general: {{ configs_folder = "{folder}", plugins_folder = "{folder}/plugins", transports_folder = "{folder}/transports",
events_folder = "{folder}/none", loggers_folder = "{folder}/none", debug_level = 4, session_timeout = 120 }}
media: {{ rtp_port_range = "42000-42099" }}
nat: {{ nice_debug = false, ice_enforce_list = "127.0.0.1", ice_lite = false }}
"""
HTTP = """general: {{ json = "compact", base_path = "/janus", http = true, port = {port}, ip = "127.0.0.1", https = false }}
admin: {{ admin_http = false, admin_https = false }}
"""


@asynccontextmanager
async def janus(folder: Path) -> AsyncIterator[Room]:
    """A running one with an empty room. Skips the test in one line where there is none."""
    if not shutil.which("janus"):
        pytest.skip("no Janus: apt-get install janus")
    port = free_port()
    for kind, name in (("plugins", "libjanus_videoroom.so"), ("transports", "libjanus_http.so")):
        (folder / kind).mkdir()
        (found,) = Path(LIBRARIES).glob(f"*/janus/{kind}/{name}")
        (folder / kind / name).symlink_to(found)
    (folder / "janus.jcfg").write_text(CORE.format(folder=folder))
    (folder / "janus.transport.http.jcfg").write_text(HTTP.format(port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["janus", f"--configs-folder={folder}"], stdout=log, stderr=log)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            await _up(http, process, folder / "log")
            yield await Room.made(http)
    finally:
        process.kill()
        process.wait()


async def _up(http: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            if (await http.get("/janus/info")).status_code == 200:
                return
        except httpx.HTTPError:
            await asyncio.sleep(0.1)
    raise AssertionError(log.read_text())


class Room:
    """A video room by Janus's interface: a session with a handle that publishes, and one for each that watches."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._session = self._count = 0
        self._publisher = 0

    @classmethod
    async def made(cls, http: httpx.AsyncClient) -> Room:
        room = cls(http)
        room._session = (await room._say("/janus", janus="create"))["data"]["id"]
        room._publisher = await room._attached()
        form = {"videocodec": "h264", "h264_profile": "42e01f", "audiocodec": "opus", "bitrate": 0, "publishers": 1}
        await room._tell(room._publisher, {"request": "create", "room": ROOM, **form})
        return room

    async def publish(self, sdp: str) -> str:
        body = {"request": "joinandconfigure", "room": ROOM, "ptype": "publisher", "id": PUBLISHER}
        return await self._answered(self._publisher, body, {"type": "offer", "sdp": sdp})

    async def unpublish(self) -> None:
        await self._tell(self._publisher, {"request": "leave"})

    @asynccontextmanager
    async def watching(self, kind: type[Client] = Client) -> AsyncIterator[Client]:
        """A viewer of what is published."""
        handle = await self._attached()
        body = {"request": "join", "room": ROOM, "ptype": "subscriber", "streams": [{"feed": PUBLISHER}]}
        offer = ""
        while not offer:  # none before the publisher is connected
            offer = await self._answered(handle, body, None)
        async with kind(self._http) as viewer:
            await viewer.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            await viewer.connection.setLocalDescription()
            answer = {"type": "answer", "sdp": viewer.connection.localDescription.sdp}
            await self._tell(handle, {"request": "start"}, answer)
            yield viewer

    async def _attached(self) -> int:
        told = await self._say(f"/janus/{self._session}", janus="attach", plugin="janus.plugin.videoroom")
        return told["data"]["id"]

    async def _answered(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None) -> str:
        """What it describes in the event that follows `body`; nothing where nobody publishes yet."""
        await self._tell(handle, body, jsep)
        while True:
            event = (await self._http.get(f"/janus/{self._session}", params={"maxev": 1})).json()
            failure = event.get("plugindata", {}).get("data", {}).get("error_code")
            if failure == NO_SUCH_FEED:
                await asyncio.sleep(0.1)
                return ""
            assert failure is None, event
            if event.get("sender") == handle and "jsep" in event:
                return event["jsep"]["sdp"]

    async def _tell(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        more = {"jsep": jsep} if jsep else {}
        return await self._say(f"/janus/{self._session}/{handle}", janus="message", body=body, **more)

    async def _say(self, path: str, **what: Any) -> dict[str, Any]:
        self._count += 1
        told = (await self._http.post(path, json={"transaction": str(self._count), **what})).json()
        assert told["janus"] in ("success", "ack"), told
        return told


Whip = Callable[[str], Awaitable[str]]


@asynccontextmanager
async def whip(
    publish: Whip, ended: Callable[[], Awaitable[object]], token: str = ""
) -> AsyncIterator[tuple[str, list[Request]]]:
    """(a WHIP endpoint, what it was asked): it redirects once, is busy once, and then takes offers."""
    app, asked = FastAPI(), []

    @app.api_route("/whip/{rest:path}", methods=["POST", "DELETE"])
    async def take(request: Request, rest: str) -> Response:
        asked.append(request)
        if request.headers.get("authorization") != f"Bearer {token}":
            return Response(status_code=401)
        if request.method == "DELETE":
            await ended()
            return Response()
        if rest == "front":
            return Response(status_code=307, headers={"Location": "behind"})
        if len(asked) < 3:
            return Response(status_code=503, headers={"Retry-After": "1"})
        answer = await publish((await request.body()).decode())
        return Response(answer, 201, {"Location": "behind/session"}, "application/sdp")

    async with listening(app) as base:
        yield f"{base}/whip/front", asked
