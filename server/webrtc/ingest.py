"""Ingest: a caller's pictures into frames, the newest one always, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import av
import cv2
import numpy as np
import structlog
from aiortc.mediastreams import MediaStreamError

from pipeline.frame import Frame
from server import workers
from server.tally import Tally
from server.webrtc.live_video import LiveVideo, Reception

LONGEST_SIDE = 1920
"Pixels of what is kept of a caller's picture: a face tracker finds no more in 4K, and the pipeline would carry 25 MB a frame."
UNCONVERTIBLE = "pictures cannot be converted"
_log = structlog.get_logger(__name__)


def to_rgb(picture: av.VideoFrame, longest: int | None = None) -> np.ndarray:
    """[H, W, 3] uint8 RGB, halved until no side is longer than `longest`. OpenCV converts I420 several times faster than
    FFmpeg's scaler; the rest goes the general way."""
    if picture.format.name == "yuv420p" and picture.width % 2 == 0 == picture.height % 2:
        pixels = cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_YUV2RGB_I420)
    else:
        pixels = picture.to_ndarray(format="rgb24")
    height, width = pixels.shape[:2]
    while longest is not None and max(height, width) > longest:
        height, width = max(1, height // 2), max(1, width // 2)
    return pixels if pixels.shape[1] == width else cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


class Ingest:
    """Takes a video's newest picture, converts it, offers it, and again."""

    def __init__(
        self,
        video: LiveVideo,
        offer: Callable[[Frame], None],
        broke: Callable[[str], None],
        longest: int | None = None,
    ) -> None:
        """`broke` is told, once and in the event loop, why no frame will come any more. `longest`: see to_rgb."""
        self._video, self._offer, self._broke, self._longest = video, offer, broke, longest
        self._failed = Tally(_log)
        self._task = asyncio.create_task(self._convert())
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        self._video.stop()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def received(self) -> int:
        """Pictures decoded."""
        return self._video.report().decoded

    @property
    def replaced(self) -> int:
        """Pictures that a newer one overtook before they were converted."""
        return self._video.report().overtaken

    def report(self) -> Reception:
        """How the caller's stream comes in, and why pictures of it were not shown."""
        told = self._video.report()
        return replace(told, lost=told.lost | self._failed.counts)

    async def _convert(self) -> None:
        sequence = 0
        while True:
            try:
                picture, captured = await self._video.take()
            except MediaStreamError:
                return
            try:
                pixels = await workers.live(to_rgb, picture, self._longest)
            except Exception as error:  # one picture of a strange format ends nothing
                self._failed.count(UNCONVERTIBLE, format=picture.format.name, error=str(error))
                continue
            self._offer(Frame(pixels, captured, sequence))
            sequence += 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("pictures are taken no more", exc_info=error)
            self._broke(str(error) or type(error).__name__)
