"""Heavy caller: a camera that sends more than a small machine decodes, in a process of its own. Its pictures are coded
beforehand and repeated, so that sending costs little; like OBS it hears no request for a keyframe, one comes with each round.

    python -m benchmarks.live.heavy_caller --port 8765 --width 3840 --height 2160 --rate 30 --codec VP8
"""

from __future__ import annotations

import asyncio
import sys
import time
from fractions import Fraction
from itertools import islice
from typing import Annotated

import av
import cv2
import httpx
import numpy as np
import typer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from pipeline.puppet import Puppet
from server import workers
from server.media.rates import CLOCK_RATE

ENCODERS = {"VP8": "libvpx", "H264": "libx264"}
OPTIONS = {"VP8": {"deadline": "realtime", "cpu-used": "8"}, "H264": {"preset": "ultrafast", "tune": "zerolatency"}}
ROUND = 60
"Pictures that are repeated."


def coded(width: int, height: int, codec: str) -> list[bytes]:
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt, context.time_base = width, height, "yuv420p", Fraction(1, 30)
    context.bit_rate = width * height * 3
    context.options = OPTIONS[codec] | {"g": str(ROUND)}
    pictures = []
    for number, frame in enumerate(islice(Puppet().frames(), ROUND)):
        pixels = np.asarray(cv2.resize(frame.pixels, (width, height)), np.uint8)
        picture = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        picture.pts = number
        pictures.append(b"".join(bytes(packet) for packet in context.encode(picture)))
    return pictures


class Recorded(MediaStreamTrack):
    kind = "video"

    def __init__(self, pictures: list[bytes], rate: float) -> None:
        super().__init__()
        self._pictures, self._rate, self._count, self._begun = pictures, rate, 0, 0.0

    async def recv(self) -> av.Packet:
        if self.readyState != "live":
            raise MediaStreamError
        self._begun = self._begun or time.monotonic()
        await asyncio.sleep(max(0.0, self._begun + self._count / self._rate - time.monotonic()))
        packet = av.Packet(self._pictures[self._count % len(self._pictures)])
        packet.pts, packet.time_base = round(self._count * CLOCK_RATE / self._rate), Fraction(1, CLOCK_RATE)
        self._count += 1
        return packet


async def _send(port: int, track: Recorded, codec: str) -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver = connection.addTransceiver(track, "sendonly")
    transceiver.setCodecPreferences([one for one in known if one.mimeType == f"video/{codec}"])
    await connection.setLocalDescription(await connection.createOffer())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
        answer = await http.post(
            "/whip/heavy?avatar=sample",
            content=connection.localDescription.sdp,
            headers={"Content-Type": "application/sdp"},
        )
        answer.raise_for_status()
        await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        print("live", flush=True)
        await workers.slow(sys.stdin.readline)
        await http.delete(answer.headers["Location"])
    await connection.close()


def main(
    port: Annotated[int, typer.Option(help="Where the server listens.")],
    width: Annotated[int, typer.Option()] = 1920,
    height: Annotated[int, typer.Option()] = 1080,
    rate: Annotated[float, typer.Option()] = 60.0,
    codec: Annotated[str, typer.Option(help="VP8 or H264.")] = "H264",
) -> None:
    """Publish into the channel "heavy", say "live", and leave when a line comes on standard input."""
    asyncio.run(_send(port, Recorded(coded(width, height, codec), rate), codec))


if __name__ == "__main__":
    typer.run(main)
