"""Filming: how a recording of a live channel begins, and stills of it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import structlog
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from display.colour import Layout
from display.screen import Screen, screen
from display.tiling import NOTED, Tiling
from pipeline.stages import Picture
from server import workers
from server.channels.channel import SOON, Channel
from server.channels.lifecycle import Action, Event, Filming
from server.channels.lobby import Lobby
from server.channels.origin import statement
from server.channels.refusals import not_live
from server.problems import Problem
from server.provenance.credentials import Signer, Unsigned
from server.recordings.archive import Archive, Facts
from server.recordings.recording import Limits, Recording
from server.settings import Settings

log = structlog.get_logger(__name__)

STILL_SECONDS = 5.0
"How long a still waits for a picture: there is none of a caller of whom nothing was decoded yet."


async def begin(lobby: Lobby, settings: Settings, channel: Channel, views: int = 0) -> Recording:
    """A recording of `channel` that goes on, in so many views of its quilt; 0: all. Raises Problem."""
    refused = channel.happen(Event.ASKED)
    while channel.life.filming is Filming.BEGINNING and Action.ALREADY in refused:
        assert channel.beginning is not None
        await asyncio.wait([channel.beginning])  # it may fail, and then this one's turn has come
        refused = channel.happen(Event.ASKED)
    if Action.NOT_LIVE in refused:
        raise not_live(channel.name)
    if Action.ALREADY in refused:
        assert channel.recording is not None
        going = channel.recording.facts.name
        raise Problem(409, "already-recording", f"{channel.name!r} is being recorded already", name=going)
    channel.beginning = lobby.see_to(_begun(lobby, settings, channel, views))
    return await asyncio.shield(channel.beginning)


async def _begun(lobby: Lobby, settings: Settings, channel: Channel, views: int) -> Recording:
    whole = screen(settings.screen)
    shown = whole.thinned(views or whole.views)
    limits = Limits(settings.min_free_bytes, settings.max_recording_seconds)
    note = Tiling.of(shown, channel.parallel).note
    try:
        told = statement(channel, settings, shown).told()
        facts, file = await _opened(lobby.archive, channel, shown, limits, told)
        sound = channel.voice is not None
        channel.recording = recording = Recording(lobby.archive, facts, file, lobby.form(shown), limits, sound, note)
    except BaseException:
        channel.happen(Event.UNBEGUN)
        raise
    if Action.JOIN not in channel.happen(Event.BEGUN):  # the channel has ended meanwhile, and this recording with it
        raise not_live(channel.name)
    recording.stated = lambda: statement(channel, settings, shown).told()
    _join(lobby, channel, recording, shown)
    log.info("recording", channel=channel.name, name=facts.name)
    return recording


async def _opened(
    archive: Archive, channel: Channel, shown: Screen, limits: Limits, told: Mapping[str, Any]
) -> tuple[Facts, BinaryIO]:
    try:
        free = await workers.slow(archive.free)
        if free < limits.free_bytes:
            raise Problem(
                507,
                "too-little-room",
                f"the disk is nearly full: {free >> 20} MiB are free, and a recording begins with {limits.free_bytes >> 20}. "
                "Delete recordings, or the operator can mend it (TELEQUILT_RECORDINGS_DIR, TELEQUILT_MIN_FREE_BYTES)",
                limit=limits.free_bytes,
            )
        return await workers.slow(archive.begin, channel.name, channel.avatar, shown.name, shown.file_suffix, told)
    except OSError as failure:
        log.error("a recording cannot be written", folder=str(archive.folder), cause=str(failure))
        raise Problem(
            507, "cannot-write", f"recordings cannot be written here: {failure.strerror}; the operator can mend it"
        ) from failure


def _join(lobby: Lobby, channel: Channel, recording: Recording, shown: Screen) -> None:
    """Let `recording` take what the channel sends, and the session render it even if nobody watches."""
    session, voice, stream = channel.session, channel.voice, channel.presenter.stream(shown)
    assert session is not None

    async def finished() -> None:
        await recording.finish("")  # which has begun to end, and says why itself
        channel.happen(Event.FINISHED)

    def release() -> None:
        channel.presenter.end_recording(stream, recording.put)
        session.unwatch(shown)
        if voice is not None:
            voice.leave(stream.delay, recording.hear)
        lobby.see_to(finished())

    recording.release = release
    stream.record(recording.put)
    session.watch(shown)
    if voice is not None:
        voice.join(stream.delay, recording.hear)


@dataclass(frozen=True)
class Still:
    """One quilt, for whoever asked."""

    png: bytes
    name: str
    unsigned: str = ""
    "Why it carries no content credentials."


async def still(lobby: Lobby, settings: Settings, signer: Signer, channel: Channel) -> Still:
    """The channel's next quilt; whoever asks while one is being made gets that one. Raises Problem 503 where none comes."""
    if channel.still is None:
        channel.still = lobby.see_to(_still(settings, signer, channel))
    return await asyncio.shield(channel.still)


async def _still(settings: Settings, signer: Signer, channel: Channel) -> Still:
    whole = screen(settings.screen)
    name = f"{channel.name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}{whole.file_suffix}.png"
    try:
        picture = await _picture(channel, whole)
        told = statement(channel, settings, whole).told()
        note = Tiling.of(whole, channel.parallel).note
        return await workers.slow(lambda: _signed(signer, png(picture, note), told, name))
    finally:
        channel.still = None


def _signed(signer: Signer, png: bytes, told: Mapping[str, Any], name: str) -> Still:
    try:
        return Still(signer.still(png, told, name), name)
    except Unsigned as failure:
        log.warning("a still is given out unsigned", cause=str(failure))
        return Still(png, name, str(failure))


async def _picture(channel: Channel, whole: Screen) -> Picture:
    session = channel.session
    assert session is not None
    session.watch(whole)
    session.repeat(SOON)
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
    asked = picture.screen
    whole = pixels.shape[0] - asked.quilt_height % 2 == asked.quilt_height  # smaller ones have even sides of their own
    said = PngInfo()
    said.add_text(NOTED, note)
    file = io.BytesIO()
    if whole:
        pixels = pixels[asked.quilt_height % 2 :, : asked.quilt_width]
    Image.fromarray(pixels).save(file, "PNG", compress_level=3, pnginfo=said)
    return file.getvalue()
