"""Victim: the server that is attacked, in a process of its own, with an innocent caller and viewer in it, and what becomes of all three."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import psutil
from aiortc.mediastreams import MediaStreamError

from benchmarks.hostile.target import Target
from server.webrtc.client import playing

TOKEN = "the-victims-own-token-0123456789"
INNOCENT = "innocent"
READY_SECONDS = 180.0
COMES_SECONDS = 150.0
"The innocent's process loads as much as the server's does, on cores that are attacked from."


@dataclass
class Victim:
    target: Target
    process: psutil.Process
    log: Path
    pictures: list[float] = field(default_factory=list)
    "When each came to the innocent viewer, seconds of time.monotonic()."
    left: list[str] = field(default_factory=list)
    "Why the innocent viewer had to come again."

    def vitals(self) -> dict[str, float]:
        """What a leak would make grow; children are decoders and verifiers."""
        with self.process.oneshot():
            return {
                "rss_mib": round(self.process.memory_info().rss / 2**20, 1),
                "threads": self.process.num_threads(),
                "handles": self.process.num_fds(),
                "children": len(self.process.children(recursive=True)),
            }

    def errors(self) -> list[str]:
        """Lines of the log at error level or worse, and tracebacks of libraries."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line[:200] + " ... " + line[-1500:] for line in lines if _is_error(line)]

    def longest_pause(self, since: float) -> float:
        """Seconds for which the innocent viewer saw nothing new; 0 where there is none."""
        if not self.pictures:
            return 0.0
        times = [since, *(one for one in self.pictures if one >= since), time.monotonic()]
        return round(max(later - earlier for earlier, later in pairwise(times)), 2)


def _is_error(line: str) -> bool:
    with suppress(ValueError):
        told = json.loads(line)
        return isinstance(told, dict) and told.get("level") in ("error", "critical", "exception")
    return line.startswith(("Traceback", "ERROR", "CRITICAL")) or "Task exception was never retrieved" in line


@asynccontextmanager
async def attacked(folder: Path) -> AsyncIterator[Victim]:
    """A server with data in `folder`, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token = folder / "token"
    token.write_text(TOKEN)
    told = {"TELEQUILT_PORT": str(port), "TELEQUILT_TOKEN_FILE": str(token), "TELEQUILT_DATA_DIR": str(folder / "data")}
    told |= {
        "TELEQUILT_MIN_FREE_BYTES": "0",
        "TELEQUILT_MAX_CHANNELS": "6",
        "TELEQUILT_FRAMES_PER_SECOND": "1",  # of room for hostile callers, whatever the machine
        "MALLOC_ARENA_MAX": "1",  # what is counted is held: arenas of each thread's own keep what is free, and 38 threads have them
    }
    log = folder / "log"
    with log.open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "server", "serve"], env=os.environ | told, stderr=said, stdout=said
        )
    try:
        await _ready(port, server)
        yield Victim(Target("127.0.0.1", port, TOKEN), psutil.Process(server.pid), log)
    finally:
        server.terminate()
        server.wait(30)


@asynccontextmanager
async def innocents(victim: Victim, folder: Path) -> AsyncIterator[None]:
    """A caller, in a process of its own, and a viewer who sees it."""
    words = ["puppet", "--server", victim.target.url, "--channel", INNOCENT, "--token-file", str(folder / "token")]
    command = [sys.executable, "-m", "server", *words]
    words_of_it = folder / "innocent"
    with words_of_it.open("wb") as said:
        caller = subprocess.Popen(command, stderr=said, stdout=said)
    victim.pictures.clear()
    victim.left.clear()
    watching = asyncio.create_task(_watch(victim))
    try:
        until = time.monotonic() + COMES_SECONDS
        while len(victim.pictures) < 5:
            if caller.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the innocent caller did not come in: {words_of_it.read_text()[-1500:]}")
            await asyncio.sleep(0.1)
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        caller.terminate()
        caller.wait(30)


async def _ready(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        while True:
            with suppress(httpx.HTTPError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server did not become ready: python -m server serve says why")
            await asyncio.sleep(0.2)


async def _watch(victim: Victim) -> None:
    """The innocent viewer. Where it is sent away, it says why and comes again, as a page would."""
    while True:
        try:
            async with playing(f"{victim.target.url}/whep/{INNOCENT}", token=TOKEN) as tracks:
                while True:
                    async with asyncio.timeout(5):
                        await tracks["video"].recv()
                    victim.pictures.append(time.monotonic())
        except (Exception, MediaStreamError) as failure:
            if victim.pictures:
                victim.left.append(f"{type(failure).__name__}: {failure}, after {len(victim.pictures)} pictures")
            await asyncio.sleep(0.5)
