"""Disturbances: what an innocent call of 25 pictures a second notices of a heavy caller, a lost packet, strangers' datagrams and
viewers who ask for views and never connect.

    python -m benchmarks.disturbances

The call is glass_to_glass's: server in one process, caller and viewer (aiortc) in this one, all on this machine's cores. A heavy
caller, in a process of its own, is there before and leaves after two thirds of the measurement; all else begins after a second.
"""

from __future__ import annotations

import asyncio
import random
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import is_rtcp
from aiortc.sdp import SessionDescription
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import call, undisturbed, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from display.screen import PRODUCT

RATE = 25.0
SETTLED = 1.0
"Seconds of the measurement before anything happens."
GHOSTS, GHOST_SECONDS = 15, 10.0
"How many, and the time a server gives a peer to connect."
Disturbance = Callable[[RTCPeerConnection], Awaitable[None]]


@dataclass
class Probe:
    """What the server is like meanwhile, asked ten times a second."""

    port: int
    server: psutil.Process
    waits: list[float] = field(default_factory=list)
    "Seconds until /healthz answered."
    memory: int = 0
    "Most bytes resident."
    heavy: dict[str, Any] = field(default_factory=dict)
    "The heavy caller's channel, as last reported."

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False) as http:
            while True:
                begun = time.monotonic()
                with suppress(httpx.HTTPError):
                    await http.get("/healthz")
                self.waits.append(time.monotonic() - begun)
                self.memory = max(self.memory, self.server.memory_info().rss)
                answer = await http.get("/api/channels/heavy")
                if answer.status_code == 200:
                    self.heavy = answer.json()
                await asyncio.sleep(0.1)


class HeavyCaller:
    def __init__(self, port: int, seconds: float, width: int, height: int, rate: float, codec: str) -> None:
        words = [f"--port={port}", f"--width={width}", f"--height={height}", f"--rate={rate}", f"--codec={codec}"]
        self._command = [sys.executable, "-m", "benchmarks.live.heavy_caller", *words]
        self._seconds = seconds

    async def __call__(self, connection: RTCPeerConnection) -> None:
        assert self._process.stdin is not None
        await asyncio.sleep(self._seconds * 2 / 3)
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def __enter__(self) -> HeavyCaller:
        """Live: it comes before the innocent one, since a server that is busy already would not let it in."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"live\n":
            raise RuntimeError("the heavy caller did not come in")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


class _Losing:
    """A transport that loses its next RTP packet and whatever is sent again of it."""

    def __init__(self, transport: Any) -> None:
        self._transport, self._number = transport, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    async def _send_rtp(self, data: bytes) -> None:
        if is_rtcp(data):
            return await self._transport._send_rtp(data)
        self._number = self._number or data[2:4]
        # RTX repeats the number before the payload (RFC 4588, section 4), which begins behind a header extension
        begins = 16 + 4 * int.from_bytes(data[14:16], "big") if data[0] & 0x10 else 12
        if self._number not in (data[2:4], data[begins : begins + 2]):
            await self._transport._send_rtp(data)
        return None


async def lost_packet(connection: RTCPeerConnection) -> None:
    await asyncio.sleep(SETTLED)
    (sender,) = connection.getSenders()
    sender.setTransport(_Losing(sender.transport))  # type: ignore[arg-type]


async def stray_datagrams(connection: RTCPeerConnection) -> None:
    """Of lengths and beginnings of every kind, 100 a second, from a port that nobody knows."""
    luck = random.Random(0)
    ports = SessionDescription.parse(connection.remoteDescription.sdp).media[0].ice_candidates
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        await asyncio.sleep(SETTLED)
        while True:
            for one in ports:
                if ":" not in one.ip:
                    length = luck.choice([0, 1, 12, 100, 1501, 9000])
                    stranger.sendto(bytes([luck.choice([0, 22, 128, 200])]) * length, (one.ip, one.port))
            await asyncio.sleep(0.01)


def ghosts(port: int) -> Disturbance:
    """Viewers who never connect: each asks for a view of its own, and for the next one once its patience has ended."""

    async def disturb(connection: RTCPeerConnection) -> None:
        offering = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        offering.addTransceiver("video", "recvonly")
        await offering.setLocalDescription()
        how = {"content": offering.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        await offering.close()
        address = f"http://127.0.0.1:{port}/whep/benchmark?as=view&view="
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
            await asyncio.sleep(SETTLED)
            while True:
                await asyncio.gather(*(http.post(f"{address}{view}", **how) for view in range(GHOSTS)))
                await asyncio.sleep(GHOST_SECONDS)

    return disturb


async def _measured(
    port: int, pictures: list[np.ndarray], seconds: float, server: psutil.Process, disturb: Disturbance
) -> dict[str, Any]:
    probe = Probe(port, server)
    probing = asyncio.create_task(probe.run())
    try:
        found = await call(port, pictures, RATE, seconds, server, disturb)
    finally:
        probing.cancel()
    session = probe.heavy.get("session", {})
    return {
        "fps": found["fps"],
        "age_ms": asdict(found["age_ms"]),
        "longest_gap_ms": round(1e3 * max(np.diff(found["at_s"]), default=seconds)),
        "age_by_server_ms": found["server_report"].get("session", {}).get("age"),
        "server_cores": found["server_cores"],
        "healthz_longest_ms": round(1e3 * max(probe.waits)),
        "memory_mib": round(probe.memory / 2**20),
        "heavy_fps": session.get("fps"),
        "heavy_age_ms": session.get("age"),
    }


def main(
    seconds: Annotated[float, typer.Option(min=6, help="Measured length of each call.")] = 15.0,
    only: Annotated[str, typer.Option(help="Only disturbances whose name has this word.")] = "",
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8767,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure an innocent call beside each disturbance."""
    from pipeline.puppet import Puppet

    console = Console()
    pictures = [frame.pixels for frame in islice(Puppet().frames(), 200)]
    heavy = {
        "a 1080p60 camera": HeavyCaller(port, seconds, 1920, 1080, 60, "H264"),
        "a 4K30 camera": HeavyCaller(port, seconds, 3840, 2160, 30, "VP8"),
    }
    plain: dict[str, Disturbance] = {
        "nothing": undisturbed,
        "one lost packet": lost_packet,
        "stray datagrams": stray_datagrams,
    }
    plain[f"{GHOSTS} ghosts"] = ghosts(port)
    rows: dict[str, dict[str, Any]] = {}
    for name in [one for one in (*plain, *heavy) if only in one]:
        with console.status(f"measuring beside {name}"), witnessed_server(port, "cpu", PRODUCT) as server:
            try:
                if name in plain:
                    rows[name] = asyncio.run(_measured(port, pictures, seconds, server, plain[name]))
                else:
                    with heavy[name] as caller:
                        rows[name] = asyncio.run(_measured(port, pictures, seconds, server, caller))
            except Exception as failure:  # what ends a call is a result too
                rows[name] = {"ended": f"{type(failure).__name__}: {failure}"}
    console.print(_table(rows))
    console.print(str(write("disturbances", {"camera_fps": RATE, "seconds": seconds, "beside": rows}, out)))


def _table(rows: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="an innocent call of 25 fps, with both its ends on the same cores")
    heads = [
        "beside",
        "fps",
        "age p50",
        "age p95",
        "longest gap",
        "/healthz at most",
        "MiB",
        "heavy fps",
        "heavy age p95",
    ]
    for heading in heads:
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        if "ended" in row:
            table.add_row(name, row["ended"])
            continue
        age, heavy = row["age_ms"], row["heavy_age_ms"] or {}
        cells = [
            row["fps"],
            age["p50"],
            age["p95"],
            row["longest_gap_ms"],
            row["healthz_longest_ms"],
            row["memory_mib"],
        ]
        table.add_row(name, *map(str, [*cells, row["heavy_fps"] or "", heavy.get("p95", "")]))
    return table


if __name__ == "__main__":
    typer.run(main)
