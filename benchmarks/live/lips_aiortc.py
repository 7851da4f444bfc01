"""Lips between aiortc's peers: one call whose caller's picture and sound say when they were, and whose viewer tells when packets arrive."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import httpx
import numpy as np
from aiortc.mediastreams import MediaStreamTrack

from benchmarks.glass_to_glass import Camera
from benchmarks.live import barcode, chirp, filmed
from benchmarks.live.offsets import Aged, ages, gaps, middle, offsets
from server.webrtc.client import PictureTrack, playing, publishing
from server.webrtc.live_video import LiveVideo
from server.webrtc.patches.receivers import take_packets, tap_reports

RATE = 25.0
"The camera's frames a second."
KNOWN = 2.0
"Seconds after which an SFU has seen a packet of each track."
LOOK_AHEAD = 312 / 48_000
"Seconds by which libopus's packets say what was before the time that they carry (OPUS_GET_LOOKAHEAD at 48 kHz)."


class Microphone(MediaStreamTrack):
    """Hears the chirp, 20 ms at a time, each given when its last sample was captured."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._at, self.begun = 0, time.monotonic()
        self.captured: float | None = None

    async def recv(self) -> av.AudioFrame:
        self.captured = self.begun + self._at / chirp.RATE
        await asyncio.sleep(max(0.0, self.captured + chirp.BLOCK / chirp.RATE - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(chirp.wave(self._at, chirp.BLOCK)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = chirp.RATE, self._at, Fraction(1, chirp.RATE)
        self._at += chirp.BLOCK
        return frame


@dataclass
class Viewer:
    """What an aiortc viewer gets: of each, (arrival, the sender's RTP time in seconds, what it carries)."""

    pictures: list[tuple[float, float, int]] = field(default_factory=list)
    sounds: list[tuple[float, float, float]] = field(default_factory=list)
    reports: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"video": [], "audio": []})
    "Of sender reports: (wall clock, RTP time), seconds."

    def __post_init__(self) -> None:
        self._decoder = av.CodecContext.create("libopus", "r")
        self.pcm: list[np.ndarray] = []

    def opened(self, kind: str, receiver: Any) -> None:
        rate = 90_000 if kind == "video" else chirp.RATE
        tap_reports(receiver, lambda source, sent, rtp: self.reports[kind].append((sent, rtp / rate)) if sent else None)
        if kind == "audio":
            take_packets(receiver, self._sound)

    def _sound(self, packet: Any, data: bytes, codec: Any) -> bool:
        now = time.monotonic()
        for frame in self._decoder.decode(av.Packet(data)) if data else []:
            block = chirp.samples(frame)
            self.pcm.append(block)
            if (told := chirp.read(block)) is not None:
                self.sounds.append((now, packet.timestamp / chirp.RATE, told))
        return False

    async def watch(self, video: MediaStreamTrack) -> None:
        assert isinstance(video, LiveVideo)
        while True:
            frame, rtp = await video.take()
            now = time.monotonic()
            luma = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
            if (number := barcode.read(luma[: barcode.HEIGHT, : barcode.WIDTH])) is not None:
                self.pictures.append((now, rtp, number))


async def call(port: int, pictures: list[np.ndarray], seconds: float, through: str = "") -> dict[str, Any]:
    """One call between aiortc's peers, from the viewer's first picture on; `through` an SFU, if one is named."""
    camera = PictureTrack(Camera(pictures).take, RATE)
    microphone, viewer = Microphone(), Viewer()
    base = f"http://127.0.0.1:{port}"
    carried = lambda source, rtp, arrived: rtp / 90_000  # noqa: E731
    watched = f"{through}/whep/lips" if through else f"{base}/whep/lips?as=quilt"
    async with publishing(f"{base}/whip/lips?avatar=sample", camera, microphone), AsyncExitStack() as stack:
        if through:
            await _hand_over(base, f"{through}/whip/lips")
        watching_it = playing(watched, "video", "audio", captured=carried, opened=viewer.opened)
        tracks = await stack.enter_async_context(watching_it)
        watching = asyncio.create_task(viewer.watch(tracks["video"]))
        while not viewer.pictures:
            await asyncio.sleep(0.02)
        async with httpx.AsyncClient(base_url=base, timeout=30, trust_env=False) as http:
            await filmed.begin(http, "lips")
            await asyncio.sleep(seconds)
            film_of_it = await filmed.end(http, "lips")
        watching.cancel()
    at, _, numbers = (np.array(one) for one in zip(*viewer.pictures, strict=True))
    heard, _, told = (np.array(one) for one in zip(*viewer.sounds, strict=True))
    seen = Aged(at, at - camera.begun - numbers / RATE)  # when each was due: a busy machine draws it later
    # a packet's middle is heard half a packet after its begin
    half = chirp.BLOCK / chirp.RATE / 2
    said = ages(heard + half, told, microphone.begun)
    times, found = offsets(seen, said, at[0])
    apart = _reports_apart(viewer, camera, microphone)
    facts: dict[str, Any] = {
        "reports_apart_ms": apart,
        "gaps": gaps(np.concatenate(viewer.pcm)),
        "picture_age_ms": middle(seen),
        "recording": filmed.apart(io.BytesIO(film_of_it), camera.begun, RATE, microphone.begun),
    }
    return facts | {"sound_age_ms": middle(said), "at_s": times, "offsets_ms": found}


async def _hand_over(base: str, url: str) -> None:
    """Wait until the channel's own server sends to the SFU, which knows both tracks then."""
    async with httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as http:
        (await http.post("/api/channels/lips/handover", json={"url": url})).raise_for_status()
        while not (await http.get("/api/channels/lips")).json()["handover"]["connected"]:
            await asyncio.sleep(0.1)
    await asyncio.sleep(KNOWN)


def _reports_apart(viewer: Viewer, camera: PictureTrack, microphone: Microphone) -> float | None:
    """Milliseconds by which the wall clocks of sound and picture differ in reports about one capture: what each says its capture
    was, by the RTP time that carried it."""
    said = {}
    known = {
        "video": [(rtp, camera.begun + number / RATE) for _, rtp, number in viewer.pictures],
        "audio": [(rtp, told) for _, rtp, told in viewer.sounds],
    }
    for kind, pairs in known.items():
        rtp, captured = (np.array(one) for one in zip(*pairs, strict=True))
        differences = []
        for sent, at in viewer.reports[kind]:
            near = int(np.abs(rtp - at).argmin())
            if abs(rtp[near] - at) < 2:
                differences.append(sent - at + rtp[near] - captured[near])
        if not differences:
            return None
        said[kind] = np.array(differences)
    half = chirp.BLOCK / chirp.RATE / 2 - LOOK_AHEAD
    phase = float(np.median((said["audio"] + half - np.median(said["video"]) - microphone.begun + 0.5) % 1.0)) - 0.5
    return round(1e3 * phase, 2)
