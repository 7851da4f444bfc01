"""Ingest: a caller's video track into frames. Drains the track always, keeps only the newest picture."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import av
import cv2
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from pipeline.frame import Frame


def to_rgb(picture: av.VideoFrame) -> np.ndarray:
    """[H, W, 3] uint8 RGB. OpenCV converts I420 several times faster than FFmpeg's scaler; the rest goes the general way."""
    if picture.format.name == "yuv420p" and picture.width % 2 == 0 == picture.height % 2:
        return cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_YUV2RGB_I420)
    return picture.to_ndarray(format="rgb24")


class Ingest:
    """Two tasks: one reads the track as fast as it gives, one converts the newest picture off the event loop."""

    def __init__(self, track: MediaStreamTrack, offer: Callable[[Frame], None]) -> None:
        self._track, self._offer = track, offer
        self._newest: tuple[av.VideoFrame, float] | None = None
        self._came = asyncio.Event()
        self.received = 0
        self.replaced = 0
        "Pictures that a newer one overtook before they were converted."
        self._tasks = [asyncio.create_task(self._drain()), asyncio.create_task(self._convert())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drain(self) -> None:
        while True:
            try:
                picture = await self._track.recv()
            except MediaStreamError:
                return
            assert isinstance(picture, av.VideoFrame), picture
            self.received += 1
            self.replaced += self._newest is not None
            self._newest = (picture, time.monotonic())
            self._came.set()

    async def _convert(self) -> None:
        sequence = 0
        while True:
            await self._came.wait()
            self._came.clear()
            assert self._newest is not None
            (picture, captured), self._newest = self._newest, None
            pixels = await asyncio.to_thread(to_rgb, picture)
            self._offer(Frame(pixels, captured, sequence))
            sequence += 1
