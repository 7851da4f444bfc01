"""Filming: recording a channel's quilt, taking a still of it, and what is kept of both: the routes, and how one begins."""

from __future__ import annotations

import asyncio
import io
import time
from dataclasses import asdict
from typing import Annotated, Any

import cv2
import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from display.colour import Layout
from display.screen import Screen, screen
from display.tiling import NOTED, Tiling
from pipeline.stages import Picture
from server.calls.channel import Channel
from server.calls.lobby import Lobby
from server.problems import Problem
from server.recordings.archive import Archive
from server.recordings.recording import Limits, Recording
from server.routes.signalling import Channel as ChannelName
from server.routes.signalling import lobby_of
from server.settings import Settings

log = structlog.get_logger(__name__)

STILL_SECONDS = 5.0
"How long a still waits for a picture: a caller whose camera stands still sends none."
PRIVATE = {"Cache-Control": "private, no-store"}
ASKED = "asked to"


def router(settings: Settings) -> APIRouter:
    routes = APIRouter(prefix="/api")

    @routes.post("/channels/{channel}/recording", status_code=201)
    async def begin(request: Request, response: Response, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        recording = await _begin(lobby, settings, lobby.live(channel))
        response.headers["Location"] = f"/api/channels/{channel}/recording"
        return asdict(recording.report() or lobby.shown(recording.facts))

    @routes.get("/channels/{channel}/recording")
    async def state(request: Request, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        report = asdict(lobby.report(lobby.live(channel)))
        return {"recording": report["recording"], "recorded": report["recorded"]}

    @routes.delete("/channels/{channel}/recording")
    async def end(request: Request, channel: ChannelName) -> dict[str, Any]:
        lobby = lobby_of(request)
        recording = lobby.live(channel).recording
        if recording is None or not recording.under_way:
            raise Problem(404, "not-recording", f"nobody records {channel!r}; POST here begins a recording")
        return asdict(lobby.shown(await recording.finish(ASKED)))

    @routes.post("/channels/{channel}/still")
    async def still(request: Request, channel: ChannelName) -> Response:
        whole, lobby = screen(settings.screen), lobby_of(request)
        live = lobby.live(channel)
        note = Tiling.of(whole, lobby.parallel(live)).note
        picture = await _still(live, whole)
        name = f"{channel}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}{whole.file_suffix}.png"
        headers = PRIVATE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(await asyncio.to_thread(png, picture, note), media_type="image/png", headers=headers)

    @routes.get("/recordings")
    async def listing(
        request: Request, channel: Annotated[str | None, Query(description="Only what was recorded there.")] = None
    ) -> list[dict[str, Any]]:
        """All of them where only this machine's user can ask. Elsewhere by channel: whoever knows a channel could watch it."""
        if channel is None and not settings.private:
            raise Problem(400, "channel-required", "this server is shared: ask for one channel's, ?channel=...")
        kept = await asyncio.to_thread(_archive(request).listing, channel)
        return [asdict(facts) | {"avatar": facts.avatar if settings.private else ""} for facts in kept]

    @routes.get("/recordings/{name}")
    async def download(request: Request, name: str) -> FileResponse:
        film = await asyncio.to_thread(_archive(request).film, name)
        return FileResponse(film, media_type="video/mp4", filename=name, headers=PRIVATE)

    @routes.delete("/recordings/{name}", status_code=204)
    async def delete(request: Request, name: str) -> Response:
        await asyncio.to_thread(_archive(request).delete, name)
        log.info("recording deleted")
        return Response(status_code=204)

    return routes


def _archive(request: Request) -> Archive:
    return request.app.state.archive


async def _begin(lobby: Lobby, settings: Settings, channel: Channel) -> Recording:
    """A recording of `channel` that goes on. Raises Problem."""
    async with channel.beginning:
        if channel.recording is not None and channel.recording.under_way:
            going = channel.recording.facts
            raise Problem(409, "already-recording", f"{channel.name!r} is being recorded already", name=going.name)
        whole = screen(settings.screen)
        archive, limits = lobby.archive, Limits(settings.min_free_bytes, settings.max_recording_seconds)
        try:
            free = await asyncio.to_thread(archive.free)
            if free < limits.free_bytes:
                raise Problem(
                    507,
                    "too-little-room",
                    f"{free >> 20} MiB are free in {archive.folder}; a recording begins with {limits.free_bytes >> 20}: "
                    "delete some, or see TELEQUILT_MIN_FREE_BYTES and TELEQUILT_RECORDINGS_DIR",
                    limit=limits.free_bytes,
                )
            facts, file = await asyncio.to_thread(
                archive.begin, channel.name, channel.avatar, whole.name, whole.file_suffix
            )
        except OSError as failure:
            log.error("a recording cannot be written", folder=str(archive.folder), cause=str(failure))
            raise Problem(
                507, "cannot-write", f"recordings cannot be written here: {failure.strerror}; the operator can mend it"
            ) from failure
        note = Tiling.of(whole, lobby.parallel(channel)).note
        recording = Recording(archive, facts, file, lobby.form(whole), limits, channel.voice is not None, note)
        channel.recording = recording
        if lobby.channels.get(channel.name) is not channel:  # the caller left meanwhile, so nobody else would end it
            await recording.finish("the caller left")
            lobby.live(channel.name)
        _join(channel, recording, whole)
        log.info("recording", channel=channel.name, name=facts.name)
        return recording


def _join(channel: Channel, recording: Recording, whole: Screen) -> None:
    """Let `recording` take what the channel sends, and the session render it even if nobody watches."""
    session, voice, stream = channel.session, channel.voice, channel.presenter.stream(whole)
    assert session is not None

    def release() -> None:
        channel.presenter.end_recording(stream, recording.put)
        session.unwatch(whole)
        if voice is not None:
            voice.leave(recording.hear)

    recording.release = release
    stream.record(recording.put)
    session.watch(whole)
    if voice is not None:
        voice.join(recording.hear)


async def _still(channel: Channel, whole: Screen) -> Picture:
    """The channel's next quilt. Raises Problem 503 where none comes."""
    session = channel.session
    assert session is not None
    session.watch(whole)
    try:
        return await asyncio.wait_for(channel.presenter.still(whole), STILL_SECONDS)
    except TimeoutError:
        raise Problem(
            503,
            "no-picture",
            f"no picture came for {STILL_SECONDS:g} s; is the caller's camera on?",
            {"Retry-After": "2"},
        ) from None
    finally:
        session.unwatch(whole)


def png(picture: Picture, note: str) -> bytes:
    """A quilt as PNG with Tiling.note, without the row and column that encoders are given to make its sides even."""
    code = cv2.COLOR_YUV2RGB_I420 if picture.layout is Layout.I420 else cv2.COLOR_YUV2RGB_NV12
    pixels = cv2.cvtColor(picture.yuv, code)
    padding = picture.screen.quilt_height % 2
    said = PngInfo()
    said.add_text(NOTED, note)
    file = io.BytesIO()
    whole = pixels[padding:, : picture.screen.quilt_width]
    Image.fromarray(whole).save(file, "PNG", compress_level=3, pnginfo=said)
    return file.getvalue()
