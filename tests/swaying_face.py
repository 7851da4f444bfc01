"""A face that sways from side to side, as films for callers of other makes. The puppet moves better and takes longer to draw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from pipeline.puppet import HEIGHT, RATE, WIDTH, puppet_portrait

TONE = 440
"Hertz."


def pictures() -> Iterator[np.ndarray]:
    """Two seconds of the sample portrait, [HEIGHT, WIDTH, 3] uint8 RGB each; they end as they begin."""
    photo = puppet_portrait().pixels
    width = photo.shape[1] * HEIGHT // photo.shape[0]
    face = cv2.resize(photo, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    for number in range(2 * RATE):
        picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        left = (WIDTH - width) // 2 + round(60 * np.sin(np.pi * number / RATE))
        picture[:, left : left + width] = face
        yield picture


def write_mp4(path: Path) -> None:
    """H.264 baseline with a keyframe a second, and Opus in stereo: all that FFmpeg's WHIP muxer takes."""
    with av.open(str(path), "w") as file:
        h264: Any = file.add_stream("libx264", RATE, options={"profile": "baseline", "preset": "ultrafast"})
        h264.width, h264.height, h264.pix_fmt, h264.gop_size = WIDTH, HEIGHT, "yuv420p", RATE
        opus: Any = file.add_stream("libopus", 48_000, layout="stereo")
        for number, picture in enumerate(pictures()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            file.mux(h264.encode(frame))
            for at in (number * 1920, number * 1920 + 960):
                file.mux(opus.encode(_tone(at)))
        file.mux(h264.encode(None))
        file.mux(opus.encode(None))


def write_mjpeg(path: Path) -> None:
    """Motion JPEG, which Chromium's fake camera plays again and again."""
    with path.open("wb") as file:
        for picture in pictures():
            file.write(cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes())


def _tone(at: int) -> av.AudioFrame:
    wave = 8000 * np.sin(2 * np.pi * TONE * (at + np.arange(960)) / 48_000)
    sound = av.AudioFrame.from_ndarray(wave.astype(np.int16).repeat(2)[None], format="s16", layout="stereo")
    sound.sample_rate, sound.pts = 48_000, at
    return sound
