"""Drawn: geometry beside quilts, live: bytes a second, the server's processor time a picture, how old they are, and how many callers fit.

    python -m benchmarks.drawn                      relief's sample, and the mannequin of the splats engine beside it
    python -m benchmarks.drawn --engines relief

Server in one process, callers and viewers (aiortc) in this one, on the same cores. Callers send pictures coded beforehand; viewers of
quilts count packets and decode none, so that the server has the machine as far as may be. Turns alternate in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from benchmarks.lib.harness import RESULTS, parser, show, write
from benchmarks.live import server_process
from benchmarks.live.heavy_caller import Recorded, coded
from benchmarks.live.lossy import Links
from benchmarks.live.network import without_candidates
from engines.geometry import motion
from server import workers
from server.webrtc.patches.receivers import take_packets
from server.webrtc.patches.tuning import tune_libraries

RATE = 25.0
WARM, MOST_CALLERS = 3.0, 10
HELD_FPS, HELD_AGE = 23.0, 0.15
"Pictures a second, and seconds at the 95th percentile, with which a caller counts as held."
LOSS, JITTER = 0.05, 0.05
AROUND = 20 + 8 + 13 + 24 + 12 + 16
"Bytes about a record that is one datagram: IP, UDP, DTLS 1.2 (AES-GCM), SCTP, its chunk. Counted for each 1200 bytes begun."
WHOLE = 1200
Form = Literal["quilt", "geometry"]
FORMS: tuple[Form, Form] = ("quilt", "geometry")
SDP = {"Content-Type": "application/sdp"}


@dataclass
class Viewer:
    """What came to one viewer."""

    form: Form
    bytes: int = 0
    ages: list[float] = field(default_factory=list)
    "Seconds, of motion, from capture to arrival."
    came: list[float] = field(default_factory=list)

    def clear(self) -> None:
        self.bytes = 0
        self.ages.clear()
        self.came.clear()

    def take(self, record: bytes) -> None:
        self.bytes += len(record) + AROUND * -(-len(record) // WHOLE)
        self.ages.append(time.time() - motion.unpacked(record).captured)
        self.came.append(time.monotonic())

    def count(self, packet: Any, data: bytes, codec: Any) -> bool:
        self.bytes += len(data)
        return False


def main() -> None:
    options = parser(__doc__)
    add = options.add_argument
    add(
        "--engines",
        nargs="+",
        default=["relief", "splats"],
        help="whose avatars are drawn; the first one's motion is also lost",
    )
    add("--port", type=int, default=8779, help="where the server listens meanwhile")
    add("--seconds", type=float, default=8.0, help="of each turn of one call")
    add("--turns", type=int, default=2, help="of each form")
    add("--out", type=Path, default=RESULTS, help="folder for the JSON")
    wanted = options.parse_args()
    tune_libraries()
    pictures = coded(640, 480, "H264")
    with serving(wanted.port) as server:
        result = asyncio.run(measured(wanted, server, pictures))
    result["held"] = []
    for engine, form in product(wanted.engines, FORMS):  # each on a server that knows of nothing else
        with serving(wanted.port):
            callers, why = asyncio.run(callers_held(wanted.port, pictures, engine, form))
        result["held"].append({"engine": engine, "form": form, "callers": callers, "why not more": why})
    one = result["one call"]
    show(
        "one call",
        ("engine", "form", "kbit/s", "server ms a picture", "fps", "age p95 ms"),
        ([turn[name] for name in ("engine", "form", "kbit_s", "server_ms", "fps", "age_p95_ms")] for turn in one),
    )
    show("callers held", ("engine", "form", "callers", "why not more"), (row.values() for row in result["held"]))
    show("motion, 5 % lost, 50 ms jitter", ("", "ms or a second"), result["loss"].items())
    print(write("drawn", result, wanted.out))


@contextmanager
def serving(port: int) -> Iterator[psutil.Process]:
    with tempfile.TemporaryDirectory() as folder:
        how = {"TELEQUILT_DATA_DIR": folder, "TELEQUILT_MAX_CHANNELS": str(MOST_CALLERS), "TELEQUILT_ADAPT": "false"}
        command = [sys.executable, "-m", "server", "serve", "--port", str(port)]
        with server_process.running(command, port, how) as process:
            yield process


def _http(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)


async def measured(wanted: argparse.Namespace, server: psutil.Process, pictures: list[bytes]) -> dict[str, Any]:
    async with _http(wanted.port) as http:
        turns = list(product(wanted.engines, FORMS)) * wanted.turns
        one = [await one_call(http, server, pictures, engine, form, wanted.seconds) for engine, form in turns]
        return {"one call": one, "loss": await lossy(http, pictures, wanted.engines[0], wanted.seconds)}


async def one_call(
    http: httpx.AsyncClient, server: psutil.Process, pictures: list[bytes], engine: str, form: Form, seconds: float
) -> dict[str, Any]:
    async with AsyncExitStack() as stack:
        viewer = await stack.enter_async_context(call(http, pictures, "one", engine, form))
        await asyncio.sleep(WARM)
        viewer.clear()
        before, begun, frames = _cpu(server), time.monotonic(), await _frames(http, "one")
        await asyncio.sleep(seconds)
        passed = time.monotonic() - begun
        made = await _frames(http, "one") - frames
        return {
            "engine": engine,
            "form": form,
            "kbit_s": round(viewer.bytes * 8 / passed / 1e3, 1),
            "server_ms": round(1e3 * (_cpu(server) - before) / max(made, 1), 2),
            "server_cores": round((_cpu(server) - before) / passed, 3),
            "fps": round(made / passed, 2),
            "age_p95_ms": round(1e3 * await _age(http, "one", viewer), 1),
        }


async def callers_held(port: int, pictures: list[bytes], engine: str, form: Form) -> tuple[int, str]:
    """How many callers with a viewer each are held, and what becomes of one more."""
    async with _http(port) as http, AsyncExitStack() as stack:
        viewers: dict[str, Viewer] = {}
        for number in range(MOST_CALLERS):
            name = f"{form}{number}"
            try:
                viewers[name] = await stack.enter_async_context(call(http, pictures, name, engine, form))
            except httpx.HTTPStatusError as refused:
                return number, f"refused: {refused.response.json().get('utilisation', refused.response.status_code)}"
            await asyncio.sleep(WARM)
            for viewer in viewers.values():
                viewer.clear()
            before = {one: await _frames(http, one) for one in viewers}
            begun = time.monotonic()
            await asyncio.sleep(2 * WARM / 3)
            passed = time.monotonic() - begun
            rates = [(await _frames(http, one) - before[one]) / passed for one in viewers]
            oldest = max([await _age(http, one, viewer) for one, viewer in viewers.items()])
            if min(rates) < HELD_FPS or oldest > HELD_AGE:
                return number, f"{min(rates):.1f} fps, p95 {1e3 * oldest:.0f} ms"
        return MOST_CALLERS, "no more were tried"


async def lossy(http: httpx.AsyncClient, pictures: list[bytes], engine: str, seconds: float) -> dict[str, float]:
    """Motion by a clean link and by one that loses and delays, at once."""
    links = Links(LOSS, JITTER, from_server=True)
    try:
        async with AsyncExitStack() as stack:
            clean = await stack.enter_async_context(call(http, pictures, "loss", engine, "geometry"))
            worse = await stack.enter_async_context(watching(http, "loss", "geometry", links))
            await asyncio.sleep(WARM)
            clean.clear()
            worse.clear()
            await asyncio.sleep(2 * seconds)
            found = {}
            for name, viewer in (("clean", clean), ("lossy", worse)):
                gaps = np.diff(viewer.came)
                found |= {
                    f"{name}: records a second": round(len(viewer.came) / (2 * seconds), 2),
                    f"{name}: age p95 ms": round(1e3 * float(np.percentile(viewer.ages, 95)), 1),
                    f"{name}: longest gap ms": round(1e3 * float(gaps.max()), 1),
                }
            return found
    finally:
        links.close()


@asynccontextmanager
async def call(
    http: httpx.AsyncClient, pictures: list[bytes], name: str, engine: str, form: Form
) -> AsyncIterator[Viewer]:
    """A caller and a viewer of the engine's own sample."""
    caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    transceiver = caller.addTransceiver(Recorded(pictures, RATE), "sendonly")
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([one for one in known if one.mimeType == "video/H264"])
    async with _session(http, caller, f"/whip/{name}", {"engine": engine}), watching(http, name, form) as viewer:
        yield viewer


@asynccontextmanager
async def watching(http: httpx.AsyncClient, name: str, form: Form, links: Links | None = None) -> AsyncIterator[Viewer]:
    viewer, peer = Viewer(form), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    if form == "quilt":
        take_packets(peer.addTransceiver("video", "recvonly").receiver, viewer.count)
    else:
        peer.createDataChannel("motion", ordered=False, maxRetransmits=0).on("message", viewer.take)
    async with _session(http, peer, f"/whep/{name}", {"as": form}, links) as session:
        if form == "geometry":
            (await http.get(f"{session}/asset")).raise_for_status()
        yield viewer


@asynccontextmanager
async def _session(
    http: httpx.AsyncClient, peer: RTCPeerConnection, path: str, query: dict[str, str], links: Links | None = None
) -> AsyncIterator[str]:
    await peer.setLocalDescription(await peer.createOffer())
    offer = peer.localDescription.sdp if links is None else without_candidates(peer.localDescription.sdp)
    answer = await http.post(path, params=query, content=offer, headers=SDP)
    try:
        answer.raise_for_status()
        sdp = answer.text if links is None else await workers.slow(links.through, answer.text)
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        yield answer.headers["Location"]
    finally:
        await peer.close()
        if answer.is_success:
            await http.delete(answer.headers["Location"])


async def _report(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    report: dict[str, Any] = (await http.get(f"/api/channels/{name}")).raise_for_status().json()
    return report


async def _frames(http: httpx.AsyncClient, name: str) -> int:
    return int((await _report(http, name))["session"]["frames"])


async def _age(http: httpx.AsyncClient, name: str, viewer: Viewer) -> float:
    """Seconds at the 95th percentile: of motion to its arrival, of quilts to the sender."""
    if viewer.form == "geometry":
        return float(np.percentile(viewer.ages, 95)) if viewer.ages else float("inf")
    streams = (await _report(http, name))["streams"]
    return streams[0]["age"]["p95"] / 1e3 if streams else float("inf")


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


if __name__ == "__main__":
    main()
