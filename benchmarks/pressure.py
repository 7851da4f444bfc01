"""Pressure: what a live call comes to while other programs keep the processor busy, with all detail always and with as much as fits.

    python -m benchmarks.pressure

The call is glass_to_glass's: server in one process, caller and viewer (aiortc) in this one, all on this machine's cores. Other
programs burn from a quarter of the measurement to three quarters of it. Ages are from the camera to the decoded picture.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import psutil
import typer
from aiortc import RTCPeerConnection
from rich.console import Console
from rich.table import Table

from benchmarks.glass_to_glass import call, witnessed_server
from benchmarks.lib.harness import RESULTS, write
from display.screen import PRODUCT
from pipeline.clock import percentiles

RATE = 25.0
SETTLES = 8.0
"Seconds of the load that are left out: the ladder has to see it and to step down."
BURN = "while True: pass"


@contextmanager
def burning(programs: int) -> Iterator[None]:
    """Other programs at work, each on a core of its own if there is one."""
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(programs)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


class Load:
    """Begins and ends while a call is measured, and notes the rungs."""

    def __init__(self, port: int, seconds: float, programs: int) -> None:
        self.rungs: list[tuple[float, int]] = []
        "Seconds from the beginning, and the rung then: whenever it changes."
        self._port, self._seconds, self._programs = port, seconds, programs

    async def __call__(self, connection: RTCPeerConnection) -> None:
        noting = asyncio.create_task(self._note(time.monotonic()))
        try:
            await asyncio.sleep(self._seconds / 4)
            with burning(self._programs):
                await asyncio.sleep(self._seconds / 2)
            await asyncio.sleep(self._seconds / 4)
        finally:
            noting.cancel()

    async def _note(self, begun: float) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=10, trust_env=False) as http:
            while True:
                rung = (await http.get("/api/channels/benchmark")).json().get("detail", {}).get("rung", 0)
                if not self.rungs or self.rungs[-1][1] != rung:
                    self.rungs.append((round(time.monotonic() - begun, 1), rung))
                await asyncio.sleep(0.5)


def phases(found: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Rate and age before the load, under it once it has settled, and after it."""
    at, ages = np.array(found["at_s"]), np.array(found["ages_ms"]) / 1e3
    bounds = {
        "before": (0.0, seconds / 4),
        "under load": (seconds / 4 + SETTLES, seconds * 3 / 4),
        "after": (seconds * 3 / 4 + 1, seconds),
    }
    return {name: _phase(at, ages, begin, end) for name, (begin, end) in bounds.items()}


def _phase(at: np.ndarray, ages: np.ndarray, begin: float, end: float) -> dict[str, Any]:
    there = (at >= begin) & (at < end)
    gaps = [later - earlier for earlier, later in pairwise(at[there].tolist())]
    return {
        "fps": round(int(there.sum()) / (end - begin), 2),
        "age_ms": asdict(percentiles(ages[there].tolist())),
        "longest_gap_ms": round(1e3 * max(gaps, default=end - begin)),
    }


def _measured(port: int, pictures: list[np.ndarray], seconds: float, programs: int, adapt: bool) -> dict[str, Any]:
    load = Load(port, seconds, programs)
    with witnessed_server(port, "cpu", PRODUCT, adapt) as server:
        found = asyncio.run(call(port, pictures, RATE, seconds, psutil.Process(server.pid), load))
    return {
        "phases": phases(found, seconds),
        "rungs": load.rungs,
        "steps": found["server_report"].get("detail", {}).get("steps"),
        "server_cores": found["server_cores"],
        "unread": found["unread"],
    }


def main(
    seconds: Annotated[float, typer.Option(min=40, help="Measured length of each call.")] = 48.0,
    programs: Annotated[int, typer.Option(min=0, help="Other programs that burn a core each.")] = 1,
    port: Annotated[int, typer.Option(help="Where the server listens meanwhile.")] = 8769,
    out: Annotated[Path, typer.Option(help="Folder for the JSON.")] = RESULTS,
) -> None:
    """Measure a call beside programs that burn, with all detail always and with as much as fits."""
    from pipeline.puppet import Puppet

    console = Console()
    pictures = [frame.pixels for frame in islice(Puppet().frames(), 200)]
    rows: dict[str, dict[str, Any]] = {}
    for name, adapt in (("all detail", False), ("as much as fits", True)):
        with console.status(f"measuring with {name}"):
            rows[name] = _measured(port, pictures, seconds, programs, adapt)
    console.print(_table(rows))
    facts = {"camera_fps": RATE, "seconds": seconds, "programs": programs, "with": rows}
    console.print(str(write("pressure", facts, out)))


def _table(rows: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="a call of 25 fps and both its ends on the same cores, beside programs that burn")
    for heading in ("with", "when", "fps", "age p50", "age p95", "longest gap", "rungs"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        rungs = " ".join(f"{at:g}s:{rung}" for at, rung in row["rungs"])
        for when, phase in row["phases"].items():
            age = phase["age_ms"]
            cells = [name, when, phase["fps"], age["p50"], age["p95"], phase["longest_gap_ms"], rungs]
            table.add_row(*map(str, cells))
    return table


if __name__ == "__main__":
    typer.run(main)
