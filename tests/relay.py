"""Relay: the small SFU on Pion in tests/pion, built and run as a server that channels are handed over to."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest


@asynccontextmanager
async def pion(folder: Path) -> AsyncIterator[str]:
    """The address of the relay in tests/pion, built here. Skips the test in one line where Go or Pion is missing."""
    packages = Path("/usr/share/gocode")
    if not shutil.which("go") or not (packages / "src/github.com/pion/webrtc").is_dir():
        pytest.skip("no Pion: apt-get install golang-go golang-github-pion-webrtc.v3-dev")
    there = folder / "src" / "relay"
    shutil.copytree(Path(__file__).parent / "pion", there)
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": f"{folder}:{packages}"}
    subprocess.run(["go", "build", "-o", "relay"], cwd=there, env=environment, check=True, timeout=280)
    process = subprocess.Popen([there / "relay"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://{(await asyncio.to_thread(process.stdout.readline)).strip()}"
    finally:
        process.kill()
        process.wait()
