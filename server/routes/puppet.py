"""Puppet: the scripted face (a synthetic source) as a film, for pages without a camera."""

from __future__ import annotations

import asyncio
import io
from fractions import Fraction
from functools import cache

import av
from fastapi import APIRouter, Response

from pipeline.puppet import HEIGHT, RATE, WIDTH, Puppet
from server import workers

FILM_QUALITY = 23
"x264's constant rate factor; the film is watched by a face tracker and in a small preview."


def router() -> APIRouter:
    """The film as a route: what a page without a camera plays and sends."""
    routes, making = APIRouter(), asyncio.Lock()

    @routes.get("/puppet.mp4")
    async def puppet() -> Response:
        async with making:  # whoever else asks meanwhile waits here, not in a thread
            data = await workers.slow(film)
        return Response(data, media_type="video/mp4", headers={"Cache-Control": "private, max-age=3600"})

    return routes


@cache
def film() -> bytes:
    """One period of the puppet as an MP4 that loops without a jump. Made when first asked for, in some seconds, then kept in memory."""
    return _encoded(Puppet())


def _encoded(puppet: Puppet) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.options = {"crf": str(FILM_QUALITY), "preset": "veryfast"}
        for number in range(round(puppet.period * RATE)):
            picture = av.VideoFrame.from_ndarray(puppet.frame(number / RATE).pixels, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return file.getvalue()
