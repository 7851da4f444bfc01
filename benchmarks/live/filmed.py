"""Filmed: how far sound and picture are apart in a recording, by what each carries: pictures their number, sound its chirp."""

from __future__ import annotations

import io
from typing import Any

import av
import httpx
import numpy as np
from av.container import InputContainer

from benchmarks.live import barcode, chirp
from benchmarks.live.offsets import Aged, ages, offsets, summary


async def begin(http: httpx.AsyncClient, channel: str) -> None:
    (await http.post(f"/api/channels/{channel}/recording")).raise_for_status()


async def end(http: httpx.AsyncClient, channel: str) -> bytes:
    """The film."""
    name = (await http.delete(f"/api/channels/{channel}/recording")).raise_for_status().json()["name"]
    return (await http.get(f"/api/recordings/{name}")).raise_for_status().content


def apart(film: io.BytesIO, camera_begun: float, rate: float, microphone_begun: float) -> dict[str, Any]:
    """The offsets in `film` (a file) as offsets.summary has them, all of it: a film is looked at from its beginning. `rate`: the
    camera's, whose pictures began at `camera_begun`."""
    shown, heard = [], []
    with av.open(film) as container:
        assert isinstance(container, InputContainer)
        for frame in container.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame) and frame.time is not None:
                luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
                if (number := barcode.read(luma[: barcode.HEIGHT, : barcode.WIDTH])) is not None:
                    shown.append((frame.time, frame.time - camera_begun - number / rate))
            elif isinstance(frame, av.AudioFrame) and frame.time is not None:
                block = chirp.samples(frame)
                if (told := chirp.read(block)) is not None:
                    heard.append((frame.time + len(block) / chirp.RATE / 2, told))
    at, age = (np.array(one) for one in zip(*shown, strict=True))
    when, told = (np.array(one) for one in zip(*heard, strict=True))
    seen = Aged(at, age)
    # a film's clock is its own: sound's age is known but for whole periods of the chirp
    said = ages(when, told, microphone_begun)
    middle = float(np.median(age))
    said = Aged(said.at, (said.age - middle + chirp.PERIOD / 2) % chirp.PERIOD + middle - chirp.PERIOD / 2)
    times, found = offsets(seen, said, 0.0)
    return summary(times + 3.0, found) | {"seconds": round(float(at[-1]), 1)}
