"""Watching: quilts for a window: those of a live channel of some server, or those in a file. Neither waits for the window."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image, UnidentifiedImageError

from display.screen import Screen
from display.tiling import NOTED, Tiling, named
from pipeline.frame import Frame
from server import workers
from server.commands.attendance import Link, attending
from server.commands.speaker import Speaker
from server.displays.drawn import Actor, Motions, figure_of
from server.displays.glass import Canvas, Easel
from server.media import clips, photo_decoder
from server.webrtc.client import Refused, Unreachable, drawing, fetch, playing
from server.webrtc.ingest import Ingest
from server.webrtc.live_video import LiveVideo

REDRAWN = 1 / 60
"Seconds between two pictures of who moves, as usual monitors show them."
SILENCE = 5.0
"Seconds without a picture after which a session is given up: its server may be gone without a word."
NOT_LIVE, BUSY = 404, 503
SOON = 2.0
"Seconds until a server that is there is asked again."
LONGEST_PAUSE = 15.0
TILING = re.compile(r"(?:qs)?(\d+)x(\d+)(?:a(\d+(?:\.\d+)?|\.\d+))?")
"Columns, rows, and the aspect of a view."


class TilingUnknown(ValueError):
    """How a file's quilt is tiled cannot be told; the message says how to say it."""


def pause(failures: int) -> float:
    """Seconds to wait after so many tries in a row found no server."""
    return min(LONGEST_PAUSE, 2.0 ** min(failures - 1, 8))


class Watcher:
    """Watches a channel until it is cancelled: waits for a caller, comes back after one left or the server was away."""

    def __init__(
        self,
        server: str,
        channel: str,
        token: Callable[[], str | None],
        canvas: Canvas,
        tell: Callable[[str], None],
        called: str = "",
        speaker: Speaker | None = None,
    ) -> None:
        """`token`: the one to send now. `called`: the channel, for people. Without a `speaker` it is mute."""
        self._called = called or channel
        self._server = server.partition("#")[0].rstrip("/")  # as `serve` prints it
        self._channel, self._token, self._canvas, self._tell = channel, token, canvas, tell
        self._said, self._speaker = "", speaker
        self.sessions = 0

    async def run(self) -> None:
        """Raises Refused where waiting would not help, such as for a wrong token."""
        failures = 0
        while True:
            try:
                await self._watch()
                failures, wait = 0, SOON
            except Unreachable as failure:
                failures, wait = failures + 1, pause(failures + 1)
                self._dark(f"no server at {self._server}", f"Waiting: {failure}.")
            except Refused as refusal:
                if refusal.status not in (NOT_LIVE, BUSY):
                    raise
                failures, wait = 0, SOON
                self._dark(f"waiting for {self._called}", f"Waiting: {str(refusal).removesuffix('; ask again')}.")
            await asyncio.sleep(wait)

    async def _watch(self) -> None:
        """One session, from its beginning until its pictures end."""
        live = await fetch(f"{self._server}/api/channels/{quote(self._channel)}", self._token())
        if live.get("geometry") and not live.get("geometry_preview") and isinstance(self._canvas, Easel):
            await self._draw(self._canvas)
            return
        tiling = await self._tiling(live["parallel"])
        url = f"{self._server}/whep/{quote(self._channel)}?as=quilt"
        opened = self._speaker.opened if self._speaker is not None else lambda kind, receiver: None
        kinds = ("video", "audio") if self._speaker is not None else ("video",)
        async with playing(url, *kinds, token=self._token(), opened=opened) as tracks:
            self.sessions += 1
            video = tracks["video"]
            assert isinstance(video, LiveVideo)
            await self._pass_on(video, tiling)
            self._dark(f"waiting for {self._called}", f"{self._called} has ended, or its server is gone.")

    async def _draw(self, easel: Easel) -> None:
        """One session in which the avatar is drawn here, from its beginning until nothing moves it any more."""
        motions = Motions()
        heard = partial(self._speaker.opened, "audio") if self._speaker is not None else None
        url = f"{self._server}/whep/{quote(self._channel)}?as=geometry"
        async with drawing(url, motions.take, self._token(), heard) as asset:
            self.sessions += 1
            actor = Actor(figure_of(asset))
            self._say(f"Showing {self._called}, drawn here.")
            with suppress(TimeoutError):
                while True:
                    record = await asyncio.wait_for(motions.newest(), SILENCE)
                    await workers.live(actor.hear, record, time.monotonic())
                    await move(actor, easel, motions)
            self._dark(f"waiting for {self._called}", f"{self._called} has ended, or its server is gone.")

    async def _tiling(self, parallel: bool) -> Tiling:
        """How the channel's quilts are tiled; asked anew for each session, since a server may come back as another."""
        screens: list[dict[str, Any]] = await fetch(f"{self._server}/api/screens", self._token())
        used = next(one for one in screens if one["default"])
        facts: dict[str, Any] = {field.name: used[field.name] for field in fields(Screen)}
        facts["yaws_degrees"] = tuple(facts["yaws_degrees"])
        screen = Screen(**facts)
        return Tiling.of(screen, parallel)

    async def _pass_on(self, video: LiveVideo, tiling: Tiling) -> None:
        ended = asyncio.Event()
        video.add_listener("ended", ended.set)

        def broke(reason: str) -> None:
            self._say(f"Pictures cannot be shown any more: {reason}.")
            ended.set()

        ingest = Ingest(video, lambda frame: self._show(frame, tiling), broke)
        before = -1
        try:
            while not ended.is_set() and ingest.received > before:
                before = ingest.received
                with suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), SILENCE)
        finally:
            await ingest.close()

    def _show(self, frame: Frame, tiling: Tiling) -> None:
        height, width = frame.pixels.shape[:2]
        if height - tiling.height % 2 != tiling.height:  # made with less detail for now
            tiling = tiling.sized(width, height)
        top = height - tiling.height  # encoders take even sizes: an odd quilt is padded there
        self._canvas.show(np.ascontiguousarray(frame.pixels[top:, : tiling.width]), tiling)
        self._say(f"Showing {self._called}: {tiling.columns}x{tiling.rows} views in {tiling.width}x{tiling.height}.")

    def _dark(self, title: str, line: str) -> None:
        self._canvas.clear(title)
        self._say(line)

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._tell(line)


async def move(actor: Actor, easel: Easel, motions: Motions) -> None:
    """Draw it as it goes to its newest pose, until it is there or a newer one has come."""
    while not motions.waiting:
        now = time.monotonic()
        easel.draw(actor.at(now))
        if actor.mixture(now) >= 1:
            return
        await asyncio.sleep(REDRAWN)


async def attend(
    link: Link,
    seat: int | None,
    name: str,
    canvas: Canvas,
    tell: Callable[[str], None],
    speaker: Speaker | None = None,
) -> None:
    """Watch a call, one of its seats or all, sitting there as `name`. Raises Refused or Unreachable; returns at its end."""
    channel = link.call if seat is None else f"{link.call}.{seat}"
    async with attending(link, name, tell) as attendance:
        watcher = Watcher(link.server, channel, lambda: attendance.token, canvas, tell, "the call", speaker)
        watching = asyncio.create_task(watcher.run())
        try:
            await asyncio.wait([watching, attendance.over], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            tell(f"The call is over: {attendance.over.result()}.")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def tiling_of(path: Path, width: int, height: int, said: str | None = None, note: str = "") -> Tiling:
    """How a quilt file of `width` x `height` is tiled: as `said` ("6x4", "6x4a0.75"), else as its name says.

    Which cameras there were tells its `note`; where that is silent, they are off-axis, as in other programs' files.
    Raises TilingUnknown.
    """
    if said is None:
        found = named(path.stem, width, height)
        if found is None:
            raise TilingUnknown(
                f"the name {path.name!r} does not say how the quilt is tiled, as ..._qs6x4a1 does: say it with --tiling 6x4"
            )
        return found.noted(note)
    read = TILING.fullmatch(said)
    if read is None:
        raise TilingUnknown(f"{said!r} is no tiling: columns, x, rows, for instance 6x4, or with the aspect 6x4a0.75")
    columns, rows = int(read[1]), int(read[2])
    aspect = read[3] or f"{width / columns / (height / rows) if columns * rows else 1:.6f}"
    found = named(f"qs{columns}x{rows}a{aspect}", width, height)
    if found is None:
        raise TilingUnknown(f"{path.name} has {width}x{height} pixels, which do not make {said} tiles")
    return found.noted(note)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of an image or a video. Raises ClipUnreadable."""
    image = _image(path)
    if image is not None:
        _pixels(path, image)  # what is damaged is told before a window opens
        return image.size
    known = clips.facts(path)
    if not (known.width and known.height):  # FFmpeg believes a name that ends in .png
        raise clips.ClipUnreadable(f"{path} holds no picture that can be read")
    return known.width, known.height


def note_of(path: Path) -> str:
    """What an image or a video says of the cameras it was taken with (Tiling.note), or whatever else. Raises ClipUnreadable."""
    image = _image(path)
    return clips.facts(path).comment if image is None else str(image.info.get(NOTED, ""))


def play(path: Path, tiling: Tiling, canvas: Canvas, stop: Event) -> None:
    """Show an image; or a video over and over at its own pace, until `stop`. Raises ClipUnreadable."""
    image = _image(path)
    if image is not None:
        canvas.show(_pixels(path, image), tiling)
        stop.wait()
        return
    while not stop.is_set():
        begun = time.monotonic()
        for frame in clips.frames(path):
            if stop.wait(max(0.0, begun + frame.captured - time.monotonic())):
                return
            height, width = frame.pixels.shape[:2]
            canvas.show(frame.pixels, replace(tiling, width=width, height=height))


def _image(path: Path) -> Image.Image | None:
    """None for what is no image; it may be a video. Raises ClipUnreadable."""
    try:
        return Image.open(path)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError):
        return None
    except Exception as failure:  # decoders raise whatever they like
        raise _damaged(path, failure) from failure


def _pixels(path: Path, image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8, of whichever depth, mode and number of pictures it is. Raises ClipUnreadable."""
    try:
        return np.asarray(photo_decoder.rgb(image))
    except Exception as failure:
        raise _damaged(path, failure) from failure


def _damaged(path: Path, failure: Exception) -> clips.ClipUnreadable:
    return clips.ClipUnreadable(f"{path} is a damaged or incomplete image: {clips.at_most(failure)}")
