"""Server process: a server of its own for a benchmark, from ready to ended."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

READY_SECONDS, END_SECONDS = 120.0, 20.0


@contextmanager
def running(
    command: Sequence[str], port: int, variables: Mapping[str, str] | None = None, log: Path = Path(os.devnull)
) -> Iterator[psutil.Process]:
    """`command`, which serves at `port` and writes to `log`, ready to take a caller. Raises RuntimeError where it does not become that,
    or somebody else serves there: that one would be measured."""
    if _taken(port):
        raise RuntimeError(f"port {port} is taken; choose another one with --port")
    with log.open("wb") as written:
        process = subprocess.Popen(command, env=os.environ | (variables or {}), stdout=written, stderr=written)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not become ready; try: {' '.join(command)}")
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(END_SECONDS)


def _taken(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """On loopback; nobody's, a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
